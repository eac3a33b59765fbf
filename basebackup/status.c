/*
 * status.c - the state of one cluster's archive and backups
 */
#include "basebackup/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basebackup/keep.h"
#include "basebackup/keep_config.h"
#include "common/cli.h"
#include "common/log.h"

/*
 * Several files are pushed at once, so for a moment a later segment may be
 * there and an earlier one not yet.
 */
#define SETTLE_SEGMENTS 64
#define SETTLE_S        60
#define SETTLE_MS       1000
#define SETTLE_TRIES    5

void
status_problem(struct overview *s, const char *kind, const char *fmt, ...)
{
	va_list args;
	char *text = NULL;

	if (s->nproblems == s->problems_room)
	{
		size_t room = s->problems_room == 0 ? 16 : s->problems_room * 2;
		struct status_problem *grown =
			reallocarray(s->problems, room, sizeof(*grown));

		if (grown == NULL)
			return;
		s->problems = grown;
		s->problems_room = room;
	}
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	s->problems[s->nproblems++] = (struct status_problem){kind, text};
}

void
status_problem_err(struct overview *s, const char *kind, const struct err *err)
{
	bool both = err->detail[0] != '\0' && err->hint[0] != '\0';
	bool any = err->detail[0] != '\0' || err->hint[0] != '\0';

	status_problem(s, kind, "%s%s%s%s%s", err->message, any ? ". " : "",
				   err->detail, both ? " " : "", err->hint);
}

void
status_free(struct overview *s)
{
	for (size_t i = 0; i < s->nwindows; i++)
		timeline_windows_free(&s->windows[i]);
	free(s->windows);
	histories_free(&s->histories);
	wal_map_free(&s->map);
	catalog_free(&s->catalog);
	free(s->complete);
	free(s->whole);
	for (size_t i = 0; i < s->nproblems; i++)
		free(s->problems[i].text);
	free(s->problems);
}

/* What ends everything. */
static bool
is_fatal(enum status status)
{
	return status == ST_NOMEM || status == ST_CANCELLED;
}

/* --- the catalogue ----------------------------------------------------------
 */

static enum status
load_catalog(struct overview *s, struct err *err)
{
	enum status status = catalog_load_all(&s->session.repo, &s->catalog, err);

	if (status != ST_OK)
		return status;
	s->complete =
		calloc(s->catalog.nbackups + 1, sizeof(struct backup_summary *));
	s->whole = calloc(s->catalog.nbackups + 1, sizeof(*s->whole));
	if (s->complete == NULL || s->whole == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < s->catalog.nbackups; i++)
	{
		const struct catalog_backup *b = &s->catalog.backups[i];

		if (b->state == BACKUP_COMPLETE)
			s->complete[s->ncomplete++] = &b->summary;
		else if (b->state == BACKUP_UNFINISHED)
			s->unfinished++;
		else if (b->state == BACKUP_UNREADABLE)
		{
			s->unreadable++;
			if (!s->key_missing)
				status_problem(s, "backup-unreadable", "backup %s: %s", b->id,
							   b->why->message);
		}
	}
	return ST_OK;
}

/* --- WAL --------------------------------------------------------------------
 */

static uint32_t
segment_size(const struct overview *s)
{
	if (s->ncomplete > 0)
		return s->complete[s->ncomplete - 1]->wal_segment_size;
	return s->server != NULL ? s->server->segment_size : 0;
}

/* May what is missing near the end still be on its way? */
static bool
unsettled(const struct wal_map *map, int64_t now_s)
{
	for (size_t i = 0; i < map->nlines; i++)
	{
		const struct wal_line *line = &map->lines[i];
		const struct wal_stretch *last = line->stretches + line->nstretches;

		if (line->nstretches >= 2 &&
			last[-1].last - last[-2].last <= SETTLE_SEGMENTS &&
			now_s - last[-1].modified_s <= SETTLE_S)
			return true;
	}
	return false;
}

static enum status
load_wal(struct overview *s, const struct memory *memory, struct memory *found,
		 struct err *err)
{
	/* The tries are counted: a listing may take any time. */
	struct deadline patience = deadline_in(INT64_MAX, cli_cancel());
	enum status status;

	for (int i = 0;; i++)
	{
		found->nblocks = 0;
		found->nends = 0;
		status = wal_map_load(&s->session.repo, segment_size(s), memory,
							  s->now_s, found, &s->map, err);
		if (status != ST_OK || i == SETTLE_TRIES ||
			!unsettled(&s->map, s->now_s))
			break;
		wal_map_free(&s->map);
		status = deadline_sleep(&patience, SETTLE_MS, err);
		if (status != ST_OK)
			return status;
	}
	if (status == ST_OK)
		usage_join(&s->usage, &s->map.usage);
	return status;
}

