/*
 * drill_choose.c - which backup a drill takes, and how far it recovers
 */
#include "basebackup/drill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "basebackup/catalog.h"
#include "basebackup/choose.h"
#include "basebackup/histories.h"
#include "basebackup/keep_config.h"
#include "basebackup/timestamp.h"
#include "common/log.h"

/* What may be drawn. */
struct lot
{
	struct catalog catalog;
	struct histories histories;
	struct keep_backup *backups; /* those that lead to the timeline */
	size_t nbackups;
	uint64_t window_lsn; /* of older ones only their own WAL is kept */
};

/* 0 to n - 1; n is far below 2^64, so none is favoured. */
static enum status
draw(uint64_t n, uint64_t *out, struct err *err)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return err_set_errno(err, ST_IO, errno, "could not draw at random");
	*out = number % n;
	return ST_OK;
}

static const struct timeline_history *
find_history(const struct lot *lot, uint32_t timeline)
{
	const struct histories *h = &lot->histories;

	for (size_t i = h->nhistories; i > 0; i--)
		if (timeline == 0 || h->list[i - 1].timeline == timeline)
			return &h->list[i - 1];
	return NULL;
}

static void
free_lot(struct lot *lot)
{
	free(lot->backups);
	histories_free(&lot->histories);
	catalog_free(&lot->catalog);
}

/* free_lot is due in any case. */
static enum status
load_lot(struct drill *d, struct lot *lot, struct err *err)
{
	struct session *session = &d->cluster.session;
	struct keep_rules rules = keep_rules_of(session->cfg);
	const struct timeline_history *history;
	struct keep_timelines timelines;
	enum status st = catalog_load(&session->repo, &lot->catalog, err);

	if (st == ST_OK)
		st = histories_load(&session->repo, &lot->histories, err);
	if (st == ST_OK)
		st = histories_require(&lot->histories, err);
	if (st != ST_OK)
		return st;
	lot->backups = calloc(lot->catalog.nbackups + 1, sizeof(*lot->backups));
	if (lot->backups == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	history = find_history(lot, d->cluster.request.timeline);
	for (size_t i = 0; i < lot->catalog.nbackups; i++)
	{
		const struct catalog_backup *b = &lot->catalog.backups[i];

		if (b->state == BACKUP_COMPLETE &&
			(history == NULL || choose_leads_to(&b->summary, history)))
			lot->backups[lot->nbackups++] = (struct keep_backup){
				.summary = &b->summary, .pinned = b->keep, .good = true};
	}
	timelines = (struct keep_timelines){lot->histories.nhistories,
										lot->histories.list};
	(void) keep_backups(&rules, (int64_t) time(NULL), &timelines, lot->backups,
						lot->nbackups);
	lot->window_lsn = keep_window_lsn(&rules, lot->backups, lot->nbackups);
	return ST_OK;
}

/* Of a backup outside the window only the WAL is sure that it needs itself. */
static enum status
draw_backup(struct drill *d, const struct lot *lot, struct err *err)
{
	struct restore_request *r = &d->cluster.request;
	const struct backup_summary *s;
	uint64_t number = 0;
	enum status st;

	if (lot->nbackups == 0)
		return err_set(err, ST_MISSING,
					   "the repository holds no backup of this cluster that "
					   "leads to the timeline's end");
	st = draw(lot->nbackups, &number, err);
	if (st != ST_OK)
		return st;
	s = lot->backups[number].summary;
	(void) snprintf(d->drawn, sizeof(d->drawn), "%s", s->id);
	r->backup_id = d->drawn;
	if (s->start_lsn < lot->window_lsn)
	{
		r->target.kind = TARGET_IMMEDIATE;
		d->random_target = false;
	}
	log_info("drawn: backup %s%s", d->drawn,
			 r->target.kind == TARGET_IMMEDIATE
				 ? ", which restores to its own end only"
				 : "");
	return ST_OK;
}

/* When the window of the target begins; INT64_MAX: there is no backup. */
static int64_t
earliest(const struct drill *d, const struct lot *lot)
{
	const char *id = d->cluster.request.backup_id;
	const struct catalog_backup *named =
		id == NULL ? NULL : catalog_find(&lot->catalog, id);

	if (id != NULL)
		return named == NULL || named->state != BACKUP_COMPLETE
				   ? INT64_MAX
				   : named->summary.stop_time;
	for (size_t i = 0; i < lot->nbackups; i++)
		if (lot->backups[i].summary->start_lsn >= lot->window_lsn)
			return lot->backups[i].summary->stop_time;
	return INT64_MAX;
}

/* Recovery stops at a time only before a transaction that ended later. */
static enum status
draw_target(struct drill *d, const struct lot *lot, struct err *err)
{
	struct restore_request *r = &d->cluster.request;
	int64_t begin_s = earliest(d, lot);
	char text[TIMESTAMP_TEXT_MAX];
	uint64_t offset = 0;
	enum status st;

	if (begin_s == INT64_MAX || !d->archive.any ||
		d->archive.time_us <= begin_s * 1000000)
	{
		log_info("no transaction ended after the backup: recovering to the "
				 "archive's end instead of a moment drawn at random");
		d->random_target = false;
		return ST_OK;
	}
	st = draw((uint64_t) (d->archive.time_us - begin_s * 1000000), &offset,
			  err);
	if (st != ST_OK)
		return st;
	r->target.kind = TARGET_TIME;
	r->target.time_us = begin_s * 1000000 + (int64_t) offset;
	log_info("drawn: target %s", timestamp_format(r->target.time_us, text));
	return ST_OK;
}

/* The last transaction that can be had, from whichever backup. */
static enum status
find_end(struct drill *d, struct err *err)
{
	const struct restore_request request = {
		.timeline = d->cluster.request.timeline,
		.cancel = d->cluster.request.cancel};
	struct restore_choice choice;
	struct repo *repo = &d->cluster.session.repo;
	enum status st = restore_choose(repo, &request, &choice, err);

	if (st != ST_OK)
		return st;
	if (choice.cold.nobjects == 0)
	{
		st = restore_last_transaction(repo, &choice, &d->archive, err);
		d->archive_known = st == ST_OK && !d->archive.unknown;
	}
	restore_choice_free(&choice);
	return st;
}

enum status
drill_choose(struct drill *d, struct err *err)
{
	struct lot lot = {.nbackups = 0};
	enum status st = find_end(d, err);

	if (st != ST_OK && st != ST_CANCELLED &&
		d->cluster.request.target.kind != TARGET_END)
	{
		err_context(err, "how far the archive goes is not known");
		log_err_warning(err);
		st = ST_OK;
	}
	if (st != ST_OK || (!d->random_backup && !d->random_target))
		return st;
	st = load_lot(d, &lot, err);
	if (st == ST_OK && d->random_backup)
		st = draw_backup(d, &lot, err);
	if (st == ST_OK && d->random_target)
		st = draw_target(d, &lot, err);
	free_lot(&lot);
	return st;
}
