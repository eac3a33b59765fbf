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
	struct recovery_target target;
	uint32_t timeline; /* 0: the newest */
	bool standby;
	bool allow_gap;
	bool keep_archiving;
	size_t nmappings;
	const struct tablespace_mapping *mappings;
	const char *const *command; /* restore_command, see recovery_conf.h */
	const volatile sig_atomic_t *cancel;
	bool terminal; /* may be used for progress */
};

/* What was settled before the first byte. */
struct restore_choice
{
	struct backup_summary backup;
	uint32_t timeline;
	bool timeline_current; /* its history file is not in the archive */
	bool gap;              /* recovery must not look beyond its target */
};

/*
 * Finds the backup and the timeline, and checks that the WAL which recovery
 * needs is in the archive.  ST_MISSING, ST_CONFIG: there is no way to the
 * target, and why.
 */
extern enum status
restore_choose(struct repo *repo, const struct restore_request *request,
			   struct restore_choice *out, struct err *err) ERR_CHECK;

/*
 * Checks that all packs are there and readable now, that the directories are
 * empty, and that there is room.  Changes nothing.
 */
extern enum status
restore_check(struct repo *repo, const struct restore_request *request,
			  const struct plan *plan, struct err *err) ERR_CHECK;

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
