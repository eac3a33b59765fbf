/*
 * restore_choose.c - which backup, which timeline, and is the WAL there
 */
#include "basebackup/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/archive.h"
#include "basebackup/catalog.h"
#include "basebackup/histories.h"
#include "basebackup/onward.h"
#include "common/cli.h"
#include "common/log.h"
#include "common/wal_history.h"

/* What the repository has, while the choice is made. */
struct choosing
{
	struct repo *repo;
	const struct restore_request *request;
	struct catalog catalog;
	struct archive_timelines timelines;
	const struct backup_summary **backups; /* those that can be read */
	size_t nbackups;
	struct timeline_history history; /* of the target's timeline */
	bool history_missing;
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

/* An unreadable backup matters only if it is wanted. */
static enum status
pass_over(const struct catalog_backup *b, bool wanted, struct err *err)
{
	struct err why;

	if (wanted && b->state == BACKUP_UNFINISHED)
		return err_set(err, ST_CONFIG, "backup %s was not finished", b->id);
	if (b->state == BACKUP_UNFINISHED)
		return ST_OK;
	if (wanted)
	{
		*err = *b->why;
		return err_context(err, "backup %s", b->id);
	}
	why = *b->why;
	err_context(&why, "backup %s cannot be used", b->id);
	log_err_warning(&why);
	return ST_OK;
}

static enum status
collect_backups(struct choosing *c, struct err *err)
{
	const struct catalog_backup *unreadable = NULL;

	c->backups =
		calloc(c->catalog.nbackups + 1, sizeof(struct backup_summary *));
	if (c->backups == NULL)
		return nomem(err);
	for (size_t i = 0; i < c->catalog.nbackups; i++)
	{
		const struct catalog_backup *b = &c->catalog.backups[i];
		bool wanted = c->request->backup_id != NULL &&
					  strcmp(b->id, c->request->backup_id) == 0;

		if (b->state == BACKUP_COMPLETE)
			c->backups[c->nbackups++] = &b->summary;
		else if (pass_over(b, wanted, err) != ST_OK)
			return err->status;
		if (b->state == BACKUP_UNREADABLE)
			unreadable = b;
	}
	if (c->nbackups == 0 && unreadable != NULL)
	{
		*err = *unreadable->why;
		return err_context(err, "no backup can be used; backup %s",
						   unreadable->id);
	}
	if (c->nbackups == 0 && c->catalog.nbackups > 0)
		return err_set(err, ST_MISSING,
					   "the repository holds no backup of this cluster that "
					   "is finished");
	return ST_OK;
}

static const struct backup_summary *
find_backup(const struct choosing *c, const char *id)
{
	const struct catalog_backup *b = catalog_find(&c->catalog, id);

	return b != NULL && b->state == BACKUP_COMPLETE ? &b->summary : NULL;
}

static bool
has_backup_on(const struct choosing *c, uint32_t timeline)
{
	for (size_t i = 0; i < c->nbackups; i++)
		if (c->backups[i]->timeline == timeline)
			return true;
	return false;
}

/*
 * The history of a timeline.  A cluster that came to the repository on a
 * later timeline than its first never archived the history file of that:
 * then what came before does not matter either.
 */
static enum status
get_history(struct choosing *c, uint32_t timeline, struct err *err)
{
	enum status st = wal_history_get(c->repo, timeline, &c->history, err);

	c->history_missing = st == ST_MISSING;
	if (st == ST_MISSING && has_backup_on(c, timeline))
		return timeline_history_root(timeline, &c->history, err);
	return st;
}

static enum status
refuse_timeline(const struct choosing *c, struct err *err)
{
	char list[ERR_HINT_MAX / 2] = "";
	size_t len = 0;

	for (size_t i = 0; i < c->timelines.ntimelines; i++)
		if (len + 16 < sizeof(list))
			len += (size_t) snprintf(list + len, sizeof(list) - len,
									 "%s%" PRIu32, i > 0 ? ", " : "",
									 c->timelines.timelines[i]);
	err_set(err, ST_CONFIG, "timeline %" PRIu32 " is not known",
			c->request->timeline);
	return err_hint(err,
					"The archive holds timelines %s; all but the first "
					"need their history file there.",
					len > 0 ? list : "of none");
}

/*
 * Without a wish: the newest timeline in the archive, as the server itself
 * would have it, but as a number; for the end of a named backup its own.
 */
static enum status
choose_timeline(struct choosing *c, struct err *err)
{
	const struct restore_request *r = c->request;
	const struct backup_summary *named =
		r->backup_id == NULL ? NULL : find_backup(c, r->backup_id);
	enum status st = ST_MISSING;

	if (r->timeline != 0)
	{
		bool known = has_backup_on(c, r->timeline);

		for (size_t i = 0; i < c->timelines.ntimelines; i++)
			known = known || c->timelines.timelines[i] == r->timeline;
		if (known)
			st = get_history(c, r->timeline, err);
		return st == ST_MISSING ? refuse_timeline(c, err) : st;
	}
	if (named != NULL && r->target.kind == TARGET_IMMEDIATE)
		return get_history(c, named->timeline, err);
	for (size_t i = c->timelines.ntimelines; i > 0 && st == ST_MISSING; i--)
	{
		uint32_t timeline = c->timelines.timelines[i - 1];

		st = get_history(c, timeline, err);
		if (st == ST_MISSING)
			log_warning("ignoring timeline %" PRIu32
						": the archive holds no history file of it",
						timeline);
	}
	if (st == ST_MISSING && c->nbackups > 0)
		return get_history(c, c->backups[c->nbackups - 1]->timeline, err);
	if (st == ST_MISSING)
		return err_set(err, ST_MISSING,
					   "the repository holds no backup of this cluster");
	return st;
}

/*
 * An older timeline that was used on after ours forked off may be the one
 * that is meant: a promotion by mistake, or a copy that archived.
 */
static enum status
tell_branches(struct choosing *c, const struct backup_summary *backup,
			  struct err *err)
{
	const struct timeline_history *h = &c->history;
	char lsn[LSN_TEXT_MAX];

