/*
 * walname.h - names of WAL files, LSNs and segment numbers
 *
 * Pure: no I/O, no globals.  Source: PostgreSQL's access/xlog_internal.h.
 */
#ifndef COMMON_WALNAME_H
#define COMMON_WALNAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define WAL_NAME_MAX         64 /* what the archiver may hand us */
#define WAL_SEGMENT_SIZE_MIN ((uint32_t) 1 << 20)
#define WAL_SEGMENT_SIZE_MAX ((uint32_t) 1 << 30)
#define LSN_TEXT_MAX         18 /* "FFFFFFFF/FFFFFFFF" and zero */

enum wal_name_kind
{
	WAL_SEGMENT, /* 24 upper-case hex digits */
	WAL_PARTIAL, /* segment, ".partial" */
	WAL_HISTORY, /* 8 hex digits, ".history" */
	WAL_BACKUP   /* segment, '.', 8 hex digits, ".backup" */
};

struct wal_name
{
	enum wal_name_kind kind;
	uint32_t timeline;
	uint32_t high;   /* second group of a segment's name */
	uint32_t low;    /* third group */
	uint32_t offset; /* of a .backup, within the segment */
	char text[WAL_NAME_MAX + 1];
};

/* ST_CONFIG if text is none of the four, or names timeline 0. */
extern enum status wal_name_parse(struct wal_name *name, const char *text,
								  struct err *err) ERR_CHECK;

/* True for a power of two from 1 MB to 1 GB. */
extern bool wal_segment_size_valid(uint64_t bytes);

/* The segment's number; false if low is out of range for that size. */
extern bool wal_name_segno(const struct wal_name *name, uint32_t segment_size,
						   uint64_t *segno);

/* Builds the name of a segment (text needs WAL_NAME_MAX + 1) */
extern void wal_name_segment(struct wal_name *name, uint32_t timeline,
							 uint64_t segno, uint32_t segment_size);

/* Makes a segment's name that of the part of it which was archived. */
extern void wal_name_partial(struct wal_name *name);

/* The segment that holds lsn; an end LSN on a boundary: the one before. */
extern uint64_t wal_segno_of(uint64_t lsn, uint32_t segment_size);
extern uint64_t wal_segno_before(uint64_t end_lsn, uint32_t segment_size);

/* "%X/%X"; out has LSN_TEXT_MAX bytes; returns out. */
extern char *lsn_format(uint64_t lsn, char *out);
extern bool lsn_parse(const char *text, uint64_t *lsn);

/* Eight hex digits, not zero. */
extern bool timeline_parse(const char *text, uint32_t *timeline);

#endif
