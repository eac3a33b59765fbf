/*
 * keep.c - which backups to keep, and which WAL with them
 */
#include "basebackup/keep.h"

#include <time.h>

#include "basebackup/choose.h"

#define DAY_S  INT64_C(86400)
#define WEEK_S (7 * DAY_S)

/* 1970 began on a Thursday, ISO weeks begin on Mondays. */
#define MONDAY_S (3 * DAY_S)

enum bucket_kind
{
	BUCKET_DAY,
	BUCKET_WEEK,
	BUCKET_MONTH,
	BUCKET_YEAR
};

/* A number for the day, week, month or year of a moment, in UTC. */
static int64_t
bucket_of(enum bucket_kind kind, int64_t time_s)
{
	time_t seconds = (time_t) time_s;
	struct tm tm = {0};

	switch (kind)
	{
		case BUCKET_DAY:
			return time_s / DAY_S;
		case BUCKET_WEEK:
			return (time_s + MONDAY_S) / WEEK_S;
		case BUCKET_MONTH:
			(void) gmtime_r(&seconds, &tm);
			return (int64_t) tm.tm_year * 12 + tm.tm_mon;
		case BUCKET_YEAR:
			(void) gmtime_r(&seconds, &tm);
			return tm.tm_year;
	}
	return 0;
}

/* The newest good backup of each of the newest count buckets. */
static void
keep_by_calendar(struct keep_backup *backups, size_t nbackups,
				 enum bucket_kind kind, uint32_t count, unsigned reason)
{
	uint32_t kept = 0;

	for (size_t i = nbackups; i-- > 0 && kept < count;)
	{
		int64_t bucket = bucket_of(kind, backups[i].summary->stop_time);
		bool seen = !backups[i].good;

		/* Not only its neighbour: a clock may have been set back. */
		for (size_t k = i + 1; k < nbackups && !seen; k++)
			seen = (backups[k].reasons & reason) != 0 &&
				   bucket_of(kind, backups[k].summary->stop_time) == bucket;
		if (seen)
			continue;
		backups[i].reasons |= reason;
		kept++;
	}
}

static void
keep_last(struct keep_backup *backups, size_t nbackups, uint32_t count,
		  unsigned reason)
{
	for (size_t i = nbackups; i-- > 0 && count > 0;)
		if (backups[i].good)
		{
			backups[i].reasons |= reason;
			count--;
		}
}

/*
 * Had the cluster moved on to a newer timeline when the window begins?  Then
 * nobody was on this one any more.
 */
static bool
left_behind(const struct timeline_history *history,
			const struct keep_backup *backups, size_t nbackups, int64_t from_s)
{
	for (size_t i = 0; i < nbackups; i++)
		if (backups[i].good &&
			backups[i].summary->timeline > history->timeline &&
			backups[i].summary->stop_time <= from_s)
			return true;
	return false;
}

/* The window, and for each timeline that it begins on the newest backup
 * before it. */
static void
keep_window(int64_t from_s, const struct keep_timelines *timelines,
			struct keep_backup *backups, size_t nbackups)
{
	for (size_t i = 0; i < nbackups; i++)
		if (backups[i].good && backups[i].summary->stop_time > from_s)
			backups[i].reasons |= KEEP_WITHIN;
	for (size_t t = 0; t < timelines->ntimelines; t++)
	{
		const struct timeline_history *history = &timelines->histories[t];
		size_t i = nbackups;

		if (left_behind(history, backups, nbackups, from_s))
			continue;
		while (i > 0 && !(backups[i - 1].good &&
						  backups[i - 1].summary->stop_time <= from_s &&
						  choose_leads_to(backups[i - 1].summary, history)))
			i--;
		if (i > 0)
			backups[i - 1].reasons |= KEEP_WINDOW;
	}
}

size_t
keep_backups(const struct keep_rules *rules, int64_t now_s,
			 const struct keep_timelines *timelines,
			 struct keep_backup *backups, size_t nbackups)
{
	size_t kept = 0;

	for (size_t i = 0; i < nbackups; i++)
		backups[i].reasons = backups[i].pinned ? KEEP_PINNED : 0;
	keep_last(backups, nbackups, rules->last, KEEP_LAST);
	keep_by_calendar(backups, nbackups, BUCKET_DAY, rules->daily, KEEP_DAILY);
	keep_by_calendar(backups, nbackups, BUCKET_WEEK, rules->weekly,
					 KEEP_WEEKLY);
	keep_by_calendar(backups, nbackups, BUCKET_MONTH, rules->monthly,
					 KEEP_MONTHLY);
	keep_by_calendar(backups, nbackups, BUCKET_YEAR, rules->yearly,
					 KEEP_YEARLY);
	if (rules->within_s != KEEP_WITHIN_ALL)
		keep_window(now_s - rules->within_s, timelines, backups, nbackups);
	if (!rules->none_left)
		keep_last(backups, nbackups, 1, KEEP_NEWEST);
	for (size_t i = 0; i < nbackups; i++)
		kept += backups[i].reasons != 0;
	return kept;
}

uint64_t
keep_window_lsn(const struct keep_rules *rules,
				const struct keep_backup *backups, size_t nbackups)
{
	unsigned wanted = rules->within_s == KEEP_WITHIN_ALL
						  ? ~KEEP_PINNED
						  : KEEP_WITHIN | KEEP_WINDOW | KEEP_NEWEST;
	uint64_t lsn = UINT64_MAX;

	for (size_t i = 0; i < nbackups; i++)
		if ((backups[i].reasons & wanted) != 0 &&
			backups[i].summary->start_lsn < lsn)
			lsn = backups[i].summary->start_lsn;
	return lsn;
}

bool
keep_wal_needed(const struct keep_wal *wal, const struct wal_name *name)
{
	uint64_t segno;

	/* What cannot be placed is not ours to delete. */
	if (name->kind == WAL_HISTORY ||
		!wal_name_segno(name, wal->segment_size, &segno))
		return true;
	if (wal->window_lsn != UINT64_MAX &&
		segno >= wal_segno_of(wal->window_lsn, wal->segment_size))
		return true;
	for (size_t i = 0; i < wal->nbackups; i++)
	{
		const struct backup_summary *s = wal->backups[i].summary;

		if (wal->backups[i].reasons != 0 && s->timeline == name->timeline &&
			segno >= wal_segno_of(s->start_lsn, wal->segment_size) &&
			segno <= wal_segno_before(s->stop_lsn, wal->segment_size))
			return true;
	}
	return false;
}
