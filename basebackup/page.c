/*
 * page.c - what tells a page of a file from another
 */
#include "basebackup/page.h"

#include <sodium.h>

#include "common/crc32c.h"
#include "common/bytes.h"

_Static_assert(PAGE_KEY_BYTES == crypto_shorthash_KEYBYTES, "a key's length");
_Static_assert(PAGE_ENTRY_BYTES == crypto_shorthash_BYTES + 4,
			   "a digest and a CRC");

void
page_key_new(uint8_t key[PAGE_KEY_BYTES])
{
	randombytes_buf(key, PAGE_KEY_BYTES);
}

void
page_entry(const uint8_t key[PAGE_KEY_BYTES], const void *page, size_t len,
		   uint8_t out[PAGE_ENTRY_BYTES])
{
	(void) crypto_shorthash(out, page, len, key);
	put_le32(out + crypto_shorthash_BYTES, crc32c_update(0, page, len));
}

uint32_t
page_crc32c(const uint8_t entry[PAGE_ENTRY_BYTES])
{
	return get_le32(entry + crypto_shorthash_BYTES);
}