	for (size_t i = 0; i + 1 < h->nentries; i++)
	{
		const struct timeline_entry *entry = &h->entries[i];
		struct archive_range range;
		enum status st;

		if (entry->end < backup->stop_lsn)
			continue;
		st = archive_look(c->repo, entry->timeline, backup->wal_segment_size,
						  wal_segno_of(entry->end, backup->wal_segment_size),
						  ARCHIVE_OPEN, &range, err);
		if (st != ST_OK)
			return st;
		if (range.any)
			log_warning("timeline %" PRIu32 " went on after timeline %" PRIu32
						" had forked off at %s; --target-timeline=%" PRIu32
						" would follow it instead",
						entry->timeline, h->entries[i + 1].timeline,
						lsn_format(entry->end, lsn), entry->timeline);
	}
	return ST_OK;
}

/* Is all that makes it consistent there? */
static enum status
is_whole(const struct choosing *c, const struct backup_summary *s, bool *out,
		 struct err *err)
{
	uint32_t size = s->wal_segment_size;
	struct archive_range range;
	enum status st = archive_look(
		c->repo, s->timeline, size, wal_segno_of(s->start_lsn, size),
		wal_segno_before(s->stop_lsn, size), &range, err);

	*out = st == ST_OK && !range.gap;
	return st;
}

/* The next backup whose end can be had instead; NULL: none. */
static enum status
find_next(const struct choosing *c, const struct backup_summary *backup,
		  const struct backup_summary **out, struct err *err)
{
	enum status st = ST_OK;
	bool whole = false;

	*out = NULL;
	for (size_t i = 0; i < c->nbackups && st == ST_OK && !whole; i++)
	{
		const struct backup_summary *s = c->backups[i];

		if (s->stop_lsn <= backup->stop_lsn ||
			!choose_leads_to(s, &c->history))
			continue;
		st = is_whole(c, s, &whole, err);
		if (whole)
			*out = s;
	}
	return st;
}

/* Does the backup restore to its own end only?  See onward.h. */
static enum status
look_onward(const struct choosing *c, const struct backup_summary *backup,
			bool *out, struct err *err)
{
	struct histories histories;
	enum status st = histories_load(c->repo, &histories, err);

	if (st != ST_OK)
		return st;
	st = onward_is_barred(c->repo, &histories, backup, out, err);
	histories_free(&histories);
	return st;
}

/*
 * If that is why there is a gap: what can be had instead.  What cannot be
 * found out now is left out; there is an error already.
 */
static void
explain_gap(const struct choosing *c, const struct backup_summary *backup,
			struct err *err)
{
	const struct backup_summary *next = NULL;
	char then[21], later[21];
	struct err looking;
	bool barred = false;

