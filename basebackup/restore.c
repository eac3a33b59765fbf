/*
 * restore.c - a backup into a directory, ready to recover
 *
 * The order is what makes a crash harmless: content, checksums, links and
 * settings, all of it flushed, and only then pg_control under its own name.
 */
#include "basebackup/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "basebackup/delta.h"
#include "basebackup/fetch.h"
#include "basebackup/progress.h"
#include "basebackup/recovery_conf.h"
#include "basebackup/takeover.h"
#include "basebackup/tree.h"
#include "common/cli.h"
#include "common/deadline.h"
#include "common/log.h"

struct restore
{
	struct repo *repo;
	const struct restore_request *request;
	const struct restore_choice *choice;
	struct plan *plan;
	struct tree *tree;
	struct tree_cursor *cursor;
	size_t wal_area;
	struct delta *delta; /* NULL: nothing was there */
	int lock;
};

static enum status
open_tree(struct restore *r, struct err *err)
{
	const struct plan *plan = r->plan;
	mode_t mode = plan->summary.data_directory_mode;
	enum status st;

	/* The last area is pg_wal, where that lies elsewhere. */
	r->wal_area = PLAN_TABLESPACE + plan->ntablespaces;
	if ((st = tree_new(r->wal_area + 1, &r->tree, err)) != ST_OK ||
		(st = tree_open_area(r->tree, PLAN_DATA, r->request->target_dir, mode,
							 r->request->delta, err)) != ST_OK)
		return st;
	if (plan->nconfigs > 0)
		st = tree_open_area(r->tree, PLAN_CONFIG, r->request->config_dir, 0700,
							r->request->delta, err);
	for (size_t i = 0; st == ST_OK && i < plan->ntablespaces; i++)
		st =
			tree_open_area(r->tree, PLAN_TABLESPACE + i,
						   restore_location(r->request, &plan->tablespaces[i]),
						   mode, r->request->delta, err);
	if (st == ST_OK && r->request->link_wal != NULL)
		st = tree_open_area(r->tree, r->wal_area, r->request->link_wal, mode,
							r->request->delta, err);
	if (st == ST_OK)
		st = tree_cursor_new(r->tree, &r->cursor, err);
	return st;
}

/* Is this pg_wal, or below it?  Then *rest is what is left of the path. */
static bool
in_pg_wal(const char *path, const char **rest)
{
	if (strncmp(path, "pg_wal", 6) != 0 || (path[6] != '\0' && path[6] != '/'))
		return false;
	*rest = path[6] == '/' ? path + 7 : ".";
	return true;
}

/* A directory of the data directory, which pg_wal may not lie in. */
static enum status
make_data_dir(struct restore *r, const char *path, mode_t mode,
			  struct err *err)
{
	const char *rest;

	if (r->request->link_wal != NULL && in_pg_wal(path, &rest))
		return tree_mkdir(r->cursor, r->wal_area, rest, mode, err);
	return tree_mkdir(r->cursor, PLAN_DATA, path, mode, err);
}

/* What to do with each entry of the plan. */
typedef enum status (*entry_visitor)(struct restore *r, uint32_t number,
									 const struct plan_entry *entry,
									 struct err *err);

static enum status
visit_entries(struct restore *r, entry_visitor visit, struct err *err)
{
	const struct deadline cancelled = deadline_in(-1, r->request->cancel);
	struct plan_entry entry;
	enum status st = ST_OK;

	for (uint32_t i = 0; st == ST_OK && i < r->plan->nentries; i++)
	{
		st = deadline_check(&cancelled, err);
		if (st == ST_OK)
			st = plan_get_entry(r->plan, i, &entry, err);
		if (st == ST_OK)
			st = visit(r, i, &entry, err);
	}
	return st;
}

static enum status
make_entry(struct restore *r, uint32_t number, const struct plan_entry *entry,
		   struct err *err)
{
	if (entry->type == PLAN_DIR && entry->area == PLAN_DATA)
		return make_data_dir(r, entry->path, entry->mode, err);
	if (entry->type == PLAN_DIR)
		return tree_mkdir(r->cursor, entry->area, entry->path, entry->mode,
						  err);
	if (r->delta != NULL && delta_state(r->delta, number) != DELTA_ABSENT)
		return ST_OK;
	return tree_create(r->cursor, entry->area, plan_pending_path(entry),
					   entry->size, err);
}

