/*
 * drill.h - proof that a restore works
 *
 * A backup is restored aside (scratch_cluster.h), recovered by a private
 * server, and looked at: by pg_amcheck, and by the user's own checks.  What
 * that took, and how much would have been lost, is measured.
 */
#ifndef BASEBACKUP_DRILL_H
#define BASEBACKUP_DRILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/json.h"
#include "basebackup/pgconn.h"
#include "basebackup/restore.h"
#include "basebackup/scratch_cluster.h"
#include "common/err.h"

enum drill_phase
{
	DRILL_PREPARE, /* choosing, and looking whether all is there */
	DRILL_FETCH,   /* files out of the repository */
	DRILL_REPLAY,  /* the server, until it takes connections */
	DRILL_AMCHECK,
	DRILL_CHECKS, /* the user's */
	DRILL_PHASES
};

/* Milliseconds since the drill began. */
struct drill_span
{
	bool begun;
	bool ended; /* well */
	int64_t begin_ms;
	int64_t end_ms;
};

enum drill_outcome
{
	CHECK_NOT_RUN,
	CHECK_TRUE,
	CHECK_FAILED
};

/* One statement of the user's, which must return true. */
struct drill_check
{
	unsigned line;  /* of the file */
	char *name;     /* the comment before it, else its own text, shortened */
	char *database; /* where it runs */
	char *sql;
	enum drill_outcome outcome;
	int64_t ms;
};

struct drill_checks
{
	size_t nchecks;
	struct drill_check *list;
};

struct drill
{
	/* What to do; borrowed. */
	bool random_backup;
	bool random_target;
	bool amcheck;
	struct drill_checks checks;
	const struct err *refused; /* why there is nothing to do; or NULL */

	/* What came of it, as far as it came. */
	struct scratch_cluster cluster;
	char drawn[BACKUP_ID_MAX]; /* the backup that was drawn; or "" */
	int64_t start_ms;          /* since 1970 */
	int64_t end_ms;
	int64_t clock_ms; /* when it began, by the clock of the spans */
	enum drill_phase phase;
	struct drill_span spans[DRILL_PHASES];
	struct restore_last archive; /* the last transaction in the archive */
	bool archive_known;
	bool recovered; /* the next three are known */
	uint64_t recovered_lsn;
	bool any_replayed;
	int64_t replayed_us;   /* when the last transaction replayed ended */
	int64_t consistent_ms; /* since the drill began; 0: not known */
	uint64_t segments;     /* that were replayed */
	const struct err *failed;
};

/*
 * Reads the user's checks.  ST_CONFIG: what is no list of statements, and
 * where.  drill_checks_free is due in any case.
 */
extern enum status
drill_checks_read(const char *path, struct drill_checks *out,
				  struct err *err) ERR_CHECK;
extern void drill_checks_free(struct drill_checks *checks);

/*
 * Draws the backup and the target, if they are to be drawn, and finds out how
 * far the archive goes.
 */
extern enum status
drill_choose(struct drill *drill, struct err *err) ERR_CHECK;

/* Is pg_amcheck where the server's programs are?  ST_CONFIG. */
extern enum status
drill_find_amcheck(const struct drill *drill, struct err *err) ERR_CHECK;

/* On the server that runs; ST_CORRUPT with what is wrong. */
extern enum status
drill_run_amcheck(struct drill *drill, struct err *err) ERR_CHECK;
extern enum status
drill_run_checks(struct drill *drill, struct err *err) ERR_CHECK;

/* A connection to a database of the server. */
extern enum status
drill_connect(struct drill *drill, const char *database, struct pgconn **out,
			  struct err *err) ERR_CHECK;

/* All of it but for the reports; drill->failed stays NULL. */
extern enum status
drill_run(struct drill *drill, const struct cli_common *common,
		  const struct scratch_options *options, struct err *err) ERR_CHECK;

/* --- telling; all of it is pure ------------------------------------------ */

/* "fetch" */
extern const char *drill_phase_name(enum drill_phase phase);

/* -1: not known.  RPO: how old the last transaction was, that would be back.
 */
extern int64_t drill_rpo_ms(const struct drill *drill);
extern int64_t drill_rto_ms(const struct drill *drill);

/* The check that failed, or NULL. */
extern const struct drill_check *drill_failed_check(const struct drill *drill);
extern size_t drill_checks_run(const struct drill *drill);

/* "latest", "time 2026-11-21 01:02:03+00"; out has DRILL_TARGET_MAX bytes. */
#define DRILL_TARGET_MAX 128
extern char *drill_target_format(const struct drill *drill, char *out);

/* "1.25 s", "3 min 4 s"; out has DRILL_DURATION_MAX bytes. */
#define DRILL_DURATION_MAX 32
extern char *drill_duration_format(int64_t ms, char *out);

/* Members of the report; arg is the struct drill. */
extern void drill_report_members(void *arg, struct json *json);

/* The text, to be freed by free(); NULL without memory. */
extern char *drill_text(const struct drill *drill);

/* A page that needs nothing but itself; as above. */
extern char *drill_html(const struct drill *drill);

#endif
