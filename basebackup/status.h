/*
 * status.h - the state of one cluster's archive and backups
 *
 * Everything that `walship status` shows is gathered here first, as far as it
 * can be had: what fails is a problem among the others, and the rest is still
 * told.  Nothing is changed but this host's memory in the spool
 * (status_memory.h).  Runs on the session's repo handle, in one thread.
 */
#ifndef BASEBACKUP_STATUS_H
#define BASEBACKUP_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/catalog.h"
#include "basebackup/histories.h"
#include "basebackup/status_memory.h"
#include "basebackup/status_reports.h"
#include "basebackup/status_server.h"
#include "basebackup/status_spool.h"
#include "basebackup/status_wal.h"
#include "basebackup/status_window.h"
#include "basebackup/usage.h"
#include "common/err.h"
#include "common/session.h"

/* Of the quota, when it becomes a problem. */
#define STATUS_QUOTA_PERCENT 85

/* A finished segment that waits longer is a problem. */
#define STATUS_LAG_S 900

struct status_problem
{
	const char *kind; /* a stable word */
	char *text;
};

struct status_lag
{
	bool known;
	uint64_t bytes;    /* that the server has written and the archive lacks */
	uint64_t segments; /* of them, those that are finished */
	int64_t seconds;   /* for which the oldest of those has waited; 0: none */
};

/* What a store that replicates its objects says of it. */
struct status_replication
{
	bool known;
	char state[16];  /* of the newest segment: "COMPLETED", "PENDING", ... */
	int64_t lag_s;   /* age of the oldest object that is not replicated */
	bool lag_is_min; /* or more */
};

/* The newest backup against those before it. */
struct status_last
{
	const struct backup_summary *summary; /* NULL: there is no backup */
	int64_t age_s;
	size_t compared;    /* with how many; 0: the changes mean nothing */
	double size_change; /* 0.5: half as much again as the average */
	double stored_change;
	double time_change;
};

struct overview
{
	struct session session;
	const char *repository;
	uint64_t system_identifier;
	int64_t now_s; /* by the store's clock, if it tells */

	/* What could not be had at all; each is a problem, too. */
	bool store_failed;
	bool key_missing;

	struct catalog catalog;
	size_t ncomplete;
	const struct backup_summary **complete; /* in order */
	bool *whole;       /* of each: what makes it consistent is there */
	size_t unfinished; /* backups that run, or died */
	size_t unreadable;
	size_t outside; /* whole ones from before the window */
	struct status_last last;

	struct wal_map map;
	uint64_t wal_from_lsn; /* where the keep_* rules want WAL from; UINT64_MAX:
							* from nowhere */
	struct histories histories;
	size_t nwindows;
	struct timeline_windows *windows; /* one for each history */

	struct usage usage;
	struct status_reports reports;
	struct status_spool spool;
	const struct status_server *server; /* NULL: none of this cluster's */
	struct status_lag lag;
	struct status_replication replication;

	uint64_t requests; /* that the store was sent */

	size_t nproblems, problems_room;
	struct status_problem *problems;
};

struct status_options
{
	bool full; /* believe nothing of what is remembered */
	const struct status_server *server; /* NULL: not asked */
};

/*
 * Fills in what can be had of a cluster, whose system identifier and opened
 * session the caller has set; a session without keys has no ring.  Fails
 * with ST_NOMEM and ST_CANCELLED only.
 */
extern enum status
status_gather(struct overview *s, const struct status_options *options,
			  struct err *err) ERR_CHECK;

/* Frees all but the session. */
extern void status_free(struct overview *s);

/* Adds a problem.  Out of memory, the text is lost. */
extern void status_problem(struct overview *s, const char *kind,
						   const char *fmt, ...) ERR_PRINTF(3, 4);
extern void status_problem_err(struct overview *s, const char *kind,
							   const struct err *err);

/* What is compared with what (status_compare.c). */
extern void status_compare_pushed(struct overview *s);
extern void
status_compare_memory(struct overview *s, const struct memory *memory,
					  struct memory *found);
extern void status_compare_server(struct overview *s);
extern void status_compare_last(struct overview *s);
extern void status_find_problems(struct overview *s);

/* status_replication.c */
extern enum status
status_replication_look(struct overview *s, struct err *err) ERR_CHECK;

/* status_usage.c: what the backups take. */
extern enum status
status_usage_load(struct overview *s, const struct memory *memory,
				  struct memory *found, struct err *err) ERR_CHECK;

#endif