static enum status
finish_entry(struct restore *r, uint32_t number,
			 const struct plan_entry *entry, struct err *err)
{
	if (entry->type == PLAN_DIR)
		return ST_OK;
	if ((r->delta == NULL || delta_state(r->delta, number) != DELTA_KEPT) &&
		!plan_entry_intact(r->plan, number))
		return err_set(err, ST_CORRUPT,
					   "file \"%s\" does not have the checksum in the "
					   "manifest of backup %s",
					   entry->path, r->plan->summary.id);
	if (entry->area == PLAN_CONFIG)
		return ST_OK;
	return tree_finish(r->cursor, entry->area, plan_pending_path(entry),
					   entry->mode, entry->mtime, err);
}

static void
show_progress(void *arg, uint64_t done, uint64_t total)
{
	(void) total;
	progress_update(arg, done);
}

static enum status
fetch_content(struct restore *r, struct err *err)
{
	struct progress progress;
	const struct fetch_job job = {.cfg = r->repo->cfg,
								  .ring = r->repo->ring,
								  .system_identifier =
									  r->repo->system_identifier,
								  .plan = r->plan,
								  .tree = r->tree,
								  .delta = r->delta,
								  .cancel = r->request->cancel,
								  .progress = show_progress,
								  .progress_arg = &progress};
	enum status st;

	progress_begin(&progress, r->request->terminal, r->plan->write_bytes);
	st = fetch_run(&job, err);
	progress_end(&progress);
	return st;
}

/*
 * Debian's postgresql.conf includes the directory conf.d beside it, without
 * which the server would not start; when it is empty, no file stands for it.
 */
static enum status
complete_config(struct restore *r, struct err *err)
{
	const char *file = plan_setting(r->plan, "config_file");
	char path[MANIFEST_PATH_MAX + 1];
	const char *slash;

	if (file == NULL || !manifest_path_valid(file + 1) ||
		faccessat(tree_fd(r->tree, PLAN_CONFIG), file + 1, F_OK, 0) != 0)
		return ST_OK;
	slash = strrchr(file + 1, '/');
	if (slash == NULL || (size_t) snprintf(path, sizeof(path), "%.*s/conf.d",
										   (int) (slash - (file + 1)),
										   file + 1) >= sizeof(path))
		return ST_OK;
	return tree_mkdir(r->cursor, PLAN_CONFIG, path, 0700, err);
}

/* What a data directory has that no backup holds. */
static enum status
complete_tree(struct restore *r, struct err *err)
{
	mode_t mode = r->plan->summary.data_directory_mode;
	enum status st;

	if ((st = make_data_dir(r, "pg_wal", mode, err)) != ST_OK ||
		(st = make_data_dir(r, "pg_wal/archive_status", mode, err)) != ST_OK ||
		(st = tree_mkdir(r->cursor, PLAN_DATA, "pg_tblspc", mode, err)) !=
			ST_OK)
		return st;
	return r->plan->nconfigs > 0 ? complete_config(r, err) : ST_OK;
}

static enum status
write_settings(struct restore *r, struct err *err)
{
	const struct recovery_conf conf = {
		.target = &r->request->target,
		.standby = r->request->standby,
		.primary_conninfo = r->request->primary_conninfo,
		.primary_slot = r->request->primary_slot,
		.timeline = r->choice->timeline,
		.timeline_current = r->choice->timeline_current,
		.archive_off = !r->request->keep_archiving && !r->request->standby,
		.prefetch_off =
			r->choice->gap && r->plan->summary.server_version >= 150000,
		.backup_id = r->plan->summary.id,
		.now_s = (int64_t) time(NULL),
		.command = r->request->command};
	char *text;
	enum status st = recovery_conf_format(&conf, &text, err);

	if (st != ST_OK)
		return st;
	if (r->request->own_settings)
		(void) unlinkat(tree_fd(r->tree, PLAN_DATA), "postgresql.auto.conf",
						0);
	st = tree_append(r->cursor, PLAN_DATA, "postgresql.auto.conf", text, err);
	free(text);
	if (st == ST_OK)
		st = tree_append(r->cursor, PLAN_DATA,
						 r->request->standby ? "standby.signal"
											 : "recovery.signal",
						 "", err);
	return st;
}

