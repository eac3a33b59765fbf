/*
 * worker.h - a short-lived process that works ahead of the server's calls
 *
 * wal-push and wal-fetch serve one file a call.  A worker, started by a call
 * and left behind by it, prepares the next ones, so that their calls find the
 * work done.  There is one for each spool directory at most: whoever holds
 * the flock on the file "lock" in it.  The lock goes over from the starting
 * call to the worker without a gap, and it ends with the worker, however that
 * dies: no process id is written or believed.
 *
 * A worker is in a session of its own, has no descriptor of its parent's but
 * the lock and the spool, standard ones from and to /dev/null (an inherited
 * standard error would keep the server's log collector waiting), the data
 * directory as its working directory, a title that says what it is, and no
 * parent that would have to wait for it.  It exits with 0 or 1.
 *
 * The container rule: where the postmaster is process 1, the death of an
 * orphan is taken for the death of a backend, and one by a signal makes the
 * server reinitialise.  So there, and where it cannot be told, no worker is
 * started.
 */
#ifndef WALSHIP_WORKER_H
#define WALSHIP_WORKER_H

#include <stdbool.h>

#include "common/spool.h"
#include "walship/postmaster.h"

struct worker
{
	struct postmaster server; /* that it works for */
};

/* Runs in the new process; returns its exit code, 0 or 1. */
typedef int (*worker_main)(const struct worker *worker, void *arg);

struct worker_job
{
	struct spool *spool; /* open; its fd is another one in the worker */
	const char *datadir;
	const char *title; /* for ps: "wal-push: archiving ahead" */
	worker_main run;
	void *arg;
};

enum worker_outcome
{
	WORKER_STARTED,
	WORKER_BUSY,     /* one runs in this spool */
	WORKER_FORBIDDEN /* the container rule, no spool, no room for processes */
};

/*
 * To be called while the process has one thread and no network library.
 * Locked memory (keys) is not locked in the new process: see key.h.
 */
extern enum worker_outcome worker_start(const struct worker_job *job);

/* True while a worker runs, or is being started, in this spool. */
extern bool worker_runs(const struct spool *spool);

/*
 * Takes the place of a worker in this very process: the descriptor that holds
 * the lock, to be closed; -1 if a worker runs, or without a spool.
 */
extern int worker_lock(const struct spool *spool);

/*
 * In a worker, a few times a second: may it go on?  Not after a signal, and
 * not after the server it worked for is gone; then cli_cancel's flag is set,
 * which ends what other threads wait for.
 */
extern bool worker_wanted(const struct worker *worker);

/*
 * The first thing in a main whose process may start a worker: remembers the
 * room that a title can take.
 */
extern void worker_title_init(int argc, char **argv);

#endif
