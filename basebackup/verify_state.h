/*
 * verify_state.h - how far an interrupted verification came
 *
 * A small file in the spool: the key up to which all is read, what of it was
 * to be read, and how many defects were found by then.  Without a spool
 * nothing is remembered.
 */
#ifndef BASEBACKUP_VERIFY_STATE_H
#define BASEBACKUP_VERIFY_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/verify.h"
#include "basebackup/verify_read.h"
#include "common/spool.h"

struct verify_state
{
	struct spool spool;
	char done[STORE_KEY_MAX]; /* keys up to this one were read before */
	uint64_t defects_before;
	int64_t saved_ms;
	uint32_t sample_bp; /* as in verify.h */
	int64_t since_s;
};

/*
 * Opens the spool and, to resume, reads what an earlier run left that was to
 * read the same; its defects are added to counts.
 */
extern void
verify_state_open(struct verify_state *state, const struct session *session,
				  const struct verify_options *options,
				  struct verify_counts *counts);

extern bool
verify_state_done(const struct verify_state *state, const char *key);

/*
 * How many defects content has by now.  It is asked after how far the pool is,
 * so that none is missed: what fails meanwhile is read once more.
 */
typedef uint64_t (*verify_defects)(void *arg);

/* Writes it down if the last time is some seconds ago. */
extern void
verify_state_save(struct verify_state *state, struct verify_pool *pool,
				  verify_defects defects, void *arg);

/* Writes it down, or forgets all after a complete run. */
extern void
verify_state_close(struct verify_state *state, struct verify_pool *pool,
				   verify_defects defects, void *arg, bool complete);

#endif