/*
 * To tablespaces, and to pg_wal elsewhere.  They come first: a later attempt
 * knows by them whose those directories are.
 */
static enum status
make_links(struct restore *r, struct err *err)
{
	enum status st = ST_OK;

	if (r->request->link_wal != NULL)
		st = tree_symlink(r->cursor, PLAN_DATA, "pg_wal", r->request->link_wal,
						  err);
	for (size_t i = 0; st == ST_OK && i < r->plan->ntablespaces; i++)
	{
		const struct plan_tablespace *t = &r->plan->tablespaces[i];
		char path[64];

		snprintf(path, sizeof(path), "pg_tblspc/%u", t->oid);
		st = tree_symlink(r->cursor, PLAN_DATA, path,
						  restore_location(r->request, t), err);
	}
	return st;
}

/* What is there, and in the backup, stays. */
static enum status
take_stock(struct restore *r, struct err *err)
{
	const struct delta_job job = {.request = r->request,
								  .plan = r->plan,
								  .tree = r->tree,
								  .wal_area = r->wal_area,
								  .workers = r->repo->cfg->restore_workers};
	uint64_t files, bytes;
	char size[16];
	enum status st = delta_sweep(&job, err);

	if (st == ST_OK)
		st = make_links(r, err);
	if (st == ST_OK)
		st = delta_compare(&job, &r->delta, err);
	if (st != ST_OK)
		return st;
	delta_kept(r->delta, &files, &bytes);
	log_info("%" PRIu64 " of %" PRIu64 " files, %s, are there already", files,
			 r->plan->summary.files, size_format(bytes, size));
	return ST_OK;
}

static enum status
fill_tree(struct restore *r, struct err *err)
{
	const struct deadline cancelled = deadline_in(-1, r->request->cancel);
	const char *path = r->request->target_dir;
	enum status st;

	st = r->request->delta ? take_stock(r, err) : make_links(r, err);
	if (st != ST_OK || (st = visit_entries(r, make_entry, err)) != ST_OK ||
		(st = fetch_content(r, err)) != ST_OK ||
		(st = visit_entries(r, finish_entry, err)) != ST_OK ||
		(st = complete_tree(r, err)) != ST_OK ||
		(st = write_settings(r, err)) != ST_OK ||
		(st = takeover_end(tree_fd(r->tree, PLAN_DATA), path, err)) != ST_OK ||
		(st = tree_sync(r->tree, err)) != ST_OK ||
		(st = deadline_check(&cancelled, err)) != ST_OK)
		return st;
	return tree_rename(r->cursor, PLAN_DATA, PLAN_CONTROL_PENDING,
					   PLAN_CONTROL_FILE, err);
}

enum status
restore_files(struct repo *repo, const struct restore_request *request,
			  const struct restore_choice *choice, struct plan *plan,
			  struct err *err)
{
	struct restore r = {.repo = repo,
						.request = request,
						.choice = choice,
						.plan = plan,
						.lock = -1};
	enum status st = open_tree(&r, err);

	if (st == ST_OK)
		st = takeover_begin(tree_fd(r.tree, PLAN_DATA), request->target_dir,
							repo->system_identifier, plan->summary.id, &r.lock,
							err);
	if (st == ST_OK)
	{
		st = fill_tree(&r, err);
		if (st != ST_OK)
			err_detail(err,
					   "What is in \"%s\" is incomplete, and no server starts "
					   "from it.  Repeat this with --delta to go on from "
					   "there, or empty it.",
					   request->target_dir);
	}
	if (r.lock >= 0)
		(void) close(r.lock);
	delta_free(r.delta);
	tree_cursor_free(r.cursor);
	tree_free(r.tree);
	return st;
}
