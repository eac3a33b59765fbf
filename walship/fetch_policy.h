/*
 * fetch_policy.h - how wal-fetch answers the server
 *
 * Pure.  PostgreSQL takes 1 to 125 as the proven end of the archive: in
 * recovery it then promotes.  It takes anything above 125 as a reason to
 * stop, which a running hot standby must not do.  So the answer depends on
 * what was asked for, on how the server recovers, and on what was found; this
 * table is the only place that knows.
 */
#ifndef WALSHIP_FETCH_POLICY_H
#define WALSHIP_FETCH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/walname.h"

/*
 * Above 125, so that the server stops; not 126 or 127, which the shell means
 * by itself; not 143, which the server takes for a shutdown request; and
 * beyond 128 + 64, which would read as a death by a signal.
 */
#define FETCH_EXIT_FATAL 200

enum fetch_mode
{
	FETCH_RECOVERY, /* recovery.signal: a miss ends recovery */
	FETCH_STANDBY,  /* standby.signal: the server asks again and again */
	FETCH_ENDING,   /* history, recovery.signal already gone: promoting */
	FETCH_REWIND    /* not for a server: pg_rewind, or a person */
};

enum fetch_finding
{
	FOUND,
	FOUND_NOTHING,     /* proven absent, and nothing later there */
	FOUND_GAP,         /* proven absent, but WAL behind it is there */
	FOUND_UNREACHABLE, /* could not tell; a retry may help */
	FOUND_REFUSED,     /* could not tell; only a person can help */
	FOUND_CORRUPT,     /* there, but not what it must be */
	FOUND_CANCELLED    /* a signal asked us to stop */
};

enum fetch_answer
{
	ANSWER_DONE,   /* 0 */
	ANSWER_ABSENT, /* 1 */
	ANSWER_FATAL,  /* FETCH_EXIT_FATAL */
	ANSWER_SIGNAL  /* die by SIGTERM: a shutdown request to the server */
};

/* What the command line says: --mode. */
enum fetch_explicit
{
	EXPLICIT_NONE,
	EXPLICIT_RECOVERY,
	EXPLICIT_STANDBY
};

/*
 * How the server recovers.  standby.signal wins over everything, since a
 * wrong fatal code stops a hot standby; recovery.signal wins over an explicit
 * standby, since a wrong 1 promotes.  Where neither is left, a history file
 * is asked for at the end of recovery, when nothing may stop the server any
 * more: its next start would be a crash recovery on the old timeline.
 */
extern enum fetch_mode
fetch_policy_mode(enum fetch_explicit said, bool standby_signal,
				  bool recovery_signal, enum wal_name_kind kind);

extern enum fetch_answer
fetch_policy_answer(enum fetch_mode mode, enum fetch_finding finding);

/* What a status of the layers below means here. */
extern enum fetch_finding fetch_policy_finding(enum status status);

/* The settings that say how long to try. */
struct fetch_patience
{
	int64_t recovery_ms;
	int64_t standby_ms;
};

/*
 * How long to wait for a store that does not answer, and for a gap to be
 * filled: parallel pushing makes a segment absent for a moment while the next
 * one is there.
 */
extern int64_t
fetch_policy_outage_ms(enum fetch_mode mode, enum wal_name_kind kind,
					   const struct fetch_patience *patience);
extern int64_t fetch_policy_gap_ms(enum fetch_mode mode,
								   const struct fetch_patience *patience);

/* Whether absence is worth asking what lies behind the gap. */
extern bool
fetch_policy_looks_for_gap(enum fetch_mode mode, enum wal_name_kind kind);

/*
 * Whether the .partial of an absent segment may stand in for it.  A standby
 * waits for the whole of it, or for the timeline that goes on.
 */
extern bool fetch_policy_takes_partial(enum fetch_mode mode);

/*
 * The exit code for a command line that cannot be understood, so that not
 * even the name asked for is known.
 */
extern int fetch_policy_usage_exit(bool standby_signal, bool recovery_signal);

#endif
