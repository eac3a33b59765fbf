/*
 * reclaim.h - which packs are to retire, so that restores stay cheap
 *
 * A chain of backups leaves its pages in ever more packs, of which ever less
 * is in use, but a restore fetches whole frames.  So each backup stores again
 * what the worst packs still hold.
 *
 * The rule: with c the stored bytes of a pack's frames that are in use, plus
 * RECLAIM_REQUEST for the request itself, and l the part of c that is in use,
 * packs retire in the order of l / c, lowest first, until the sum of all c is
 * at most RECLAIM_PERCENT of what a full backup of the same content would
 * cost.  This frees the most for each byte that is stored again.  A backup
 * decides before it sees what has changed, hence the reserve below 150 %.
 *
 * Pure, but for reclaim_base.
 */
#ifndef BASEBACKUP_RECLAIM_H
#define BASEBACKUP_RECLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/base.h"
#include "common/err.h"

#define RECLAIM_PERCENT 140

/*
 * What a request is worth in bytes: 50 ms at 80 MB/s.  It makes small packs
 * retire, whose number would grow with that of backups.
 */
#define RECLAIM_REQUEST ((uint64_t) 4 << 20)

struct reclaim_pack
{
	uint64_t fetched; /* stored bytes of the frames that are in use */
	uint64_t live;    /* those in use, in proportion */
	uint64_t content; /* the same, uncompressed */
};

/* What a restore costs, in bytes. */
extern uint64_t reclaim_cost(const struct reclaim_pack *packs, size_t count);

/* What it would cost of a full backup of as much. */
extern uint64_t reclaim_ideal(uint64_t live, uint64_t content);

/*
 * Sets retired for those that are to retire, beside those for which it is set
 * already.  order has room for count numbers.  Returns the live bytes of all
 * that retire.
 */
extern uint64_t reclaim_choose(const struct reclaim_pack *packs, size_t count,
							   size_t *order, bool *retired);

/* Live and fetched bytes of a stored pack. */
extern struct reclaim_pack
reclaim_measure(const struct stored_object *pack, uint32_t frame_size);

struct reclaim_result
{
	bool *retired; /* by number of base_packs; freed by free() */
	uint32_t npacks;
	uint32_t nretired;
	uint64_t live_bytes; /* what they hold */
};

/*
 * The packs of base that are to retire: by the rule, and those of backups
 * whose names are older than max_age_s (0: any age) at now_s.
 */
extern enum status
reclaim_base(const struct base *base, int64_t max_age_s, int64_t now_s,
			 struct reclaim_result *out, struct err *err) ERR_CHECK;

#endif
