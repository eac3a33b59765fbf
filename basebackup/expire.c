/*
 * expire.c - deleting what no rule keeps
 */
#include "basebackup/expire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basebackup/json.h"
#include "basebackup/reach.h"
#include "basebackup/remover.h"
#include "basebackup/report.h"
#include "basebackup/start_read.h"
#include "common/cli.h"
#include "common/log.h"

/* A run that carries out a plan. */
struct run
{
	struct session *session;
	const struct expire_plan *plan;
	struct expire_result *result;
	struct remover *remover;
	struct catalog now; /* the second look */
	const char **expired;
	size_t nexpired;
	struct reach *reach;
};

/* Puts a keep or an expired object; one that is there says the same. */
static enum status
put_mark(struct repo *repo, const char *backup_id, const char *part,
		 struct err *err)
{
	char name[OBJECT_NAME_MAX + 1];
	char host[HOST_NAME_MAX_BYTES];
	char text[21];
	struct json *json = NULL;
	const char *line;
	size_t len;
	enum status status = json_new(&json, err);

	if (status != ST_OK)
		return status;
	json_begin(json);
	json_text(json, "time", time_format((int64_t) time(NULL), text));
	json_text(json, "host", host_name(host));
	if (strcmp(part, "keep") == 0)
		json_text(json, "reason", "walship expire --keep");
	status = json_done(json, &line, &len, err);
	repo_backup_name(name, backup_id, part);
	if (status == ST_OK)
		status = repo_put_bytes(repo, OBJECT_MARK, name, line, len, err);
	json_free(json);
	return status == ST_EXISTS ? ST_OK : status;
}

static enum status
change_pins(struct run *run, const struct expire_options *options,
			struct err *err)
{
	struct repo *repo = &run->session->repo;
	enum status status = ST_OK;

	for (size_t i = 0; i < options->npin && status == ST_OK; i++)
		status = put_mark(repo, options->pin[i], "keep", err);
	for (size_t i = 0; i < options->nrelease && status == ST_OK; i++)
		status =
			remover_add_part(run->remover, options->release[i], "keep", err);
	return status == ST_OK ? remover_flush(run->remover, err) : status;
}

/* Step 2 of the protocol: from here on nobody builds on them any more. */
static enum status
mark_expired(struct run *run, struct err *err)
{
	const struct expire_plan *plan = run->plan;
	enum status status = ST_OK;

	for (size_t i = 0; i < plan->catalog.nbackups && status == ST_OK; i++)
	{
		enum expire_fate fate = plan->backups[i].fate;

		if (fate == EXPIRE_GO || fate == EXPIRE_DEAD)
			status = put_mark(&run->session->repo, plan->catalog.backups[i].id,
							  "expired", err);
	}
	return status;
}

/*
 * A start protects what it may build on until its manifest does.  ST_MISSING:
 * it is gone.
 */
static enum status
protect_bases(struct run *run, const char *backup_id, struct err *err)
{
	struct repo *repo = &run->session->repo;
	struct backup_start start;
	enum status status = start_read(repo, backup_id, &start, err);

	if (status != ST_OK)
		return status;
	for (size_t i = 0; i < start.nbases && status == ST_OK; i++)
	{
		reach_add_owner(run->reach, start.bases[i]);
		status = reach_add_manifest(run->reach, repo, start.bases[i], err);
		if (status == ST_MISSING)
			status = ST_OK; /* it died, and owns what it is used for */
	}
	backup_start_free(&start);
	return status;
}

/* Step 3: everything that is needed, as of now. */
static enum status
look_again(struct run *run, struct err *err)
{
	struct repo *repo = &run->session->repo;
	enum status status = catalog_load_all(repo, &run->now, err);

	if (status != ST_OK)
		return status;
	run->expired = calloc(run->now.nbackups + 1, sizeof(*run->expired));
	if (run->expired == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < run->now.nbackups; i++)
		if (run->now.backups[i].state == BACKUP_EXPIRED)
			run->expired[run->nexpired++] = run->now.backups[i].id;
	if (run->nexpired == 0)
		return ST_OK;

	status = reach_new(run->expired, run->nexpired, &run->reach, err);
	for (size_t i = 0; i < run->now.nbackups && status == ST_OK; i++)
	{
		const struct catalog_backup *b = &run->now.backups[i];

		if (b->state == BACKUP_UNREADABLE)
			*err = *b->why, status = err->status;
		else if (b->state == BACKUP_UNFINISHED)
			status = protect_bases(run, b->id, err);
		else if (b->state == BACKUP_COMPLETE)
			status = reach_add_manifest(run->reach, repo, b->id, err);

		/* Another run has deleted it meanwhile. */
		if (status == ST_MISSING)
			status = ST_OK;
		if (status != ST_OK)
			return err_context(err, "nothing is deleted: backup %s", b->id);
	}
	return status;
}

/* One expired backup's packs or digests. */
struct part_walk
{
	struct run *run;
	const char *backup_id;
	enum object_kind kind;
	uint64_t left; /* out: how many stay */
};

static enum status
visit_part(void *arg, const struct store_entry *entry, struct err *err)
{
	struct part_walk *walk = arg;
	const char *digits = strrchr(entry->key, '/') + 1;
	char *end;
	unsigned long n = strtoul(digits, &end, 16);

	if (strlen(digits) != 8 || *end != '\0' ||
		reach_needs(walk->run->reach, walk->backup_id, walk->kind,
					(uint32_t) n))
	{
		walk->left++;
		return ST_OK;
	}
	return remover_add(walk->run->remover, entry, err);
}

