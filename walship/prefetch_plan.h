/*
 * prefetch_plan.h - which files the server will ask for next
 *
 * Pure.  PostgreSQL asks for a segment on each timeline of its target's
 * history that has begun by then, newest first, but on none older than the
 * one it reads from (XLogFileReadAnyTLI in access/transam/xlogrecovery.c).
 * An older one past its end is not in the archive, so it is left out.
 */
#ifndef WALSHIP_PREFETCH_PLAN_H
#define WALSHIP_PREFETCH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/timeline.h"

/* Of one segment; a server would hardly be promoted more often within one. */
#define PREFETCH_TIMELINES_MAX 8

/*
 * Does a server that asked for that segment of a timeline follow that history?
 * Not if the timeline is none of it, or had ended by then.
 */
extern bool prefetch_plan_follows(const struct timeline_history *history,
								  uint32_t timeline, uint64_t segno,
								  uint32_t segment_size);

/*
 * The timelines to try for a segment, newest first; their number, 0 for a
 * segment that nobody will ask for.  reads is the timeline of the segment
 * last asked for; history, or NULL, is the one that the server follows.
 */
extern size_t
prefetch_plan_timelines(const struct timeline_history *history, uint32_t reads,
						uint64_t segno, uint32_t segment_size,
						uint32_t out[PREFETCH_TIMELINES_MAX]);

#endif
