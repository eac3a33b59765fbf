/*
 * push_ahead.h - a call's side of working ahead
 *
 * Asks the marker of the call's file; starts the worker, and waits for it.
 * What cannot work ahead is never an error: the call then stores its file
 * itself.
 *
 * After a call that failed, the next ones store their file themselves until
 * one succeeds: each thread of a worker would only fail at another file, and
 * a store in trouble get several times the requests.
 */
#ifndef WALSHIP_PUSH_AHEAD_H
#define WALSHIP_PUSH_AHEAD_H

#include <stdbool.h>

#include "common/deadline.h"
#include "common/object.h"
#include "common/session.h"
#include "common/spool.h"
#include "walship/ahead.h"
#include "walship/datadir.h"

struct push_ahead
{
	struct session *session;
	const struct datadir *dir;
	const char *path;
	const char *name;           /* the last component of path */
	struct spool cluster_spool; /* of the cluster; none: fd is -1 */
	struct spool spool;         /* of the data directory, in that one */
	struct ahead ahead;
	bool failing; /* the call before failed, so nothing is done ahead */
};

/*
 * Before anything costly: does a marker say that the file is stored?  Loads
 * the keys if a file holds them, not by a command; ST_CONFIG, ST_AUTH, ST_IO
 * if that fails.  On ST_OK *stored tells, and object is as in marker.h.  The
 * first five members are set by the caller.  In any case push_ahead_close is
 * due.
 */
extern enum status
push_ahead_find(struct push_ahead *pa, bool *stored,
				char object[OBJECT_NAME_MAX + 1], struct err *err) ERR_CHECK;

/*
 * With the keys in the session: has a worker store the file if there are
 * others, or if a worker is at it anyway, and waits.  Where no worker may be,
 * it works ahead within this call.  True: it is stored, object as above.
 */
extern bool push_ahead_wait(struct push_ahead *pa, const struct deadline *d,
							char object[OBJECT_NAME_MAX + 1]);

/* How it ended, for the next call; not for a file that was stored ahead. */
extern void push_ahead_ended(struct push_ahead *pa, bool success);

/* Where large segments may go, or NULL. */
extern const char *push_ahead_spill_dir(const struct push_ahead *pa);
extern void push_ahead_close(struct push_ahead *pa);

#endif
