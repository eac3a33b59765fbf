/*
 * delta.h - what of a backup is in the directories already
 *
 * A file whose size and CRC-32C are the manifest's is kept; its time and mode
 * prove nothing.  Of one that differs, what chunks of the packs it holds
 * unchanged is found out while packs are fetched (reuse.h).
 */
#ifndef BASEBACKUP_DELTA_H
#define BASEBACKUP_DELTA_H

#include "basebackup/progress.h"
#include "basebackup/restore.h"
#include "basebackup/tree.h"
#include "common/err.h"

enum delta_state
{
	DELTA_ABSENT,  /* to be made */
	DELTA_CHANGED, /* there, of the right size, with other content */
	DELTA_KEPT
};

struct delta;

/* All borrowed until delta_free. */
struct delta_job
{
	const struct restore_request *request;
	const struct plan *plan;
	const struct tree *tree; /* opened; nothing was written yet */
	size_t wal_area;         /* where pg_wal lies elsewhere */
	int workers;
};

/* Removes from the areas what the plan does not have. */
extern enum status
delta_sweep(const struct delta_job *job, struct err *err) ERR_CHECK;

/*
 * Compares all files, in threads.  Files that differ get their size, and
 * zeros where the plan has zeros.
 */
extern enum status
delta_compare(const struct delta_job *job, struct delta **out,
			  struct err *err) ERR_CHECK;
extern void delta_free(struct delta *delta);

extern enum delta_state delta_state(const struct delta *delta, uint32_t entry);

/* How many files, and how many bytes, are kept. */
extern void
delta_kept(const struct delta *delta, uint64_t *files, uint64_t *bytes);

#endif
