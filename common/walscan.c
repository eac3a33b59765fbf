/*
 * walscan.c - does a segment hold WAL up to its end?
 */
#include "common/walscan.h"

#include <string.h>

#include "common/bytes.h"

#define SHORT_HEADER_BYTES 24
#define PAGE_INFO          2
#define PAGE_REM_LEN       16

#define INFO_FIRST_IS_CONTRECORD           0x0001
#define INFO_FIRST_IS_OVERWRITE_CONTRECORD 0x0008

/* Records begin at multiples of this. */
#define RECORD_ALIGN 8

#define RECORD_TOTAL_LEN 0
#define RECORD_PREVIOUS  8
#define RECORD_INFO      16
#define RECORD_MANAGER   17
#define RM_XLOG          0
#define XLOG_SWITCH      0x40
#define RECORD_INFO_MASK 0xF0

void
wal_scan_begin(struct wal_scan *scan, const struct wal_page *page)
{
	memset(scan, 0, sizeof(*scan));
	scan->page = page;
	scan->header_len = WAL_RECORD_HEADER_BYTES;
}

/* Looks at a record whose header has been collected. */
static bool
begin_record(struct wal_scan *scan)
{
	uint32_t total = get_native32(scan->header + RECORD_TOTAL_LEN);
	uint64_t previous = get_native64(scan->header + RECORD_PREVIOUS);

	if (total < WAL_RECORD_HEADER_BYTES || previous >= scan->start ||
		(scan->before != 0 && previous != scan->before))
		return false;
	scan->left = total - WAL_RECORD_HEADER_BYTES;
	scan->before = scan->start;
	scan->switched =
		scan->header[RECORD_MANAGER] == RM_XLOG &&
		(scan->header[RECORD_INFO] & RECORD_INFO_MASK) == XLOG_SWITCH;
	return true;
}

/* The records, and parts of records, in one page behind its header. */
static bool
scan_page(struct wal_scan *scan, const uint8_t *page, size_t at)
{
	size_t size = scan->page->page_size;

	while (at < size && !scan->switched)
	{
		size_t rest = size - at;

		if (scan->header_len < WAL_RECORD_HEADER_BYTES)
		{
			size_t want = WAL_RECORD_HEADER_BYTES - scan->header_len;

			if (want > rest)
				want = rest;
			memcpy(scan->header + scan->header_len, page + at, want);
			scan->header_len += want;
			at += want;
			if (scan->header_len == WAL_RECORD_HEADER_BYTES &&
				!begin_record(scan))
				return false;
			continue;
		}
		if (scan->left >= rest)
		{
			scan->left -= rest;
			break;
		}
		at += (size_t) scan->left;
		scan->left = 0;
		at = (at + RECORD_ALIGN - 1) & ~(size_t) (RECORD_ALIGN - 1);
		scan->start = scan->page->page_address + scan->offset + at;
		if (at < size)
			scan->header_len = 0;
	}
	return true;
}

/* How much of the record that the scan is in must still come. */
static uint64_t
bytes_due(const struct wal_scan *scan)
{
	if (scan->header_len == 0 || scan->header_len == WAL_RECORD_HEADER_BYTES)
		return scan->left;
	return get_native32(scan->header + RECORD_TOTAL_LEN) - scan->header_len;
}

/* What the page's header says must be what the chain has led to. */
static bool
enter_page(struct wal_scan *scan, const uint8_t *page)
{
	uint16_t info;
	uint32_t rem_len = get_native32(page + PAGE_REM_LEN);
	uint64_t due = bytes_due(scan);

	memcpy(&info, page + PAGE_INFO, sizeof(info));
	if (scan->offset == 0)
	{
		scan->left = (info & INFO_FIRST_IS_CONTRECORD) != 0 ? rem_len : 0;
		return true;
	}
	if ((info & INFO_FIRST_IS_CONTRECORD) != 0)
		return due == rem_len;
	if ((info & INFO_FIRST_IS_OVERWRITE_CONTRECORD) != 0)
	{
		/* The rest was lost in a crash; the record before is in doubt. */
		scan->left = 0;
		scan->before = 0;
		scan->header_len = WAL_RECORD_HEADER_BYTES;
		return true;
	}
	return due == 0;
}

bool
wal_scan_feed(struct wal_scan *scan, const void *data, size_t len)
{
	const uint8_t *page = data;
	size_t size = scan->page->page_size;

	for (; len >= size && !scan->broken; len -= size)
	{
		size_t header =
			scan->offset == 0 ? WAL_LONG_HEADER_BYTES : SHORT_HEADER_BYTES;
		bool fine = wal_pages_match(scan->page, page, size, scan->offset);

		/* A page of zeros belongs behind a switch only. */
		if (fine && !scan->switched)
			fine = get_native64(page) != 0 && enter_page(scan, page) &&
				   scan_page(scan, page, header);
		scan->broken = !fine;
		scan->offset += size;
		page += size;
	}
	return !scan->broken;
}

bool
wal_scan_complete(const struct wal_scan *scan)
{
	return !scan->broken && scan->offset == scan->page->segment_size;
}
