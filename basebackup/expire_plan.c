/*
 * expire_plan.c - what goes, and what stays
 */
#include "basebackup/expire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/archive.h"
#include "basebackup/histories.h"
#include "basebackup/reach.h"
#include "common/log.h"

static bool
is_listed(const char *const *ids, size_t nids, const char *id)
{
	for (size_t i = 0; i < nids; i++)
		if (strcmp(ids[i], id) == 0)
			return true;
	return false;
}

/* Every id that the command line names is a backup's. */
static enum status
check_ids(const struct catalog *catalog, const char *const *ids, size_t nids,
		  struct err *err)
{
	for (size_t i = 0; i < nids; i++)
	{
		const struct catalog_backup *b = catalog_find(catalog, ids[i]);

		if (b == NULL || b->state != BACKUP_COMPLETE)
		{
			(void) err_set(err, ST_CONFIG, "there is no backup \"%s\"",
						   ids[i]);
			return err_hint(err, "See \"walship list\".");
		}
	}
	return ST_OK;
}

static enum status
refuse_unreadable(const char *backup_id, struct err *err)
{
	(void) err_context(err, "nothing is expired: backup %s cannot be read",
					   backup_id);
	return err_hint(err, "Nobody knows which packs it needs. Mend it, or give "
						 "the key that it was sealed with.");
}

static enum status
check_readable(const struct catalog *catalog, struct err *err)
{
	for (size_t i = 0; i < catalog->nbackups; i++)
		if (catalog->backups[i].state == BACKUP_UNREADABLE)
		{
			*err = *catalog->backups[i].why;
			return refuse_unreadable(catalog->backups[i].id, err);
		}
	return ST_OK;
}

/* Is the WAL there that makes the backup consistent? */
static enum status
look_at_wal(struct repo *repo, const struct backup_summary *s, char *missing,
			struct err *err)
{
	struct archive_range range;
	struct wal_name name;
	enum status status = archive_look(
		repo, s->timeline, s->wal_segment_size,
		wal_segno_of(s->start_lsn, s->wal_segment_size),
		wal_segno_before(s->stop_lsn, s->wal_segment_size), &range, err);

	if (status == ST_OK && range.gap)
	{
		wal_name_segment(&name, s->timeline, range.missing,
						 s->wal_segment_size);
		(void) snprintf(missing, WAL_NAME_MAX + 1, "%s", name.text);
	}
	return status;
}

/* The complete backups, as the rules see them. */
static enum status
collect(struct repo *repo, const struct expire_options *options,
		struct expire_plan *plan, size_t *ncomplete, struct err *err)
{
	enum status status = ST_OK;
	size_t n = 0;

	for (size_t i = 0; i < plan->catalog.nbackups && status == ST_OK; i++)
	{
		const struct catalog_backup *b = &plan->catalog.backups[i];
		struct expire_backup *e = &plan->backups[i];

		if (b->state != BACKUP_COMPLETE)
			continue;
		status = look_at_wal(repo, &b->summary, e->missing, err);
		plan->kept[n++] = (struct keep_backup){
			.summary = &b->summary,
			.pinned = is_listed(options->pin, options->npin, b->id) ||
					  (b->keep &&
					   !is_listed(options->release, options->nrelease, b->id)),
			.good = e->missing[0] == '\0'};
	}
	*ncomplete = n;
	return status;
}

/* What becomes of backups without a manifest. */
static enum expire_fate
unfinished_fate(const struct repo *repo, const struct catalog_backup *backup)
{
	int64_t age_s = repo->store->answered_s - backup->started;

	/* A store that tells no time lets nothing die. */
	if (repo->store->answered_s == 0 || backup->started == 0 ||
		age_s * 1000 <= repo->cfg->backup_max_age_ms)
		return EXPIRE_RUNNING;
	return EXPIRE_DEAD;
}

static void
set_fates(const struct repo *repo, struct expire_plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->catalog.nbackups; i++)
	{
		const struct catalog_backup *b = &plan->catalog.backups[i];
		struct expire_backup *e = &plan->backups[i];

		switch (b->state)
		{
			case BACKUP_COMPLETE:
				e->reasons = plan->kept[n++].reasons;
				e->fate = e->reasons != 0 ? EXPIRE_KEEP : EXPIRE_GO;
				break;
			case BACKUP_UNFINISHED:
				e->fate = unfinished_fate(repo, b);
				break;
			case BACKUP_EXPIRED:
				e->fate = EXPIRE_LEFT;
				break;
			case BACKUP_UNREADABLE:
				e->fate = EXPIRE_KEEP;
				break;
		}
	}
}

/*
 * Each manifest that stays must be readable to its end before anything is
 * marked: what is marked is gone for good.
 */
static enum status
check_kept(struct repo *repo, const struct expire_plan *plan, struct err *err)
{
	struct reach *reach = NULL;
	enum status status = reach_new(NULL, 0, &reach, err);

	for (size_t i = 0; i < plan->catalog.nbackups && status == ST_OK; i++)
	{
		const struct catalog_backup *b = &plan->catalog.backups[i];

		if (b->state != BACKUP_COMPLETE ||
			plan->backups[i].fate != EXPIRE_KEEP)
			continue;
		status = reach_add_manifest(reach, repo, b->id, err);
		if (status != ST_OK)
			status = refuse_unreadable(b->id, err);
	}
	reach_free(reach);
	return status;
}

