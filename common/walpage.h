/*
 * walpage.h - what a WAL segment and pg_control say about themselves
 *
 * Pure except for the pg_control reader.  Source: PostgreSQL's
 * access/xlog_internal.h (XLogLongPageHeaderData) and catalog/pg_control.h.
 */
#ifndef COMMON_WALPAGE_H
#define COMMON_WALPAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/timeline.h"
#include "common/walname.h"

#define WAL_LONG_HEADER_BYTES 40

/* The long header at the start of every segment. */
struct wal_page
{
	uint16_t magic;
	uint16_t info;
	uint32_t timeline;
	uint64_t page_address;
	uint64_t system_identifier;
	uint32_t segment_size;
	uint32_t page_size;
};

/* ST_CORRUPT unless data begins with a plausible long page header. */
extern enum status wal_page_parse(struct wal_page *page, const void *data,
								  size_t len, struct err *err) ERR_CHECK;

/*
 * Is this the first page of the segment name of a cluster, file_len bytes
 * long?  Checks size, address, system identifier (0: any) and that the page's
 * timeline is at most the name's and, with a history, one of its ancestors
 * that covers the address.  ST_CORRUPT with the reason.
 */
extern enum status
wal_page_check(const struct wal_page *page, const struct wal_name *name,
			   uint64_t file_len, uint64_t system_identifier,
			   const struct timeline_history *history,
			   struct err *err) ERR_CHECK;

/*
 * True if every page of the segment in data, which begins at that offset of
 * the segment, carries its own address: what a standby's recycled,
 * half-written segment does not.  A page of zeros counts as a match, since
 * the server zeroes what follows a WAL switch.  Offset and len are multiples
 * of the page size, except that a shorter rest is ignored.
 */
extern bool wal_pages_match(const struct wal_page *page, const void *data,
							size_t len, uint64_t offset);

struct pg_control
{
	uint64_t system_identifier;
	uint32_t control_version; /* 1300 for 13 to 17, 1800 for 18 */
	bool in_recovery;         /* in archive recovery or a standby */
};

#define PG_CONTROL_BYTES 32 /* all that pg_control_parse looks at */

/* ST_CORRUPT unless data begins as a pg_control does. */
extern enum status pg_control_parse(struct pg_control *out, const void *data,
									size_t len, struct err *err) ERR_CHECK;

/* Reads <pgdata>/global/pg_control.  ST_MISSING if there is none. */
extern enum status pg_control_read(const char *pgdata, struct pg_control *out,
								   struct err *err) ERR_CHECK;

#endif
