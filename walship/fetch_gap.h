/*
 * fetch_gap.h - is an absent segment the end of the archive, or a gap?
 *
 * It is a gap if a later segment of its timeline is archived, or if a newer
 * timeline forked off its own in a later segment: then the segment must have
 * existed, and ending recovery here would lose what follows.
 */
#ifndef WALSHIP_FETCH_GAP_H
#define WALSHIP_FETCH_GAP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/repo.h"
#include "common/timeline.h"
#include "common/walname.h"

struct fetch_behind
{
	bool gap;     /* err says what lies behind */
	bool partial; /* "<name>.partial" is archived */
};

/*
 * One listing, from the segment's name on, and the history of each newer
 * timeline; a second listing where newer timelines hold more than fits into
 * the first one's page.  Never ST_MISSING: a timeline with WAL but without
 * its history file is ST_CONFIG, since nobody can tell where it forked off.
 */
extern enum status
fetch_gap_find(struct repo *repo, const struct wal_name *name,
			   uint32_t segment_size, struct fetch_behind *behind,
			   struct err *err) ERR_CHECK;

/* Pure: does this history say that the segment existed? */
extern bool
fetch_gap_in_history(const struct timeline_history *history,
					 const struct wal_name *name, uint32_t segment_size);

/*
 * The segment size of the files in a pg_wal directory, from the size of any
 * of them.  Without one, the smallest possible: then a fork in the very
 * segment that is absent may be taken for a gap, never the reverse.
 */
extern uint32_t fetch_gap_segment_size(const char *wal_dir);

#endif
