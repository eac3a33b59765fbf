/*
 * status_window.c - what can be recovered along a timeline
 */
#include "basebackup/status_window.h"

#include <stdlib.h>
#include <string.h>

#include "basebackup/choose.h"

bool
window_backup_whole(const struct wal_map *map,
					const struct backup_summary *backup)
{
	uint32_t size = backup->wal_segment_size;

	return size == map->segment_size &&
		   wal_map_holds(map, backup->timeline,
						 wal_segno_of(backup->start_lsn, size),
						 wal_segno_before(backup->stop_lsn, size));
}

struct search
{
	const struct timeline_history *history;
	const struct wal_map *map;
	const struct backup_summary *const *backups;
	size_t nbackups;
	uint64_t window_lsn;
	uint64_t next;        /* the segment that should come */
	struct wal_line *run; /* along the history, as one line */
	size_t gaps_room;
	struct timeline_windows *out;
};

static bool
counts(const struct search *s, const struct backup_summary *backup)
{
	return backup->start_lsn >= s->window_lsn &&
		   choose_leads_to(backup, s->history) &&
		   window_backup_whole(s->map, backup);
}

static enum status
add_gap(struct search *s, uint32_t timeline, uint64_t first, uint64_t last,
		struct err *err)
{
	struct timeline_windows *out = s->out;

	out->gaps_found++;
	out->segments_missing += last - first + 1;
	if (out->ngaps == WINDOW_GAPS_MAX)
		return ST_OK;
	if (out->ngaps == s->gaps_room)
	{
		size_t room = s->gaps_room == 0 ? 8 : s->gaps_room * 2;
		struct window_gap *grown =
			reallocarray(out->gaps, room, sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		out->gaps = grown;
		s->gaps_room = room;
	}
	out->gaps[out->ngaps++] = (struct window_gap){timeline, first, last};
	return ST_OK;
}

/* What is there of a span, and what is not. */
static enum status
follow_span(struct search *s, const struct wal_span *span, struct err *err)
{
	const struct wal_line *line = wal_map_find(s->map, span->timeline);
	enum status status = ST_OK;

	s->next = span->first;
	for (size_t i = 0; status == ST_OK && line != NULL && i < line->nstretches;
		 i++)
	{
		struct wal_stretch at = line->stretches[i];

		if (at.last < span->first || at.first > span->last)
			continue;
		if (at.first < span->first)
			at.first = span->first;
		if (at.last > span->last)
		{
			at.last = span->last;
			at.modified_s = 0;
		}
		if (at.first > s->next)
			status = add_gap(s, span->timeline, s->next, at.first - 1, err);
		if (status == ST_OK)
			status =
				wal_line_add(s->run, at.first, at.last, at.modified_s, err);
		s->next = at.last + 1;
	}
	if (status == ST_OK && span->last != UINT64_MAX && s->next <= span->last)
		status = add_gap(s, span->timeline, s->next, span->last, err);
	return status;
}

/* The window, if any, in a run of segments. */
static bool
window_of(const struct search *s, const struct wal_stretch *run,
		  struct window *out)
{
	uint32_t size = s->map->segment_size;

