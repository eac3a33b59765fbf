/*
 * ahead.h - stores what waits to be archived before it is asked for
 *
 * Threads store the files that are ready, in the archiver's order, over
 * push_workers connections, and leave a marker for each (marker.h).  The
 * stored forms share push_memory.  When a file fails, no other is begun: the
 * call for it shall find it undone, and tell the server why at first hand.
 * Nothing is reported here beyond debugging, and nothing of the server's is
 * touched.
 */
#ifndef WALSHIP_AHEAD_H
#define WALSHIP_AHEAD_H

#include <stdint.h>

#include "common/config.h"
#include "common/key.h"
#include "common/spool.h"
#include "walship/worker.h"

struct ahead
{
	const struct config *cfg;
	const struct keyring *ring;
	const struct spool *cluster_spool; /* of the cluster */
	const struct spool *spool;         /* of the data directory: markers */
	const char *datadir;
	const struct worker *worker; /* NULL: within a call */
	uint64_t system_identifier;
	int64_t file_timeout_ms; /* for each file, retries included */
};

/*
 * To be called by who holds the spool's worker_lock.  In a worker: until
 * nothing has been ready for a moment, for a minute at most, since a new
 * configuration shall count.  Within a call: what is ready now, within bounds
 * of number and time.  Returns 0, or 1 if a file failed or a signal came.
 */
extern int ahead_run(const struct ahead *ahead);

#endif