	if (look_onward(c, backup, &barred, &looking) != ST_OK || !barred)
		return;
	if (find_next(c, backup, &next, &looking) != ST_OK)
		next = NULL;
	time_format(backup->stop_time, then);
	if (next == NULL)
		err_detail(err,
				   "The backup restores to its own end only, %s: the WAL that "
				   "follows it is not in the archive any more.",
				   then);
	else
		err_detail(err,
				   "The backup restores to its own end only, %s: the WAL that "
				   "follows it is not in the archive any more. The next end "
				   "that can be reached is that of backup %s, %s: name it, "
				   "with --target-immediate.",
				   then, next->id, time_format(next->stop_time, later));
}

/* Does the archive end before that segment, rather than lack it? */
static bool
ends_before(const struct choosing *c, uint32_t timeline, uint64_t segno,
			uint32_t segment_size)
{
	struct archive_range range;
	struct err looking;

	return timeline == c->history.timeline &&
		   archive_look(c->repo, timeline, segment_size, segno, ARCHIVE_OPEN,
						&range, &looking) == ST_OK &&
		   !range.any && !range.gap;
}

/* nearest: an LSN that recovery surely gets to; 0: none. */
static enum status
refuse_lsn(const struct choosing *c, uint64_t end, uint64_t nearest,
		   struct err *err)
{
	char asked[LSN_TEXT_MAX], lsn[LSN_TEXT_MAX];

	err_set(err, ST_CONFIG,
			"the target %s lies behind the end of the archive, %s",
			lsn_format(c->request->target.lsn, asked), lsn_format(end, lsn));
	if (nearest == 0)
		return err_hint(err, "The nearest possible is no target: to the end "
							 "of the archive.");
	return err_hint(err,
					"The nearest possible is no target, to the end of the "
					"archive, or --target-lsn=%s.",
					lsn_format(nearest, lsn));
}

/* A segment that recovery needs is not there, or may need. */
static enum status
report_gap(const struct choosing *c, const struct backup_summary *backup,
		   uint32_t timeline, uint64_t segno, struct err *err)
{
	enum target_kind kind = c->request->target.kind;
	uint64_t size = backup->wal_segment_size;
	uint64_t at = segno * size;
	uint64_t nearest = at - size < backup->stop_lsn ? 0 : at - size;
	struct wal_name name;
	char lsn[LSN_TEXT_MAX];

	/* A record must begin at or behind the target: the last whole segment. */
	if (kind == TARGET_LSN && at >= backup->stop_lsn &&
		ends_before(c, timeline, segno, backup->wal_segment_size))
		return refuse_lsn(c, at, nearest, err);
	wal_name_segment(&name, timeline, segno, backup->wal_segment_size);
	err_set(err, ST_MISSING,
			"the archive lacks WAL segment \"%s\", which recovery from backup "
			"%s needs",
			name.text, backup->id);
	if (at < backup->stop_lsn)
		return err_hint(err, "The backup cannot be used without it.");
	explain_gap(c, backup, err);
	if (kind == TARGET_TIME || kind == TARGET_XID || kind == TARGET_NAME)
	{
		if (!c->request->allow_gap)
			return err_hint(err,
							"If the target lies before %s, repeat this with "
							"--allow-gap.",
							lsn_format(at, lsn));
		log_warning("%s; recovery stops there unless it reaches the target "
					"before",
					err->message);
		return ST_OK;
	}

	if (nearest == 0)
		return err_hint(err, "The nearest possible is --target-immediate.");
	return err_hint(err, "The nearest possible is --target-lsn=%s.",
					lsn_format(nearest, lsn));
}

/*
 * Since version 15 the server asks for WAL ahead of what it replays.  Behind
 * a target it may meet a gap so, for which wal-fetch stops it.
 */
static enum status
look_behind(struct choosing *c, const struct wal_span *last,
			uint32_t segment_size, struct restore_choice *out, struct err *err)
{
	struct archive_range range;
	enum status st;

	out->open_end = last->last == ARCHIVE_OPEN;
	if (out->open_end)
		return ST_OK;
	st = archive_look(c->repo, last->timeline, segment_size, last->last + 1,
					  ARCHIVE_OPEN, &range, err);
	if (st != ST_OK)
		return st;
	if (range.gap)
		out->gap = true;
	out->open_end = !range.any && !range.partial && !range.gap &&
					last->timeline == c->history.timeline;
	return ST_OK;
}

/* One timeline's part of the WAL; shortens it to what is there. */
static enum status
check_span(struct choosing *c, const struct backup_summary *backup,
		   struct wal_span *span, struct restore_choice *out, struct err *err)
{
	uint32_t size = backup->wal_segment_size;
	uint64_t stop = wal_segno_before(backup->stop_lsn, size);
	struct archive_range range;
	enum status st = archive_look(c->repo, span->timeline, size, span->first,
								  span->last, &range, err);