/* Where the rules want WAL from, as `walship verify` sees it. */
static enum status
find_wal_start(struct overview *s, struct err *err)
{
	const struct keep_rules rules = keep_rules_of(s->session.cfg);
	const struct keep_timelines timelines = {s->histories.nhistories,
											 s->histories.list};
	struct keep_backup *kept = calloc(s->ncomplete + 1, sizeof(*kept));

	if (kept == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < s->ncomplete; i++)
	{
		const struct catalog_backup *b =
			catalog_find(&s->catalog, s->complete[i]->id);

		s->whole[i] = window_backup_whole(&s->map, s->complete[i]);
		kept[i] = (struct keep_backup){.summary = s->complete[i],
									   .pinned = b != NULL && b->keep,
									   .good = s->whole[i]};
	}
	(void) keep_backups(&rules, s->now_s, &timelines, kept, s->ncomplete);
	s->wal_from_lsn = keep_window_lsn(&rules, kept, s->ncomplete);
	for (size_t i = 0; i < s->ncomplete; i++)
		if (s->whole[i] && s->complete[i]->start_lsn < s->wal_from_lsn)
			s->outside++;
	free(kept);
	return ST_OK;
}

static bool
has_backup_on(const struct overview *s, uint32_t timeline)
{
	for (size_t i = 0; i < s->ncomplete; i++)
		if (s->complete[i]->timeline == timeline)
			return true;
	return false;
}

/*
 * Where a backup was taken on a timeline whose history is not there, the
 * cluster came to the repository on it, as a rule.
 */
static void
tell_flaws(struct overview *s)
{
	for (size_t i = 0; i < s->histories.nflaws; i++)
	{
		const struct history_flaw *flaw = &s->histories.flaws[i];

		if (flaw->why.status != ST_MISSING)
			status_problem_err(s, "history", &flaw->why);
		else if (!has_backup_on(s, flaw->timeline))
			status_problem(s, "history",
						   "the history of timeline %" PRIu32 " is not in the "
						   "archive: no backup leads to it",
						   flaw->timeline);
	}
}

static enum status
find_windows(struct overview *s, struct err *err)
{
	enum status status = histories_load(&s->session.repo, &s->histories, err);

	if (status != ST_OK)
		return status;
	tell_flaws(s);
	status = find_wal_start(s, err);
	s->windows = calloc(s->histories.nhistories + 1, sizeof(*s->windows));
	if (s->windows == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < s->histories.nhistories && status == ST_OK; i++)
	{
		status = timeline_windows_find(
			&s->histories.list[i], &s->map, s->complete, s->ncomplete,
			s->wal_from_lsn, &s->windows[s->nwindows], err);
		if (status == ST_OK)
			s->nwindows++;
	}
	return status;
}

/* --- all --------------------------------------------------------------------
 */

/* Everything that takes the store. */
static enum status
look_at_store(struct overview *s, const struct memory *memory,
			  struct memory *found, struct err *err)
{
	struct repo *repo = &s->session.repo;
	enum status status = load_catalog(s, err);

	if (status == ST_OK && repo->store->answered_s > 0)
		s->now_s = repo->store->answered_s;
	if (status == ST_OK)
		status = load_wal(s, memory, found, err);
	if (status == ST_OK && s->ncomplete > 0)
		status = find_windows(s, err);
	if (status == ST_OK)
		status = status_usage_load(s, memory, found, err);
	if (status == ST_OK)
		status = status_reports_load(repo, !s->key_missing, s->now_s,
									 &s->reports, &s->usage, err);
	return status;
}

/* Who may list and not read learns nothing of it, and all the rest. */
static enum status
look_at_replication(struct overview *s, struct err *err)
{
	enum status status = status_replication_look(s, err);

	if (status == ST_OK || is_fatal(status))
		return status;
	log_info("the state of replication is not known: %s", err->message);
	return ST_OK;
}

static enum status
gather(struct overview *s, const struct status_options *options,
	   const struct spool *spool, struct err *err)
{
	struct memory memory = {.segment_size = 0};
	struct memory found = {.segment_size = 0};
	enum status status;

	memory_load(spool, s->now_s, &memory);
	memory_fade(&memory, s->now_s);
	if (options->full)
	{
		memory.nblocks = 0;
		memory.nusages = 0;
	}
	status = look_at_store(s, &memory, &found, err);
	if (status == ST_OK)
	{
		status_compare_pushed(s);
		status_compare_memory(s, &memory, &found);
		memory_save(spool, &found);
		status = look_at_replication(s, err);
	}
	else if (!is_fatal(status))
	{
		s->store_failed = true;
		status_problem_err(s, "store", err);
		status = ST_OK;
	}
	memory_free(&memory);
	memory_free(&found);
	return status;
}

enum status
status_gather(struct overview *s, const struct status_options *options,
			  struct err *err)
{
	struct spool spool = {.fd = -1};
	enum status status = ST_OK;

	s->now_s = (int64_t) time(NULL);
	s->wal_from_lsn = UINT64_MAX;
	s->server = options->server;
	s->key_missing = s->session.ring == NULL;
	s->repository = s->session.cfg->repository;

	/* Before the store: what is pushed while we look shall not be missed. */
	status_spool_look(s->session.cfg, s->session.ring, s->system_identifier,
					  &s->spool);
	if (s->session.repo.store == NULL)
		s->store_failed = true;
	else
	{
		s->session.repo.system_identifier = s->system_identifier;
		if (!s->key_missing)
			spool_open(&spool, s->session.cfg, s->session.ring,
					   s->system_identifier, NULL);
		status = gather(s, options, &spool, err);
		spool_close(&spool);
		s->requests = s->session.repo.store->requests;
	}
	if (status != ST_OK)
		return status;
	status_compare_server(s);
	status_compare_last(s);
	status_find_problems(s);
	return ST_OK;
}
