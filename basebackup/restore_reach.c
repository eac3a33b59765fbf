/*
 * restore_reach.c - can recovery reach a target?
 *
 * PostgreSQL stops at a time before the first transaction that ended later,
 * at an LSN with the first record from there on, and is FATAL after hours of
 * replay if there is none.  The last segments of the archive tell beforehand.
 */
#include "basebackup/restore.h"

#include <stdio.h>
#include <stdlib.h>

#include "basebackup/timestamp.h"
#include "basebackup/wal_times.h"
#include "common/log.h"

/* Of an idle server: so many segments are read, and no more. */
#define SEGMENTS_MAX 64

struct reach
{
	struct repo *repo;
	const struct recovery_target *target;
	const struct restore_choice *choice;
	struct wal_times *times;
	uint64_t segno; /* that was looked at last */
};

static enum status
feed_segment(struct reach *r, const struct wal_span *span, uint64_t segno,
			 struct err *err)
{
	const struct restore_choice *c = r->choice;
	char object[OBJECT_NAME_MAX + 1];
	struct wal_name name;

	wal_name_segment(&name, span->timeline, segno, c->backup.wal_segment_size);
	if (c->partial && span == &c->spans[c->nspans - 1] && segno == span->last)
		wal_name_partial(&name);
	repo_wal_name(object, &name);
	return repo_get(r->repo, OBJECT_WAL, object, wal_times_feed, r->times,
					err);
}

static enum status
refuse_time(const struct recovery_target *target,
			const struct restore_choice *choice, const struct wal_times *times,
			struct err *err)
{
	bool exclusive = target->inclusive == INCLUSIVE_NO;
	char asked[TIMESTAMP_TEXT_MAX], last[TIMESTAMP_TEXT_MAX];
	char nearest[TIMESTAMP_TEXT_MAX];

	timestamp_format(target->time_us, asked);
	if (!times->any)
	{
		err_set(err, ST_CONFIG,
				"the target %s lies behind all that the archive holds: no "
				"transaction ended after the backup",
				asked);
		return err_hint(err, "The nearest possible is no target: to the end "
							 "of the archive.");
	}
	err_set(err, ST_CONFIG,
			"the target %s lies behind the last transaction in the archive%s, "
			"which ended at %s",
			asked, choice->gap ? " before the gap" : "",
			timestamp_format(times->latest_us, last));
	timestamp_format(times->latest_us - (exclusive ? 0 : 1), nearest);
	return err_hint(err,
					"The nearest possible is no target, which recovers that "
					"transaction too, or --target-time=\"%s\".",
					nearest);
}

/* Has a transaction ended behind the target? */
static bool
reached(const struct recovery_target *target, const struct wal_times *times)
{
	if (!times->any)
		return false;
	return target->inclusive == INCLUSIVE_NO
			   ? times->latest_us >= target->time_us
			   : times->latest_us > target->time_us;
}

/* What of a segment's records ended in it or in the next. */
static enum status
scan_segment(struct reach *r, const struct wal_span *span, uint64_t segno,
			 struct err *err)
{
	enum status st;

	r->segno = segno;
	wal_times_begin(r->times);
	st = feed_segment(r, span, segno, err);
	if (st == ST_OK && wal_times_open(r->times) && segno < span->last)
		st = feed_segment(r, span, segno + 1, err);
	return st;
}

/* Segment by segment backwards, until a transaction has ended. */
static enum status
look_back(struct reach *r, bool *known, struct err *err)
{
	size_t looked = 0;
	enum status st = ST_OK;

	*known = true;
	for (size_t i = r->choice->nspans; i > 0; i--)
	{
		const struct wal_span *span = &r->choice->spans[i - 1];

		for (uint64_t s = span->last + 1; s > span->first; s--)
		{
			*known = looked++ < SEGMENTS_MAX;
			if (*known)
				st = scan_segment(r, span, s - 1, err);
			if (st != ST_OK || r->times->any || !*known)
				return st;
		}
	}
	return st;
}

static enum status
check_time(struct reach *r, struct err *err)
{
	bool known;
	enum status st = look_back(r, &known, err);

	if (st != ST_OK || (known && reached(r->target, r->times)))
		return st;
	if (known)
		return refuse_time(r->target, r->choice, r->times, err);
	log_warning("the last %d WAL segments hold no transaction: whether the "
				"target can be reached is not known",
				SEGMENTS_MAX);
	return ST_OK;
}

/* The target lies in the archive's last segment, or is reached before. */
static enum status
check_lsn(struct reach *r, struct err *err)
{
	const struct restore_choice *c = r->choice;
	const struct wal_span *span = &c->spans[c->nspans - 1];
	uint64_t begin = span->last * c->backup.wal_segment_size, last;
	char asked[LSN_TEXT_MAX], text[LSN_TEXT_MAX];
	enum status st = scan_segment(r, span, span->last, err);

	if (st != ST_OK || !r->times->any_record || r->target->lsn < begin)
		return st;
	last = begin + r->times->last;
	if (r->target->lsn <= last)
		return ST_OK;
	(void) lsn_format(last, text);
	err_set(err, ST_CONFIG,
			"the target %s lies behind the last record in the archive, which "
			"begins at %s",
			lsn_format(r->target->lsn, asked), text);
	return err_hint(
		err, "The nearest possible is no target, or --target-lsn=%s.", text);
}

static enum status
reach_begin(struct reach *r, struct repo *repo,
			const struct restore_request *request,
			const struct restore_choice *choice, struct err *err)
{
	*r = (struct reach){.repo = repo,
						.target = &request->target,
						.choice = choice,
						.times = calloc(1, sizeof(*r->times))};
	return r->times == NULL ? err_set(err, ST_NOMEM, "out of memory") : ST_OK;
}

enum status
restore_look_reach(struct repo *repo, const struct restore_request *request,
				   const struct restore_choice *choice, bool *out,
				   struct err *err)
{
	struct reach r;
	bool known = true;
	enum status st = reach_begin(&r, repo, request, choice, err);

	if (st == ST_OK)
		st = look_back(&r, &known, err);
	if (st == ST_OK)
		*out = !known || reached(r.target, r.times);
	free(r.times);
	return st;
}

enum status
restore_last_transaction(struct repo *repo,
						 const struct restore_choice *choice,
						 struct restore_last *out, struct err *err)
{
	const struct restore_request any = {.standby = false};
	struct reach r;
	bool known = true;
	enum status st = reach_begin(&r, repo, &any, choice, err);

	if (st == ST_OK)
		st = look_back(&r, &known, err);
	if (st == ST_OK)
		*out = (struct restore_last){.unknown = !known,
									 .any = known && r.times->any,
									 .time_us = r.times->latest_us,
									 .lsn = r.segno *
											choice->backup.wal_segment_size};
	free(r.times);
	return st;
}

enum status
restore_check_reach(struct repo *repo, const struct restore_request *request,
					const struct restore_choice *choice, struct err *err)
{
	enum target_kind kind = request->target.kind;
	struct reach r;
	enum status st;

	if ((kind != TARGET_TIME && kind != TARGET_LSN) || !choice->open_end ||
		choice->nspans == 0)
		return ST_OK;
	st = reach_begin(&r, repo, request, choice, err);
	if (st == ST_OK)
		st = kind == TARGET_TIME ? check_time(&r, err) : check_lsn(&r, err);
	free(r.times);
	return st;
}
