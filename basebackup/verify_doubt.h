/*
 * verify_doubt.h - what is missing, until it is certain that something needs
 * it
 *
 * An expiry may run beside a verification, which takes hours if it reads, and
 * delete what the verification has just learnt to be needed.  But it marks a
 * backup before it deletes anything of it (common/FORMAT.md, section 7).  So
 * what is missing is in doubt until a catalogue that was read afterwards still
 * has a backup, or a window, that needs it.
 *
 * Doubts may be raised by any thread, one at a time, and are settled by the
 * session's.  Memory grows with what is missing.
 */
#ifndef BASEBACKUP_VERIFY_DOUBT_H
#define BASEBACKUP_VERIFY_DOUBT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/histories.h"
#include "basebackup/keep.h"
#include "common/err.h"
#include "common/session.h"

struct doubt
{
	const char *kind; /* a constant */
	char *subject;    /* an object's name, or the first segment of a gap */
	char *text;
	bool of_content;        /* met while reading */
	struct wal_name wal[2]; /* a gap's first and last segment */
};

struct doubts
{
	struct doubt *list;
	size_t count;
	size_t room;
};

/* A pack or digest that a listing lacks, or any object that a GET lacks. */
extern enum status
doubts_add_object(struct doubts *doubts, const char *name, const char *text,
				  bool of_content, struct err *err) ERR_CHECK;
extern enum status
doubts_add_gap(struct doubts *doubts, const struct wal_name *first,
			   const struct wal_name *last, const char *text,
			   struct err *err) ERR_CHECK;

/* How the backups that still count are to be seen. */
struct doubts_view
{
	struct session *session;
	const struct keep_rules *rules;
	const struct histories *histories;
	const struct keep_backup *before; /* as of the first look; good counts */
	size_t nbefore;
};

typedef void (*doubt_sink)(void *arg, const struct doubt *doubt);

/*
 * Looks again, tells those that are certain, and forgets all.  After a failure
 * all are told: the look was not possible.
 */
extern enum status
doubts_settle(struct doubts *doubts, const struct doubts_view *view,
			  doubt_sink sink, void *arg, struct err *err) ERR_CHECK;
extern void doubts_free(struct doubts *doubts);

#endif
