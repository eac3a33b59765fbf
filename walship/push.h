/*
 * push.h - one WAL file into the repository
 */
#ifndef WALSHIP_PUSH_H
#define WALSHIP_PUSH_H

#include <stdbool.h>

#include "common/err.h"
#include "common/object.h"
#include "common/repo.h"
#include "walship/budget.h"
#include "walship/connections.h"
#include "walship/wal_file.h"

struct push_options
{
	bool in_recovery;         /* the server that owns the file is */
	const char *spill_dir;    /* for large segments; NULL: TMPDIR, else /tmp */
	struct budget *budget;    /* for what is in memory; NULL: no bound */
	struct deadline deadline; /* to wait for that */
	struct connections *connections; /* to take the store of repo from, which
									  * has none; NULL: it has one */
	struct push_room *room;
};

/*
 * A thread's room for a stored object, whose memory serves one file after the
 * other; zeroes at first.  Who has nothing to push releases it, since it is
 * part of the budget, if there is one.
 */
struct push_room
{
	struct object_buffer buf;
	uint64_t taken; /* of the budget */
	uint64_t usual; /* what sealing took the last time, 0 at first */
};
extern void push_room_release(struct push_room *room, struct budget *budget);

enum push_result
{
	PUSH_STORED,
	PUSH_PRESENT,  /* an object with this content was there */
	PUSH_SET_ASIDE /* stored under a name of its own, see below */
};

struct push_outcome
{
	enum push_result result;
	char object[OBJECT_NAME_MAX + 1]; /* the logical name */
};

/*
 * Stores the file with one conditional put.  When the name is taken, the
 * stored object is read and compared.  Different content is ST_DIFFERS, with
 * both named, except where servers differ by right: a .partial, or a segment
 * of a server in recovery, is set aside under its name and digest (FORMAT.md,
 * section 5).  So is, without touching the plain name, a segment of a server
 * in recovery that is not complete.  A history file never is: two that differ
 * are two servers on one timeline, and a standby that is being promoted
 * archives its own while it is still in recovery.
 *
 * ST_OK is reported only for durable bytes that were read unchanged.
 */
extern enum status
push_file(struct repo *repo, struct wal_file *file,
		  const struct push_options *options, struct push_outcome *outcome,
		  struct err *err) ERR_CHECK;

#endif
