/*
 * fetch_pack.h - one pack from the store into files
 *
 * A fetcher belongs to one thread.
 */
#ifndef BASEBACKUP_FETCH_PACK_H
#define BASEBACKUP_FETCH_PACK_H

#include <stdatomic.h>

#include "basebackup/fetch.h"

struct pack_fetcher;

extern enum status
pack_fetcher_new(const struct fetch_job *job, struct pack_fetcher **out,
				 struct err *err) ERR_CHECK;
extern void pack_fetcher_free(struct pack_fetcher *fetcher);

/*
 * Restores these extents, all of one pack and in the order of positions.
 * done is increased by the bytes written.
 */
extern enum status
pack_fetcher_run(struct pack_fetcher *fetcher,
				 const struct plan_extent *extents, size_t count,
				 _Atomic uint64_t *done, struct err *err) ERR_CHECK;

/* Closes the file that was written last. */
extern enum status
pack_fetcher_flush(struct pack_fetcher *fetcher, struct err *err) ERR_CHECK;

#endif
