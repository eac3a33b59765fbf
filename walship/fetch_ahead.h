/*
 * fetch_ahead.h - what one call of wal-fetch has to do with fetching ahead
 *
 * Only for segments that a server in recovery or a standby asks for, in its
 * own data directory: a signal file lies there, so it is not pg_rewind, which
 * reads backwards, whatever the command line says.
 */
#ifndef WALSHIP_FETCH_AHEAD_H
#define WALSHIP_FETCH_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/spool.h"
#include "common/walname.h"
#include "walship/fetch_note.h"
#include "walship/fetch_policy.h"

struct fetch_ahead
{
	const struct config *cfg; /* NULL: not to be fetched ahead */
	uint64_t system_identifier;
	const char *datadir;
	enum fetch_mode mode;
	bool inside; /* segments are to be fetched within the call */
	struct spool spool;
	struct fetch_note note;
};

/*
 * outer is the cluster's spool; datadir NULL: none is known.  To be closed;
 * until then the strings are borrowed.  The others below do nothing where
 * nothing is to be fetched ahead.
 */
extern void
fetch_ahead_open(struct fetch_ahead *ahead, const struct config *cfg,
				 const struct spool *outer, uint64_t system_identifier,
				 const char *datadir, enum fetch_mode mode);
extern void fetch_ahead_close(struct fetch_ahead *ahead);

/*
 * True if the segment was ready, and is at path now, verified.  Waits a little
 * for one that is on its way.  Opens no store and needs no key.
 */
extern bool fetch_ahead_take(struct fetch_ahead *ahead,
							 const struct wal_name *name, const char *path);

/*
 * Around the call's own fetch of a segment: begin may start a worker, so the
 * network library must not be loaded yet; end tells what was found.
 */
extern void
fetch_ahead_begin(struct fetch_ahead *ahead, const struct wal_name *name);
extern void
fetch_ahead_end(struct fetch_ahead *ahead, const struct wal_name *name,
				const char *path, enum fetch_finding finding);

/* The server was given that timeline's history. */
extern void fetch_ahead_learn(struct fetch_ahead *ahead, uint32_t timeline);

/* Recovery is over: the directory is emptied. */
extern void fetch_ahead_over(const struct spool *outer, const char *datadir);

#endif