	if (st != ST_OK)
		return st;
	out->partial = range.partial && !c->request->standby;
	if (range.gap && out->partial && range.missing == span->last &&
		span->last != stop)
		range.gap = false;
	if (!range.gap && span->first <= stop && span->last >= stop &&
		(!range.any || range.end < stop))
	{
		range.gap = true;
		range.missing = range.any ? range.end + 1 : span->first;
	}
	if (range.gap)
	{
		out->gap = true;
		st = report_gap(c, backup, span->timeline, range.missing, err);
		if (st != ST_OK)
			return st;
	}
	out->partial = out->partial && !range.gap;
	span->last = range.any ? range.end : span->first - 1;
	if (out->partial)
		span->last++;
	if (span->last >= span->first)
		out->spans[out->nspans++] = *span;
	return range.cold
			   ? archive_add_cold(c->repo, span->timeline, size, span->first,
								  span->last, &out->cold, err)
			   : ST_OK;
}

/* Looks at all segments from the backup's start to where recovery may end. */
static enum status
check_wal(struct choosing *c, const struct backup_summary *backup,
		  uint64_t end_lsn, struct restore_choice *out, struct err *err)
{
	struct wal_span *spans = calloc(c->history.nentries, sizeof(*spans));
	enum status st = ST_OK;
	size_t n;

	free(out->spans);
	out->nspans = 0;
	out->spans = calloc(c->history.nentries, sizeof(*out->spans));
	if (spans == NULL || out->spans == NULL)
	{
		free(spans);
		return nomem(err);
	}
	n = choose_spans(&c->history, backup->timeline, backup->start_lsn, end_lsn,
					 backup->wal_segment_size, spans);
	if (n > 0)
		st = look_behind(c, &spans[n - 1], backup->wal_segment_size, out, err);
	for (size_t i = 0; st == ST_OK && i < n; i++)
		st = check_span(c, backup, &spans[i], out, err);
	free(spans);
	return st;
}

static uint64_t
recovery_end(const struct choosing *c, const struct backup_summary *backup)
{
	uint64_t end;

	if (c->request->target.kind == TARGET_IMMEDIATE)
		return backup->stop_lsn - 1;
	end = choose_limit(c->backups, c->nbackups, &c->history,
					   &c->request->target);
	return end < backup->stop_lsn ? backup->stop_lsn - 1 : end;
}

/*
 * The WAL on the way to the target.  A time is as a rule passed before the
 * next backup ended; on an idle server that takes until later.
 */
static enum status
check_way(struct choosing *c, struct restore_choice *out, struct err *err)
{
	uint64_t end = recovery_end(c, &out->backup);
	bool reached = true;
	enum status st = check_wal(c, &out->backup, end, out, err);

	if (st == ST_OK && c->request->target.kind == TARGET_TIME &&
		end != UINT64_MAX && out->cold.nobjects == 0)
		st = restore_look_reach(c->repo, c->request, out, &reached, err);
	if (st == ST_OK && !reached)
		st = check_wal(c, &out->backup, UINT64_MAX, out, err);
	if (st == ST_OK && c->request->target.kind == TARGET_IMMEDIATE)
		st = look_onward(c, &out->backup, &out->own_end_only, err);
	return st;
}

static enum status
choose(struct choosing *c, struct restore_choice *out, struct err *err)
{
	const struct restore_request *r = c->request;
	size_t index;
	enum status st;

	if ((st = catalog_load(c->repo, &c->catalog, err)) != ST_OK ||
		(st = collect_backups(c, err)) != ST_OK)
		return st;
	if (r->backup_id != NULL && find_backup(c, r->backup_id) == NULL)
	{
		err_set(err, ST_MISSING, "there is no backup \"%s\"", r->backup_id);
		return err_hint(err, "See \"walship list\".");
	}
	if ((st = archive_list_timelines(c->repo, &c->timelines, err)) != ST_OK ||
		(st = choose_timeline(c, err)) != ST_OK ||
		(st = choose_backup(c->backups, c->nbackups, &c->history, &r->target,
							r->backup_id, &index, err)) != ST_OK)
		return st;
	out->backup = *c->backups[index];
	out->timeline = c->history.timeline;
	out->timeline_current = c->history_missing;
	if (r->timeline == 0 && r->target.kind != TARGET_IMMEDIATE &&
		(st = tell_branches(c, &out->backup, err)) != ST_OK)
		return st;
	return check_way(c, out, err);
}

enum status
restore_choose(struct repo *repo, const struct restore_request *request,
			   struct restore_choice *out, struct err *err)
{
	struct choosing c = {.repo = repo, .request = request};
	enum status st;

	*out = (struct restore_choice){.nspans = 0};
	st = choose(&c, out, err);
	if (st == ST_OK)
		st = cold_settle(&out->cold, repo->store, err);

	timeline_history_free(&c.history);
	archive_timelines_free(&c.timelines);
	catalog_free(&c.catalog);
	free(c.backups);
	if (st != ST_OK)
		restore_choice_free(out);
	return st;
}

void
restore_choice_free(struct restore_choice *choice)
{
	cold_free(&choice->cold);
	free(choice->spans);
	choice->spans = NULL;
	choice->nspans = 0;
}
