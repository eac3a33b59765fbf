/*
 * page.c - what tells a page of a file from another
 */
#include "basebackup/page.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/crc32c.h"

_Static_assert(PAGE_KEY_BYTES == crypto_shorthash_KEYBYTES, "a key's length");
_Static_assert(PAGE_ENTRY_BYTES == crypto_shorthash_BYTES + 4,
			   "a digest and a CRC");
_Static_assert(PAGE_KEY_BYTES >= crypto_generichash_KEYBYTES_MIN,
			   "long enough to derive from");

/* A page is taken as pairs of words, and the last pair filled with zeros. */
#define PAIR ((size_t) 8)

/* A block of the derived key. */
#define BLOCK_BYTES ((size_t) 64)
#define BLOCK_WORDS (BLOCK_BYTES / 4)

static const char derivation[] = "walship page digest v1";

struct page_hash
{
	uint8_t key[PAGE_KEY_BYTES];
	size_t nwords;
	uint32_t words[]; /* of a page, and another pair */
};

void
page_key_new(uint8_t key[PAGE_KEY_BYTES])
{
	randombytes_buf(key, PAGE_KEY_BYTES);
}

/* Block i of the derived key. */
static void
derive(struct page_hash *h, uint32_t i)
{
	uint8_t text[sizeof(derivation) - 1 + 4];
	uint8_t block[BLOCK_BYTES];

	memcpy(text, derivation, sizeof(derivation) - 1);
	put_le32(text + sizeof(derivation) - 1, i);
	(void) crypto_generichash(block, sizeof(block), text, sizeof(text), h->key,
							  sizeof(h->key));
	for (size_t w = 0; w < BLOCK_WORDS; w++)
		h->words[i * BLOCK_WORDS + w] = get_le32(block + 4 * w);
	sodium_memzero(block, sizeof(block));
}

enum status
page_hash_new(const uint8_t key[PAGE_KEY_BYTES], size_t page_size,
			  struct page_hash **out, struct err *err)
{
	size_t pairs = (page_size + PAIR - 1) / PAIR + 1;
	size_t blocks = (2 * pairs + BLOCK_WORDS - 1) / BLOCK_WORDS;
	size_t nwords = blocks * BLOCK_WORDS;
	struct page_hash *h = malloc(sizeof(*h) + nwords * sizeof(h->words[0]));

	if (h == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	memcpy(h->key, key, sizeof(h->key));
	h->nwords = nwords;
	for (uint32_t i = 0; i < blocks; i++)
		derive(h, i);
	*out = h;
	return ST_OK;
}

void
page_hash_free(struct page_hash *h)
{
	if (h == NULL)
		return;
	sodium_memzero(h, sizeof(*h) + h->nwords * sizeof(h->words[0]));
	free(h);
}

/* Two sums over the same pairs, the second with the key a pair further on. */
static void
add_pair(const uint32_t *key, const uint8_t *pair, uint64_t sums[2])
{
	uint32_t a = get_le32(pair);
	uint32_t b = get_le32(pair + 4);

	sums[0] += (uint64_t) (a + key[0]) * (b + key[1]);
	sums[1] += (uint64_t) (a + key[2]) * (b + key[3]);
}

static void
sum_pairs(const uint32_t *key, const uint8_t *p, size_t len, uint64_t sums[2])
{
	uint64_t local[2] = {0, 0};

	for (; len >= PAIR; p += PAIR, key += 2, len -= PAIR)
		add_pair(key, p, local);
	if (len > 0)
	{
		uint8_t last[PAIR] = {0};

		memcpy(last, p, len);
		add_pair(key, last, local);
	}
	sums[0] = local[0];
	sums[1] = local[1];
}

void
page_entry(const struct page_hash *h, const void *page, size_t len,
		   uint8_t out[PAGE_ENTRY_BYTES])
{
	uint64_t sums[2];
	uint8_t text[24];

	sum_pairs(h->words, page, len, sums);
	put_le64(text, sums[0]);
	put_le64(text + 8, sums[1]);
	put_le64(text + 16, len);
	(void) crypto_shorthash(out, text, sizeof(text), h->key);
	put_le32(out + crypto_shorthash_BYTES, crc32c_update(0, page, len));
}

uint32_t
page_crc32c(const uint8_t entry[PAGE_ENTRY_BYTES])
{
	return get_le32(entry + crypto_shorthash_BYTES);
}
