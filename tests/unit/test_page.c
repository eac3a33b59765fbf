#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "basebackup/page.h"
#include "common/crc32c.h"

#define PAGE ((size_t) 8192)

static struct page_hash *
make(uint8_t first, size_t page_size)
{
	uint8_t key[PAGE_KEY_BYTES];
	struct page_hash *hash = NULL;
	struct err err;

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t) (first + i);
	assert_int_equal(page_hash_new(key, page_size, &hash, &err), ST_OK);
	return hash;
}

static void
fill(uint8_t *page)
{
	for (size_t i = 0; i < PAGE; i++)
		page[i] = (uint8_t) (i * 7 + (i >> 8));
}

/* Computed by tests/reader/page_digest.py. */
static void
test_known_answers(void **state)
{
	static const struct
	{
		size_t len;
		const char *entry;
	} cases[] = {
		{0, "7b777b91d14343e500000000"},    {1, "43f2b4c9edf932e751537d52"},
		{7, "836df251e145ef2de7dc6af1"},    {8, "c4365a8b3a650188ce3ffea7"},
		{9, "96a8bb1e66cefb1bf3251587"},    {64, "1486b515ee88c819a476b7fc"},
		{1000, "9d69393e71e37206b3a2c922"}, {8192, "43ef540c529d64f40c6576e5"},
	};
	static uint8_t page[PAGE];
	struct page_hash *hash = make(0, PAGE);

	(void) state;
	fill(page);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint8_t entry[PAGE_ENTRY_BYTES];
		char hex[2 * sizeof(entry) + 1];

		page_entry(hash, page, cases[i].len, entry);
		assert_string_equal(
			sodium_bin2hex(hex, sizeof(hex), entry, sizeof(entry)),
			cases[i].entry);
		assert_int_equal(page_crc32c(entry),
						 crc32c_update(0, page, cases[i].len));
	}
	page_hash_free(hash);
}

/* Wherever a page lies, and whatever the largest page is. */
static void
test_alignment(void **state)
{
	static uint8_t page[PAGE];
	static uint8_t moved[PAGE + 8];
	uint8_t wanted[PAGE_ENTRY_BYTES];
	uint8_t entry[PAGE_ENTRY_BYTES];
	struct page_hash *hash = make(0, PAGE);
	struct page_hash *larger = make(0, 4 * PAGE);

	(void) state;
	fill(page);
	page_entry(hash, page, PAGE, wanted);
	for (size_t at = 0; at < 8; at++)
	{
		memcpy(moved + at, page, PAGE);
		page_entry(larger, moved + at, PAGE, entry);
		assert_memory_equal(entry, wanted, sizeof(entry));
	}
	page_hash_free(hash);
	page_hash_free(larger);
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, 8);
}

/* Each bit, each length and the key count, for the digest alone. */
static void
test_all_differ(void **state)
{
	static uint8_t page[PAGE];
	size_t bits = 8 * PAGE;
	size_t count = 0;
	uint8_t *entries = malloc((bits + PAGE + 2) * PAGE_ENTRY_BYTES);
	struct page_hash *hash = make(0, PAGE);
	struct page_hash *other = make(1, PAGE);

	(void) state;
	assert_non_null(entries);
	for (size_t bit = 0; bit < bits; bit += 13)
	{
		page[bit / 8] ^= (uint8_t) (1 << bit % 8);
		page_entry(hash, page, PAGE, entries + count++ * PAGE_ENTRY_BYTES);
		page[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	for (size_t len = 0; len <= PAGE; len++)
		page_entry(hash, page, len, entries + count++ * PAGE_ENTRY_BYTES);
	page_entry(other, page, PAGE, entries + count++ * PAGE_ENTRY_BYTES);
	qsort(entries, count, PAGE_ENTRY_BYTES, compare);
	for (size_t i = 1; i < count; i++)
		assert_memory_not_equal(entries + (i - 1) * PAGE_ENTRY_BYTES,
								entries + i * PAGE_ENTRY_BYTES, 8);
	page_hash_free(hash);
	page_hash_free(other);
	free(entries);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_alignment),
		cmocka_unit_test(test_all_differ),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