static enum status
remove_parts(struct run *run, const char *backup_id, enum object_kind kind,
			 uint64_t *left, struct err *err)
{
	struct part_walk walk = {.run = run, .backup_id = backup_id, .kind = kind};
	char prefix[STORE_KEY_MAX];
	enum status status;

	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/backup/%s/%s/",
					run->session->repo.system_identifier, backup_id,
					kind == OBJECT_PACK ? "pack" : "digest");
	status = store_list(run->session->repo.store, prefix, NULL, false,
						visit_part, &walk, err);
	*left += walk.left;
	return status;
}

/* Steps 4 and 5 for one backup. */
static enum status
remove_backup(struct run *run, const char *backup_id, struct err *err)
{
	struct expire_result *r = run->result;
	uint64_t failed = remover_failed(run->remover);
	uint64_t left = 0;
	enum status status = remove_parts(run, backup_id, OBJECT_PACK, &left, err);

	if (status == ST_OK)
		status = remove_parts(run, backup_id, OBJECT_DIGEST, &left, err);
	if (status == ST_OK)
		status = remover_flush(run->remover, err);
	r->shared += left;
	/* A live start may build on it: its manifest tells what it refers to. */
	if (status == ST_OK && left == 0 &&
		reach_needs(run->reach, backup_id, OBJECT_PACK, 0))
		return ST_OK;
	if (status != ST_OK || left > 0 || remover_failed(run->remover) > failed)
		return status;

	status = remover_add_part(run->remover, backup_id, "manifest", err);
	if (status == ST_OK)
		status = remover_add_part(run->remover, backup_id, "start", err);
	if (status == ST_OK)
		status = remover_add_part(run->remover, backup_id, "keep", err);
	if (status == ST_OK)
		status = remover_flush(run->remover, err);
	if (status != ST_OK || remover_failed(run->remover) > failed)
		return status;

	/* Last: as long as anything is left, the verdict is. */
	status = remover_add_part(run->remover, backup_id, "expired", err);
	if (status == ST_OK)
		status = remover_flush(run->remover, err);
	if (status == ST_OK && remover_failed(run->remover) == failed)
		r->backups++;
	return status;
}

static enum status
remove_backups(struct run *run, struct err *err)
{
	enum status status = ST_OK;

	for (size_t i = 0; i < run->nexpired && status == ST_OK; i++)
		status = remove_backup(run, run->expired[i], err);
	run->result->objects = remover_count(run->remover);
	run->result->object_bytes = remover_bytes(run->remover);
	return status;
}

static enum status
remove_file(void *arg, const struct store_entry *entry, struct err *err)
{
	return remover_add(arg, entry, err);
}

/* A backup that the plan did not know may need WAL that it gave up. */
static struct keep_wal
spare_newcomers(const struct run *run)
{
	struct keep_wal wal = run->plan->wal;
	uint64_t oldest = UINT64_MAX;
	bool newcomer = false;

	for (size_t i = 0; i < wal.nbackups; i++)
		if (wal.backups[i].summary->start_lsn < oldest)
			oldest = wal.backups[i].summary->start_lsn;
	for (size_t i = 0; i < run->now.nbackups; i++)
	{
		const struct catalog_backup *b = &run->now.backups[i];

		if (catalog_find(&run->plan->catalog, b->id) != NULL)
			continue;
		newcomer = true;
		if (b->state == BACKUP_COMPLETE && b->summary.start_lsn < oldest)
			oldest = b->summary.start_lsn;
	}
	if (newcomer && oldest < wal.window_lsn)
		wal.window_lsn = oldest;
	return wal;
}

static enum status
remove_wal(struct run *run, struct err *err)
{
	uint64_t count = remover_count(run->remover);
	uint64_t bytes = remover_bytes(run->remover);
	struct keep_wal wal;
	enum status status;

	if (!run->plan->wal_known)
		return ST_OK;
	wal = spare_newcomers(run);
	status = expire_list_wal(&run->session->repo, &wal, remove_file,
							 run->remover, err);
	if (status == ST_OK)
		status = remover_flush(run->remover, err);
	run->result->wal_files = remover_count(run->remover) - count;
	run->result->wal_bytes = remover_bytes(run->remover) - bytes;
	return status;
}

enum status
expire_apply(struct session *session, const struct expire_options *options,
			 const struct expire_plan *plan, struct expire_result *out,
			 struct err *err)
{
	struct run run = {.session = session, .plan = plan, .result = out};
	enum status status;

	*out = (struct expire_result){.backups = 0};
	status = remover_new(session, &run.remover, err);
	if (status == ST_OK)
		status = change_pins(&run, options, err);
	if (status == ST_OK)
		status = mark_expired(&run, err);
	if (status == ST_OK)
		status = look_again(&run, err);
	if (status == ST_OK)
		status = remove_backups(&run, err);
	if (status == ST_OK)
		status = remove_wal(&run, err);
	if (status == ST_OK)
		status = remover_outcome(run.remover, err);
	out->failed = remover_failed(run.remover);
	if (run.remover != NULL)
	{
		out->locked = remover_locked(run.remover);
		out->locked_bytes = remover_locked_bytes(run.remover);
	}
	remover_free(run.remover);
	reach_free(run.reach);
	free(run.expired);
	catalog_free(&run.now);
	return status;
}
