/*
 * restore.h - a backup into a directory, ready to recover
 */
#ifndef BASEBACKUP_RESTORE_H
#define BASEBACKUP_RESTORE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/choose.h"
#include "basebackup/cold.h"
#include "basebackup/json.h"
#include "basebackup/plan.h"
#include "common/err.h"
#include "common/repo.h"

struct tablespace_mapping
{
	const char *from;
	const char *to;
};

/* What is asked for.  All borrowed. */
struct restore_request
{
	const char *backup_id;  /* NULL: the newest that leads to the target */
	const char *target_dir; /* absolute */
	const char *config_dir; /* absolute */
	const char *link_wal;   /* absolute, or NULL: pg_wal is a directory */
	struct recovery_target target;
	uint32_t timeline; /* 0: the newest */
	bool standby;
	const char *primary_conninfo; /* of a standby, or NULL */
	const char *primary_slot;
	bool allow_gap;
	bool keep_archiving;
	size_t nmappings;
	const struct tablespace_mapping *mappings;
	const char *const *command; /* restore_command, see recovery_conf.h */
	const volatile sig_atomic_t *cancel;
	bool terminal; /* may be used for progress */
	bool dry_run;
	bool delta; /* the directories may be there, and hold some of it */
	bool force; /* even if they are another cluster's */

	/* postgresql.auto.conf holds only the settings for recovery. */
	bool own_settings;
	int thaw_days; /* 0: what is archived is refused */

	struct json *json; /* has the plan written to it, instead of words; NULL */
};

/* What was settled before the first byte. */
struct restore_choice
{
	struct backup_summary backup;
	uint32_t timeline;
	bool timeline_current; /* its history file is not in the archive */
	bool gap;              /* recovery must not look beyond its target */
	bool open_end;         /* recovery may go on to the archive's end */
	bool partial;          /* the last segment is there as .partial only */
	bool own_end_only;     /* the backup leads nowhere else: onward.h */
	size_t nspans;         /* the WAL for it, as far as it is there */
	struct wal_span *spans;
	struct cold_list cold; /* segments that cannot be read now */
};

/*
 * Finds the backup and the timeline, and checks that the WAL which recovery
 * needs is in the archive.  ST_MISSING, ST_CONFIG: there is no way to the
 * target, and why.  *out is freed with restore_choice_free.
 */
extern enum status
restore_choose(struct repo *repo, const struct restore_request *request,
			   struct restore_choice *out, struct err *err) ERR_CHECK;
extern void restore_choice_free(struct restore_choice *choice);

/*
 * Does the archive hold a transaction behind a target in time, or a record at
 * a target's LSN?  Reads WAL from the end backwards until it knows.
 * ST_CONFIG: recovery would not reach the target; the nearest possible is
 * named.
 */
extern enum status
restore_check_reach(struct repo *repo, const struct restore_request *request,
					const struct restore_choice *choice,
					struct err *err) ERR_CHECK;

/* *out: a target in time is reached in the choice's WAL, or who knows. */
extern enum status
restore_look_reach(struct repo *repo, const struct restore_request *request,
				   const struct restore_choice *choice, bool *out,
				   struct err *err) ERR_CHECK;

/* The last transaction in the WAL that was chosen. */
struct restore_last
{
	bool any;
	bool unknown;    /* there may be one before what was looked at */
	int64_t time_us; /* when it ended, since 1970; if any */
	uint64_t lsn;    /* where the segment begins that holds it */
};

/* Reads WAL from its end backwards until a transaction has ended. */
extern enum status
restore_last_transaction(struct repo *repo,
						 const struct restore_choice *choice,
						 struct restore_last *out, struct err *err) ERR_CHECK;

/* A directory to fill, and its file system. */
struct restore_place
{
	const char *path; /* borrowed from the request or the plan */
	uint64_t bytes;   /* the most it takes */
	uint64_t there;   /* what lies there already and will be written over */
	char *resolved;   /* the path without symbolic links */
	dev_t dev;
	uint64_t free_bytes;
};

/* What was found out about a plan. */
struct restore_survey
{
	size_t nplaces;
	struct restore_place *places;
	uint32_t npacks;       /* in use */
	struct cold_list cold; /* packs that cannot be read now */
};

/*
 * Checks that all packs are there, and that the directories may be filled;
 * looks which packs can be read now, and how much room there is.  Changes
 * nothing.  *out is freed with restore_survey_free.
 */
extern enum status
restore_survey(struct repo *repo, const struct restore_request *request,
			   const struct plan *plan, struct restore_survey *out,
			   struct err *err) ERR_CHECK;
extern void restore_survey_free(struct restore_survey *survey);

/* ST_CONFIG if a file system has less room than is needed. */
extern enum status restore_check_room(const struct restore_survey *survey,
									  struct err *err) ERR_CHECK;

/* Several places on one file system share its room; the sum for place i. */
extern uint64_t
restore_room_needed(const struct restore_survey *survey, size_t i);

/*
 * Says what will be done, a line at a time: backup, target, timeline, WAL,
 * bytes, room, what is archived.
 */
extern void
restore_tell_plan(const struct restore_request *request,
				  const struct restore_choice *choice, const struct plan *plan,
				  const struct restore_survey *survey,
				  void (*say)(const char *line));

/* The same as members of an object. */
extern void
restore_json_plan(struct json *json, const struct restore_request *request,
				  const struct restore_choice *choice, const struct plan *plan,
				  const struct restore_survey *survey);

/*
 * The way to restore_files: backup, timeline and plan.  *plan and *choice are
 * to be freed on success.
 */
extern enum status
restore_prepare(struct repo *repo, const struct restore_request *request,
				struct restore_choice *choice, struct plan **plan,
				struct err *err) ERR_CHECK;

/* And all checks, with the plan being said in between; see above. */
extern enum status
restore_settle(struct repo *repo, const struct restore_request *request,
			   struct restore_choice *choice, const struct plan *plan,
			   void (*say)(const char *line), struct err *err) ERR_CHECK;

/* Where a tablespace goes. */
extern const char *restore_location(const struct restore_request *request,
									const struct plan_tablespace *tablespace);

/*
 * Restores.  On failure what is in the directories cannot be started as a
 * server, since pg_control is not there.
 */
extern enum status
restore_files(struct repo *repo, const struct restore_request *request,
			  const struct restore_choice *choice, struct plan *plan,
			  struct err *err) ERR_CHECK;

#endif
