/*
 * fetch.h - packs from the store into files
 *
 * Worker threads, each with a store handle of its own, take one pack at a
 * time, read the frames they need by range (neighbouring ones in one
 * request), open them and write what they hold.  Memory: two frames for each
 * worker and one batch of the plan.
 */
#ifndef BASEBACKUP_FETCH_H
#define BASEBACKUP_FETCH_H

#include <signal.h>
#include <stdint.h>

#include "basebackup/plan.h"
#include "basebackup/tree.h"
#include "common/config.h"
#include "common/err.h"
#include "common/key.h"

struct delta;

struct fetch_job
{
	const struct config *cfg; /* restore_workers, command_timeout_ms */
	const struct keyring *ring;
	uint64_t system_identifier;
	struct plan *plan;
	const struct tree *tree;   /* the plan's areas; its files are made */
	const struct delta *delta; /* what is there already, or NULL */
	const volatile sig_atomic_t *cancel;

	/* Called now and then by the caller's thread. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *progress_arg;
};

/*
 * Restores the content of all files.  Any failure ends it, after all workers
 * have stopped, with the first error; what is in the files then is worthless.
 * That all files are whole is still to be checked (plan_entry_intact).
 */
extern enum status
fetch_run(const struct fetch_job *job, struct err *err) ERR_CHECK;

#endif
