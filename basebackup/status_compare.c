/*
 * status_compare.c - what the store shows, against what else is known
 */
#include "basebackup/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"

/* So many of the backups before the last one are its average. */
#define AVERAGE_OF 7

/* A clock that is so far ahead is wrong. */
#define CLOCK_OFF_S 86400

/* So many of each kind are told; the rest only counted. */
#define TOLD_MAX 10

/* Before the window only what a backup needs for itself is kept. */
static bool
may_have_expired(const struct overview *s, uint64_t segno)
{
	return s->wal_from_lsn != UINT64_MAX &&
		   segno < wal_segno_of(s->wal_from_lsn, s->map.segment_size);
}

/* --- what this host pushed --------------------------------------------------
 */

/*
 * A segment that was archived for sure must be there, unless it has expired
 * since.  Where nothing is known of segments, nothing is said.
 */
static bool
must_be_there(const struct overview *s, const char *name)
{
	const struct wal_line *line;
	struct wal_name wal;
	struct err ignored;
	uint64_t segno;

	if (s->map.segment_size == 0 ||
		wal_name_parse(&wal, name, &ignored) != ST_OK ||
		wal.kind != WAL_SEGMENT ||
		!wal_name_segno(&wal, s->map.segment_size, &segno) ||
		may_have_expired(s, segno))
		return false;
	line = wal_map_find(&s->map, wal.timeline);
	if (line == NULL || line->nstretches == 0)
		return true;
	return segno >= line->stretches[0].first &&
		   !wal_map_holds(&s->map, wal.timeline, segno, segno);
}

void
status_compare_pushed(struct overview *s)
{
	uint64_t missing = 0;

	for (size_t i = 0; i < s->spool.npushed; i++)
		if (must_be_there(s, s->spool.pushed[i]) && missing++ < TOLD_MAX)
			status_problem(s, "pushed-missing",
						   "this host stored segment %s, and it is not in the "
						   "archive",
						   s->spool.pushed[i]);
	if (s->server != NULL && must_be_there(s, s->server->last_archived))
		status_problem(s, "pushed-missing",
					   "the server archived segment %s, and it is not in this "
					   "archive",
					   s->server->last_archived);
}

static void
compare_end(struct overview *s, const struct memory_end *was,
			struct memory *found)
{
	struct memory_end *is = NULL;
	struct wal_name name;
	char seen[21];
	struct err ignored;

	for (size_t i = 0; i < found->nends; i++)
		if (found->ends[i].timeline == was->timeline)
			is = &found->ends[i];
	if ((is != NULL && is->segment >= was->segment) ||
		may_have_expired(s, was->segment))
		return;
	wal_name_segment(&name, was->timeline, was->segment, s->map.segment_size);
	status_problem(s, "rewound",
				   "segment %s was in the archive at %s, and now the archive "
				   "of timeline %" PRIu32 " ends before it",
				   name.text, time_format(was->seen_s, seen), was->timeline);
	if (is != NULL)
		*is = *was;
	else
		(void) (memory_add_end(found, was, &ignored) == ST_OK);
}

/*
 * The archive never becomes shorter at its end, unless that expires with a
 * timeline that was left long ago; and the newest backup only
 * goes when it is expired in spite of all rules.
 */
void
status_compare_memory(struct overview *s, const struct memory *memory,
					  struct memory *found)
{
	const char *newest =
		s->ncomplete > 0 ? s->complete[s->ncomplete - 1]->id : "";
	const struct catalog_backup *was =
		catalog_find(&s->catalog, memory->newest);
	char seen[21];

	if (s->map.segment_size == memory->segment_size &&
		memory->segment_size != 0)
		for (size_t i = 0; i < memory->nends; i++)
			compare_end(s, &memory->ends[i], found);

	(void) snprintf(found->newest, sizeof(found->newest), "%s", newest);
	found->newest_seen_s = s->now_s;
	if (memory->newest[0] == '\0' || strcmp(memory->newest, newest) <= 0 ||
		(was != NULL && was->state != BACKUP_UNFINISHED))
		return;
	status_problem(s, "rewound",
				   "backup %s was there at %s, and is not any more",
				   memory->newest, time_format(memory->newest_seen_s, seen));
	(void) snprintf(found->newest, sizeof(found->newest), "%s",
					memory->newest);
	found->newest_seen_s = memory->newest_seen_s;
}

