/*
 * expire.h - deleting what no rule keeps (common/FORMAT.md, section 7)
 *
 * A plan is made from one look at the repository, and can be shown without
 * doing anything.  Carrying it out marks what goes, looks again, and deletes
 * only what nothing needs by then; a run that dies half-way is completed by
 * the next.  Runs on the session's repo handle and one more, in one thread.
 */
#ifndef BASEBACKUP_EXPIRE_H
#define BASEBACKUP_EXPIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/catalog.h"
#include "basebackup/keep.h"
#include "common/err.h"
#include "common/session.h"

enum expire_fate
{
	EXPIRE_KEEP,
	EXPIRE_GO,      /* no rule keeps it */
	EXPIRE_DEAD,    /* unfinished, and older than backup_max_age */
	EXPIRE_RUNNING, /* unfinished, and perhaps still running */
	EXPIRE_LEFT     /* marked by an earlier run */
};

struct expire_backup
{
	enum expire_fate fate;
	unsigned reasons;               /* EXPIRE_KEEP: why, as in keep.h */
	char missing[WAL_NAME_MAX + 1]; /* WAL that makes it useless, or empty */
};

struct expire_options
{
	struct keep_rules rules;
	const char *const *pin; /* ids to keep for good */
	size_t npin;
	const char *const *release; /* ids whose pin is taken away */
	size_t nrelease;
	bool force; /* even if nothing is left that can be restored */
};

struct expire_plan
{
	struct catalog catalog;
	struct expire_backup *backups; /* one for each of the catalogue */
	int64_t now_s;                 /* as repo_now_s tells */

	/* The WAL: what of it goes. */
	bool wal_known;      /* there is a backup, all of one segment size */
	struct keep_wal wal; /* what is needed; if wal_known */
	struct keep_backup *kept;
	uint64_t wal_files;
	uint64_t wal_bytes;
};

/* What was deleted. */
struct expire_result
{
	uint64_t backups;
	uint64_t objects; /* packs and digests */
	uint64_t object_bytes;
	uint64_t shared; /* packs and digests of expired backups that stay */
	uint64_t wal_files;
	uint64_t wal_bytes;
	uint64_t locked; /* of all these, objects that a lock still holds */
	uint64_t locked_bytes;
	uint64_t failed; /* objects that could not be deleted */
};

/*
 * ST_CORRUPT, ST_AUTH: a manifest cannot be read, so nobody knows what it
 * needs.  ST_CONFIG: an id is none, or nothing would be left that can be
 * restored.  On success *out is freed with expire_plan_free.
 */
extern enum status
expire_plan_make(struct session *session, const struct expire_options *options,
				 struct expire_plan *out, struct err *err) ERR_CHECK;
extern void expire_plan_free(struct expire_plan *plan);

/*
 * Carries it out.  Objects that cannot be deleted are logged and counted, and
 * the first one's status returned at the end.  *out is good in any case.
 */
extern enum status
expire_apply(struct session *session, const struct expire_options *options,
			 const struct expire_plan *plan, struct expire_result *out,
			 struct err *err) ERR_CHECK;

/*
 * The WAL file that an archived file holds, also of one that was set aside;
 * false for what is none of ours.
 */
extern bool expire_parse_wal(const char *text, struct wal_name *name);

/* Lists the archived files that a plan does not need, in order. */
extern enum status
expire_list_wal(struct repo *repo, const struct keep_wal *wal,
				store_lister lister, void *arg, struct err *err) ERR_CHECK;

#endif
