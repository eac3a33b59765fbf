/*
 * page.h - what tells a page of a file from another (common/FORMAT.md, 4.5)
 *
 * An entry is a keyed digest of 64 bits (SipHash-2-4) and the CRC-32C.  The
 * digest decides whether a page is the one that an older backup holds at the
 * same place; the CRCs of its pages give a file's own by combination, also
 * where not all pages were read.  Pure.
 */
#ifndef BASEBACKUP_PAGE_H
#define BASEBACKUP_PAGE_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_KEY_BYTES   16
#define PAGE_ENTRY_BYTES 12

/* A new random key. */
extern void page_key_new(uint8_t key[PAGE_KEY_BYTES]);

/* The entry of a page of len bytes, the last one of a file being shorter. */
extern void page_entry(const uint8_t key[PAGE_KEY_BYTES], const void *page,
					   size_t len, uint8_t out[PAGE_ENTRY_BYTES]);

/* The CRC in an entry. */
extern uint32_t page_crc32c(const uint8_t entry[PAGE_ENTRY_BYTES]);

#endif