/* --- the server -------------------------------------------------------------
 */

/* The last segment of what is archived on the server's way; false: none. */
static bool
archive_end(const struct overview *s, uint64_t *segno, int64_t *modified_s)
{
	const struct wal_line *line = wal_map_find(&s->map, s->server->timeline);
	uint64_t at = s->server->lsn / s->map.segment_size;

	if (line == NULL || line->nstretches == 0)
		for (size_t i = 0; i < s->map.nlines; i++)
			if (s->map.lines[i].timeline < s->server->timeline &&
				s->map.lines[i].nstretches > 0)
				line = &s->map.lines[i];
	if (line == NULL || line->nstretches == 0)
		return false;
	*segno = line->stretches[line->nstretches - 1].last;
	*modified_s = line->stretches[line->nstretches - 1].modified_s;

	/* An ancestor may have gone on behind the fork. */
	if (line->timeline != s->server->timeline && *segno >= at)
		*segno = at == 0 ? 0 : at - 1;
	return true;
}

void
status_compare_server(struct overview *s)
{
	const struct status_server *server = s->server;
	struct status_lag *lag = &s->lag;
	uint64_t size = s->map.segment_size;
	uint64_t segno, end;
	int64_t modified_s;

	if (server == NULL || s->store_failed || size == 0 ||
		size != server->segment_size || !archive_end(s, &segno, &modified_s))
		return;
	lag->known = true;
	end = (segno + 1) * size;
	lag->bytes = server->lsn > end ? server->lsn - end : 0;
	lag->segments = lag->bytes / size;
	if (server->ready_known && !server->in_recovery)
		lag->seconds = server->ready_age_s;
	else if (lag->segments > 0 && s->now_s > modified_s)
		lag->seconds = s->now_s - modified_s;
}

/* --- the last backup --------------------------------------------------------
 */

static double
change(uint64_t now, uint64_t sum, size_t n)
{
	double average = (double) sum / (double) n;

	return average > 0 ? (double) now / average - 1 : 0;
}

void
status_compare_last(struct overview *s)
{
	struct status_last *last = &s->last;
	uint64_t bytes = 0, stored = 0, ms = 0;

	if (s->ncomplete == 0)
		return;
	last->summary = s->complete[s->ncomplete - 1];
	last->age_s = s->now_s - last->summary->stop_time;
	if (last->age_s < 0)
		last->age_s = 0;
	for (size_t i = s->ncomplete - 1; i > 0 && last->compared < AVERAGE_OF;
		 last->compared++)
	{
		const struct backup_summary *b = s->complete[--i];

		bytes += b->bytes;
		stored += b->stored_bytes + b->digest_bytes;
		ms += b->duration_ms;
	}
	if (last->compared == 0)
		return;
	last->size_change = change(last->summary->bytes, bytes, last->compared);
	last->stored_change =
		change(last->summary->stored_bytes + last->summary->digest_bytes,
			   stored, last->compared);
	last->time_change = change(last->summary->duration_ms, ms, last->compared);
}

/* --- problems ---------------------------------------------------------------
 */

/* A gap is met by every timeline that has it in common. */
static bool
told_before(const struct overview *s, size_t timeline, size_t gap)
{
	const struct window_gap *g = &s->windows[timeline].gaps[gap];

	for (size_t i = 0; i < timeline; i++)
		for (size_t k = 0; k < s->windows[i].ngaps; k++)
			if (s->windows[i].gaps[k].timeline == g->timeline &&
				s->windows[i].gaps[k].first == g->first)
				return true;
	return false;
}

static void
tell_gap(struct overview *s, const struct window_gap *gap)
{
	struct wal_name from, to;

	wal_name_segment(&from, gap->timeline, gap->first, s->map.segment_size);
	wal_name_segment(&to, gap->timeline, gap->last, s->map.segment_size);
	if (gap->first == gap->last)
		status_problem(s, "gap",
					   "segment %s is missing: recovery cannot go past it",
					   from.text);
	else
		status_problem(s, "gap",
					   "segments %s to %s are missing: recovery cannot go "
					   "past them",
					   from.text, to.text);
}

