/*
 * prefetch.h - fetches the segments that the server will ask for
 *
 * Threads with a store each fetch the segments behind the one last asked for
 * into the spool, in order, as many as the budget of bytes lets lie there,
 * along the history of the server's target timeline.  They stop at the first
 * segment that is proven absent, or that cannot be had: what that means is for
 * the server's own calls to find out, and the next one that finds a segment
 * by itself starts again.  So the end of the archive costs one request a
 * thread at most.  Nothing is reported, since nobody waits for it.
 *
 * Usually that is a worker (worker.h), which follows the server by the notes
 * of its calls (fetch_note.h) and ends with the recovery, with the server, or
 * when nothing was asked for in a minute.  Where no worker may be, a call
 * fetches a few segments itself.
 */
#ifndef WALSHIP_PREFETCH_H
#define WALSHIP_PREFETCH_H

#include <stdint.h>

#include "common/config.h"
#include "common/spool.h"
#include "walship/fetch_note.h"

struct prefetch_job
{
	const struct config *cfg;
	uint64_t system_identifier;
	struct spool *spool;    /* the directory of fetch_spool.h */
	const char *datadir;    /* whose signal files tell of recovery */
	struct fetch_note note; /* where the server is; its name and size count */
};

/*
 * Starts a worker, or finds one running.  False if there can be none; then
 * prefetch_some is for the call.  To be called before the process loads the
 * network library.
 */
extern bool prefetch_start(const struct prefetch_job *job);

/* Fetches a few segments in this process, within a second or two. */
extern void prefetch_some(const struct prefetch_job *job);

#endif
