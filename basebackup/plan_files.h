/*
 * plan_files.h - the temporary files of a plan, shared by plan's own files
 */
#ifndef BASEBACKUP_PLAN_FILES_H
#define BASEBACKUP_PLAN_FILES_H

#include <stdatomic.h>
#include <stdio.h>

#include "basebackup/plan.h"

/* A run of packs whose extents are sorted and fetched together. */
struct plan_batch
{
	uint64_t first; /* of its extents in the file of sorted ones */
	uint64_t count;
};

struct plan_files
{
	FILE *entries;
	uint64_t *entry_at; /* where each begins */
	size_t entries_size;
	_Atomic uint32_t *crc_left; /* the manifest's CRC, less what is done */

	FILE *packs;
	uint64_t *pack_at;
	size_t packs_size;

	FILE *extents; /* in the manifest's order */
	uint64_t nextents;
	uint32_t *pack_extents; /* how many each pack has */
	size_t pack_extents_size;

	FILE *zeros; /* struct plan_zeros; NULL: there are none */
	uint64_t nzeros;

	FILE *sorted; /* batch by batch; the same as extents if there is one */
	struct plan_batch *batches;
};

#define PLAN_BATCH_MAX ((uint64_t) 512 << 10) /* extents: 12 MB */

/*
 * Distributes the extents over batches of at most batch_max, but for a pack
 * that has more by itself.
 */
extern enum status
plan_order(struct plan *plan, uint64_t batch_max, struct err *err) ERR_CHECK;

#endif