static void
tell_gaps(struct overview *s)
{
	size_t told = 0;

	for (size_t i = 0; i < s->nwindows; i++)
		for (size_t k = 0; k < s->windows[i].ngaps; k++)
			if (!told_before(s, i, k) && told++ < TOLD_MAX)
				tell_gap(s, &s->windows[i].gaps[k]);
	if (told > TOLD_MAX)
		status_problem(s, "gap", "%zu more gaps", told - TOLD_MAX);
}

static void
tell_backups(struct overview *s)
{
	size_t told = 0;

	if (s->store_failed)
		return;
	for (size_t i = 0; i < s->ncomplete; i++)
		if (!s->whole[i] && s->map.segment_size != 0 && told++ < TOLD_MAX)
			status_problem(s, "backup-lacks-wal",
						   "backup %s cannot be restored: WAL that it needs "
						   "for itself is not in the archive",
						   s->complete[i]->id);
	if (s->ncomplete == 0 && s->unreadable == 0)
		status_problem(s, "no-backup", "there is no backup");
}

static void
tell_reports(struct overview *s)
{
	static const char *const words[] = {"backup-failed",  "verify-failed",
										"drill-failed",   "expire-failed",
										"restore-failed", "extract-failed"};
	char time_text[21];

	for (int i = 0; i <= REPORTS_EXPIRE; i++)
	{
		const struct report_read *r = &s->reports.kinds[i].last;

		if (s->reports.kinds[i].any && !r->ok)
			status_problem(s, words[i], "the last %s failed at %s: %s",
						   report_kind_name((enum report_kind) i),
						   time_format(r->end_time, time_text), r->message);
	}
	if (s->reports.unreadable > 0)
		status_problem(s, "report-unreadable",
					   "%" PRIu64 " reports cannot be read: %s",
					   s->reports.unreadable, s->reports.why.message);
}

/* What a host's wrong clock has spoilt. */
static void
tell_clocks(struct overview *s)
{
	const struct backup_summary *b = s->last.summary;
	char time_text[21];

	if (b != NULL && b->stop_time > s->now_s + CLOCK_OFF_S)
		status_problem(s, "clock",
					   "backup %s ended at %s, which is to come: its age is "
					   "not known",
					   b->id, time_format(b->stop_time, time_text));
	if (s->reports.to_come > 0)
		status_problem(s, "clock",
					   "reports of a time to come, which do not count: "
					   "%" PRIu64,
					   s->reports.to_come);
}

static void
tell_archiving(struct overview *s)
{
	const struct status_server *server = s->server;
	char time_text[21];

	if (server == NULL)
		return;
	if (!server->archives && !server->in_recovery)
		status_problem(s, "archiving-off", "the server does not archive");
	if (server->failing)
		status_problem(s, "archiver-failing",
					   "archiving of %s fails, last at %s; the server's log "
					   "says why",
					   server->last_failed,
					   time_format(server->last_failed_s, time_text));
	if (s->lag.known && s->lag.seconds > STATUS_LAG_S)
		status_problem(s, "archive-lag",
					   "a finished segment has waited for %" PRId64
					   " min to be archived",
					   s->lag.seconds / 60);
}

static void
tell_quota(struct overview *s)
{
	uint64_t quota = (uint64_t) s->session.cfg->quota_bytes;
	uint64_t bytes = usage_bytes(&s->usage);
	char used[16], allowed[16];

	if (s->store_failed || quota == 0 ||
		(double) bytes * 100 < (double) quota * STATUS_QUOTA_PERCENT)
		return;
	status_problem(s, "quota", "%s are stored, of a quota of %s",
				   size_format(bytes, used), size_format(quota, allowed));
}

void
status_find_problems(struct overview *s)
{
	tell_backups(s);
	if (!s->store_failed)
		tell_gaps(s);
	tell_archiving(s);
	tell_reports(s);
	tell_quota(s);
	tell_clocks(s);
}