static enum status
check_left(const struct expire_plan *plan, size_t ncomplete, struct err *err)
{
	for (size_t i = 0; i < ncomplete; i++)
		if (plan->kept[i].good && plan->kept[i].reasons != 0)
			return ST_OK;
	if (ncomplete == 0)
		return ST_OK;
	(void) err_set(err, ST_CONFIG,
				   "nothing is expired: no backup would be left that can be "
				   "restored");
	return err_hint(err, "\"walship list\" shows what they lack. --force "
						 "deletes them all the same.");
}

/*
 * Which WAL is needed.  A running backup may begin before the newest one (on
 * a standby that lags), so as long as there is one, no WAL goes that lies
 * behind the oldest backup of all.
 */
static void
plan_wal(const struct expire_options *options, struct expire_plan *plan,
		 size_t ncomplete)
{
	struct keep_wal *wal = &plan->wal;
	bool running = false;

	if (ncomplete == 0)
		return;
	*wal = (struct keep_wal){
		.backups = plan->kept,
		.nbackups = ncomplete,
		.segment_size = plan->kept[0].summary->wal_segment_size,
		.window_lsn = keep_window_lsn(&options->rules, plan->kept, ncomplete)};
	for (size_t i = 0; i < plan->catalog.nbackups; i++)
		running = running || plan->backups[i].fate == EXPIRE_RUNNING;
	plan->wal_known = true;
	for (size_t i = 0; i < ncomplete; i++)
	{
		const struct backup_summary *s = plan->kept[i].summary;

		if (running && s->start_lsn < wal->window_lsn)
			wal->window_lsn = s->start_lsn;
		if (s->wal_segment_size != wal->segment_size)
			plan->wal_known = false;
	}
	if (!plan->wal_known)
		log_warning("no WAL is expired: the backups are of different WAL "
					"segment sizes");
}

static enum status
count_wal(void *arg, const struct store_entry *entry, struct err *err)
{
	struct expire_plan *plan = arg;

	(void) err;
	plan->wal_files++;
	plan->wal_bytes += entry->stat.size_bytes;
	return ST_OK;
}

static enum status
decide(struct session *session, const struct expire_options *options,
	   struct expire_plan *plan, struct err *err)
{
	struct histories histories = {.nhistories = 0};
	size_t ncomplete;
	enum status status =
		collect(&session->repo, options, plan, &ncomplete, err);

	if (status == ST_OK)
		status = histories_load(&session->repo, &histories, err);
	if (status == ST_OK && histories_require(&histories, err) != ST_OK)
		status = err_context(err, "nothing is expired");
	if (status == ST_OK)
	{
		const struct keep_timelines timelines = {histories.nhistories,
												 histories.list};

		plan->now_s = repo_now_s(&session->repo);
		(void) keep_backups(&options->rules, plan->now_s, &timelines,
							plan->kept, ncomplete);
		set_fates(&session->repo, plan);
		if (!options->force)
			status = check_left(plan, ncomplete, err);
	}
	histories_free(&histories);
	if (status == ST_OK)
		status = check_kept(&session->repo, plan, err);
	if (status == ST_OK)
		plan_wal(options, plan, ncomplete);
	if (status == ST_OK && plan->wal_known)
		status =
			expire_list_wal(&session->repo, &plan->wal, count_wal, plan, err);
	return status;
}

enum status
expire_plan_make(struct session *session, const struct expire_options *options,
				 struct expire_plan *out, struct err *err)
{
	struct expire_plan plan = {.now_s = 0};
	enum status status = repo_require_cluster(&session->repo, err);

	if (status == ST_OK)
		status = catalog_load_all(&session->repo, &plan.catalog, err);
	if (status == ST_OK)
		status = check_readable(&plan.catalog, err);
	if (status == ST_OK)
		status = check_ids(&plan.catalog, options->pin, options->npin, err);
	if (status == ST_OK)
		status =
			check_ids(&plan.catalog, options->release, options->nrelease, err);
	if (status == ST_OK)
	{
		plan.backups =
			calloc(plan.catalog.nbackups + 1, sizeof(*plan.backups));
		plan.kept = calloc(plan.catalog.nbackups + 1, sizeof(*plan.kept));
		if (plan.backups == NULL || plan.kept == NULL)
			status = err_set(err, ST_NOMEM, "out of memory");
	}
	if (status == ST_OK)
		status = decide(session, options, &plan, err);
	if (status == ST_OK)
		*out = plan;
	else
		expire_plan_free(&plan);
	return status;
}

void
expire_plan_free(struct expire_plan *plan)
{
	catalog_free(&plan->catalog);
	free(plan->backups);
	free(plan->kept);
	plan->backups = NULL;
	plan->kept = NULL;
}
