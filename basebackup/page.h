/*
 * page.h - what tells a page of a file from another (common/FORMAT.md, 4.5)
 *
 * An entry is a keyed digest of 64 bits and the CRC-32C.  The digest decides
 * whether a page is the one that an older backup holds at the same place; the
 * CRCs of its pages give a file's own by combination, also where not all
 * pages were read.  Pure but for page_key_new.
 *
 * The digest is a universal hash, whose key nobody knows, sealed by a short
 * keyed one: five times as fast as the latter alone, and every page that the
 * server sends goes through it in one thread.
 */
#ifndef BASEBACKUP_PAGE_H
#define BASEBACKUP_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define PAGE_KEY_BYTES   16
#define PAGE_ENTRY_BYTES 12

/* A new random key. */
extern void page_key_new(uint8_t key[PAGE_KEY_BYTES]);

struct page_hash;

/*
 * For pages of at most page_size bytes.  Read-only from then on, and safe
 * from any thread.
 */
extern enum status
page_hash_new(const uint8_t key[PAGE_KEY_BYTES], size_t page_size,
			  struct page_hash **out, struct err *err) ERR_CHECK;
extern void page_hash_free(struct page_hash *hash);

/* The entry of a page of len bytes, the last one of a file being shorter. */
extern void page_entry(const struct page_hash *hash, const void *page,
					   size_t len, uint8_t out[PAGE_ENTRY_BYTES]);

/* The CRC in an entry. */
extern uint32_t page_crc32c(const uint8_t entry[PAGE_ENTRY_BYTES]);

#endif
