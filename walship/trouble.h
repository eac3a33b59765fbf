/*
 * trouble.h - tells notify_command that archiving fails, and works again
 *
 * An outage is one as long as no call succeeds: its first failing call is
 * told, then one every TROUBLE_AGAIN_MS.  A note in the spool remembers it.
 * The first call after it that stores something (one that finds a marker does
 * not look) tells that it is over.  Outages in quick succession are not told
 * more often than every TROUBLE_PAUSE_MS.
 *
 * Without a spool there is nothing to remember by.  Then the time decides:
 * told is what fails within seconds of the file's .ready, and at a certain
 * minute of each hour after that; the end of an outage is not told.
 *
 * The call does not wait for the command: a process of its own does, which
 * the call leaves behind and which ends with 0.  Where the death of an orphan
 * would harm the server (worker.h: the container rule) the call itself waits,
 * for TROUBLE_CALL_MS at most.
 */
#ifndef WALSHIP_TROUBLE_H
#define WALSHIP_TROUBLE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"
#include "common/line.h"
#include "common/spool.h"

#define TROUBLE_AGAIN_MS 3600000
#define TROUBLE_PAUSE_MS 300000
#define TROUBLE_CALL_MS  3000

/* Failing calls that far apart, and push_timeout, are two outages. */
#define TROUBLE_APART_MS 600000

struct trouble_call
{
	const struct config *cfg;
	const struct spool *spool;  /* of wal-push for this data directory */
	const char *datadir;        /* NULL: not known */
	uint64_t system_identifier; /* 0: not known */
	const char *name;           /* of the file */
};

/* What is to be told, on its own: nothing of the call is needed any more. */
struct trouble
{
	char *command; /* NULL: nothing is to be told */
	char datadir[PATH_MAX];
	struct line document;
};

/*
 * After a call that failed, and after one that stored a file: updates the
 * note, and decides.  Costs nothing without notify_command; with it, after a
 * success, one openat.  trouble_tell is due for *out.
 */
extern void trouble_failed(const struct trouble_call *call,
						   const struct err *err, struct trouble *out);
extern void trouble_over(const struct trouble_call *call, struct trouble *out);

/*
 * Tells, once keys and connections are gone: the process left behind is a
 * copy of this one.  Frees what is in it.
 */
extern void trouble_tell(struct trouble *trouble);

/* --- the note, pure ------------------------------------------------------ */

struct trouble_note
{
	int64_t began_ms; /* milliseconds since 1970; 0: no outage is on */
	int64_t last_ms;  /* the last call that failed */
	int64_t told_ms;  /* the last time that a failure was told; 0: never */
	int64_t failures;
	bool told; /* in this outage */
};

/* One more failing call; true if it is to be told, which is noted, too. */
extern bool trouble_note_failure(struct trouble_note *note, int64_t now_ms,
								 int64_t apart_ms);

/* Without a note: by the age of the .ready file, -1 if there is none. */
extern bool trouble_due_unnoted(int64_t ready_age_ms, int64_t window_ms);

#define TROUBLE_TEXT_MAX 160
extern int
trouble_format(char text[TROUBLE_TEXT_MAX], const struct trouble_note *note);
extern bool
trouble_parse(const char *text, size_t len, struct trouble_note *note);

#endif
