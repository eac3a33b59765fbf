/*
 * walscan.h - does a segment hold WAL up to its end?
 *
 * Pure.  Follows the chain of records through a segment, page by page: each
 * must begin where the one before it ends and point back at it.  The chain
 * must reach the end of the segment, or a WAL switch, behind which the server
 * leaves zeros.  It breaks where a server has written, or received, no
 * further: there follow zeros, or the remains of a recycled segment.  Records
 * are not checked in themselves.  Source: PostgreSQL's access/xlogrecord.h
 * and access/transam/xlogreader.c.
 */
#ifndef COMMON_WALSCAN_H
#define COMMON_WALSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/walpage.h"

#define WAL_RECORD_HEADER_BYTES 24

struct wal_scan
{
	const struct wal_page *page; /* the segment's first header */
	uint64_t offset;             /* of the next page */
	bool broken;
	bool switched; /* behind a WAL switch */

	/* The record that the scan is in, or whose beginning is to come next. */
	uint64_t left;   /* its bytes still to come */
	uint64_t start;  /* its LSN */
	uint64_t before; /* the LSN of the record before; 0: unknown */
	uint8_t header[WAL_RECORD_HEADER_BYTES];
	size_t header_len; /* collected so far; all of it: nothing to collect */
};

/* page is borrowed for as long as the scan. */
extern void wal_scan_begin(struct wal_scan *scan, const struct wal_page *page);

/*
 * The next pages, from the first page on; len is a multiple of the page
 * size.  False as soon as the chain is broken.
 */
extern bool wal_scan_feed(struct wal_scan *scan, const void *data, size_t len);

/* True if the whole segment was fed and the chain is not broken. */
extern bool wal_scan_complete(const struct wal_scan *scan);

#endif
