/*
 * reuse.h - which pieces of a pack the files hold already
 *
 * A pack's table has a CRC-32C of each of its chunks.  One whose place in a
 * file reads the same is not fetched.  Belongs to one thread.
 */
#ifndef BASEBACKUP_REUSE_H
#define BASEBACKUP_REUSE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/fetch.h"

struct reuse;

extern enum status reuse_new(const struct fetch_job *job, struct reuse **out,
							 struct err *err) ERR_CHECK;
extern void reuse_free(struct reuse *reuse);

/* Drops the extents of files that are kept whole. */
extern enum status
reuse_begin(struct reuse *reuse, const struct plan_extent *extents,
			size_t count, _Atomic uint64_t *done, struct err *err) ERR_CHECK;

/* Is so much of the rest perhaps there that the table is worth reading? */
extern bool reuse_wants_table(const struct reuse *reuse);

/*
 * Drops, too, what chunks the files hold, and notes them in the plan.  A
 * table that cannot be understood drops nothing.
 */
extern enum status
reuse_compare(struct reuse *reuse, const void *table, size_t len,
			  _Atomic uint64_t *done, struct err *err) ERR_CHECK;

/* What is left to fetch; until the next reuse_begin. */
extern size_t
reuse_rest(const struct reuse *reuse, const struct plan_extent **extents);

#endif
