/*
 * timeline.h - timeline history files
 *
 * Pure.  Source: PostgreSQL's access/transam/timeline.c: a line per ancestor,
 * "<tli>\t<X/X>\t<reason>", increasing; blank lines and '#' comments.
 */
#ifndef COMMON_TIMELINE_H
#define COMMON_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define TIMELINES_MAX 4096 /* ancestors in one history file */

struct timeline_entry
{
	uint32_t timeline;
	uint64_t begin; /* first LSN on it; 0 for the first */
	uint64_t end;   /* switch point to the next; UINT64_MAX for the last */
};

/*
 * Oldest first; the last entry is the timeline itself.  Each entry begins
 * where the one before it ends, and none ends before it begins: a switch
 * point that lies before an older one (a recovery that stopped short of its
 * target timeline's start leaves such a file) shortens the older entries, so
 * that every LSN belongs to the timeline that the server would choose.
 */
struct timeline_history
{
	uint32_t timeline;
	size_t nentries;
	struct timeline_entry *entries;
};

/* The history of a timeline with no ancestors (timeline 1, usually). */
extern enum status
timeline_history_root(uint32_t timeline, struct timeline_history *out,
					  struct err *err) ERR_CHECK;

/*
 * Parses the history file of timeline.  ST_CORRUPT with the line's number.
 * On success *out is freed with timeline_history_free.
 */
extern enum status
timeline_history_parse(uint32_t timeline, const char *text, size_t len,
					   struct timeline_history *out,
					   struct err *err) ERR_CHECK;
extern void timeline_history_free(struct timeline_history *h);

/* The entry of that timeline, or NULL. */
extern const struct timeline_entry *
timeline_history_find(const struct timeline_history *h, uint32_t timeline);

/* The entry whose [begin, end) holds lsn. */
extern const struct timeline_entry *
timeline_history_at(const struct timeline_history *h, uint64_t lsn);

#endif