	*out = (struct window){.nbackups = 0};
	for (size_t i = 0; i < s->nbackups; i++)
	{
		const struct backup_summary *b = s->backups[i];

		if (!counts(s, b) || wal_segno_of(b->start_lsn, size) < run->first ||
			wal_segno_before(b->stop_lsn, size) > run->last)
			continue;
		if (out->nbackups++ > 0)
			continue;
		out->from_lsn = b->stop_lsn;
		out->from_s = b->stop_time;
	}
	out->to_lsn = (run->last + 1) * size;
	out->to_s = run->modified_s;
	/* The last segment came with the backup's end, by another clock. */
	if (out->to_s != 0 && out->to_s < out->from_s)
		out->to_s = out->from_s;
	return out->nbackups > 0;
}

static enum status
collect_windows(struct search *s, struct err *err)
{
	struct timeline_windows *out = s->out;

	out->windows = calloc(s->run->nstretches + 1, sizeof(*out->windows));
	if (out->windows == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < s->run->nstretches; i++)
		if (window_of(s, &s->run->stretches[i], &out->windows[out->nwindows]))
			out->nwindows++;
	return ST_OK;
}

/* From the first backup that counts to the end of the timeline. */
static enum status
follow(struct search *s, const struct backup_summary *base, struct err *err)
{
	struct wal_span *spans =
		calloc(s->history->nentries, sizeof(struct wal_span));
	enum status status = ST_OK;
	size_t nspans;

	if (spans == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	nspans = choose_spans(s->history, base->timeline, base->start_lsn,
						  UINT64_MAX, s->map->segment_size, spans);
	for (size_t i = 0; i < nspans && status == ST_OK; i++)
		status = follow_span(s, &spans[i], err);
	if (status == ST_OK)
		status = collect_windows(s, err);
	free(spans);
	return status;
}

enum status
timeline_windows_find(const struct timeline_history *history,
					  const struct wal_map *map,
					  const struct backup_summary *const *backups,
					  size_t nbackups, uint64_t window_lsn,
					  struct timeline_windows *out, struct err *err)
{
	struct timeline_windows found = {.timeline = history->timeline};
	struct wal_line run = {.timeline = history->timeline};
	struct search s = {.history = history,
					   .map = map,
					   .backups = backups,
					   .nbackups = nbackups,
					   .window_lsn = window_lsn,
					   .run = &run,
					   .out = &found};
	enum status status = ST_OK;

	for (size_t i = 0; i < nbackups; i++)
		if (counts(&s, backups[i]))
		{
			status = follow(&s, backups[i], err);
			break;
		}
	free(run.stretches);
	if (status == ST_OK)
		*out = found;
	else
		timeline_windows_free(&found);
	return status;
}

void
timeline_windows_free(struct timeline_windows *windows)
{
	free(windows->windows);
	free(windows->gaps);
	*windows = (struct timeline_windows){.timeline = 0};
}

/* --- the picture ------------------------------------------------------------
 */

struct scale
{
	uint64_t from;
	uint64_t to;
	size_t width;
};

static size_t
column(const struct scale *scale, uint64_t lsn)
{
	double share;

	if (lsn <= scale->from)
		return 0;
	if (lsn >= scale->to)
		return scale->width - 1;
	share = (double) (lsn - scale->from) / (double) (scale->to - scale->from);
	return (size_t) (share * (double) (scale->width - 1) + 0.5);
}

void
window_draw(const struct timeline_windows *windows,
			const struct timeline_history *history,
			const struct backup_summary *const *backups, size_t nbackups,
			uint32_t segment_size, char *out, size_t width)
{
	struct scale scale = {.width = width};

	memset(out, ' ', width);
	out[width] = '\0';
	if (windows->nwindows == 0)
		return;
	scale.from = windows->windows[0].from_lsn;
	scale.to = windows->windows[windows->nwindows - 1].to_lsn;
	for (size_t i = 0; i < windows->nwindows; i++)
	{
		const struct window *w = &windows->windows[i];
		size_t from = column(&scale, w->from_lsn);

		memset(out + from, '=', column(&scale, w->to_lsn) - from + 1);
	}
	for (size_t i = 0; i < nbackups; i++)
		if (backups[i]->stop_lsn >= scale.from &&
			backups[i]->stop_lsn <= scale.to &&
			choose_leads_to(backups[i], history))
			out[column(&scale, backups[i]->stop_lsn)] = 'B';

	/* A gap is seen, however small it is, and if nothing is behind it. */
	for (size_t i = 0; i < windows->ngaps; i++)
	{
		uint64_t first = windows->gaps[i].first * segment_size;
		size_t from = column(&scale, first);
		size_t to = column(&scale, (windows->gaps[i].last + 1) * segment_size);

		memset(out + from, 'x', to > from ? to - from : 1);
	}
}
