/*
 * archive.h - which WAL a repository holds of a cluster
 *
 * Answers what restore and list must know: the timelines, and whether every
 * segment of a range is there.  Segments are only listed, not read.  Runs on
 * the caller's repo handle, in its thread.
 */
#ifndef BASEBACKUP_ARCHIVE_H
#define BASEBACKUP_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/cold.h"
#include "common/err.h"
#include "common/repo.h"
#include "common/walname.h"

/* The timelines that have WAL in the archive, ascending. */
struct archive_timelines
{
	size_t ntimelines;
	uint32_t *timelines;
};

extern enum status
archive_list_timelines(struct repo *repo, struct archive_timelines *out,
					   struct err *err) ERR_CHECK;
extern void archive_timelines_free(struct archive_timelines *timelines);

#define ARCHIVE_OPEN UINT64_MAX /* up to where the archive ends */

/* What a range of segments of one timeline looks like. */
struct archive_range
{
	bool any;         /* at least one of them is there */
	uint64_t end;     /* the last one before the first gap; if any */
	bool gap;         /* there is one within the range */
	uint64_t missing; /* the first absent segment; if gap */
	bool cold;        /* one is in an archived storage class */
	bool partial;     /* of what follows the end there is a .partial */
};

/*
 * Looks at the segments first to last of timeline.  An absent end is a gap
 * unless last is ARCHIVE_OPEN.
 */
extern enum status
archive_look(struct repo *repo, uint32_t timeline, uint32_t segment_size,
			 uint64_t first, uint64_t last, struct archive_range *out,
			 struct err *err) ERR_CHECK;

/* Adds those of the segments that are in an archived storage class. */
extern enum status
archive_add_cold(struct repo *repo, uint32_t timeline, uint32_t segment_size,
				 uint64_t first, uint64_t last, struct cold_list *list,
				 struct err *err) ERR_CHECK;

#endif
