/*
 * choose.c - which backup leads to a recovery target, and which WAL it takes
 */
#include "basebackup/choose.h"

#include <string.h>

#include "basebackup/timestamp.h"
#include "common/walname.h"

#define MICROS 1000000

/* Does the history pass through the backup's end? */
bool
choose_leads_to(const struct backup_summary *backup,
				const struct timeline_history *history)
{
	const struct timeline_entry *entry =
		timeline_history_find(history, backup->timeline);

	return entry != NULL && backup->start_lsn >= entry->begin &&
		   backup->stop_lsn <= entry->end;
}

/* Did the backup end before the target?  Its time is rounded up. */
static bool
ended_before(const struct backup_summary *backup,
			 const struct recovery_target *target)
{
	switch (target->kind)
	{
		case TARGET_LSN:
			return backup->stop_lsn <= target->lsn;
		case TARGET_TIME:
			return backup->stop_time * MICROS <= target->time_us;
		case TARGET_END:
		case TARGET_IMMEDIATE:
		case TARGET_XID:
		case TARGET_NAME:
			break;
	}
	return true;
}

/* As it was understood: a time may have been meant in another zone. */
static const char *
target_text(const struct recovery_target *target, char *out)
{
	return target->kind == TARGET_LSN ? lsn_format(target->lsn, out)
									  : timestamp_format(target->time_us, out);
}

/* Names where a backup ended, in the target's terms. */
static enum status
hint_end(const struct backup_summary *backup,
		 const struct recovery_target *target, struct err *err)
{
	char lsn[LSN_TEXT_MAX], time[TIMESTAMP_TEXT_MAX];

	if (target->kind == TARGET_LSN)
		return err_hint(err, "The earliest possible is %s, with backup %s.",
						lsn_format(backup->stop_lsn, lsn), backup->id);
	return err_hint(err, "The earliest possible is %s, with backup %s.",
					timestamp_format(backup->stop_time * MICROS, time),
					backup->id);
}

static enum status
refuse_named(const struct backup_summary *backup,
			 const struct timeline_history *history,
			 const struct recovery_target *target, struct err *err)
{
	char lsn[LSN_TEXT_MAX], text[TIMESTAMP_TEXT_MAX];
	const struct timeline_entry *entry =
		timeline_history_find(history, backup->timeline);

	if (entry == NULL || backup->start_lsn < entry->begin)
	{
		err_set(err, ST_CONFIG, "backup %s does not lead to timeline %u",
				backup->id, history->timeline);
		return err_hint(err,
						"It is on timeline %u: use "
						"--target-timeline=%u.",
						backup->timeline, backup->timeline);
	}
	if (backup->stop_lsn > entry->end)
	{
		err_set(err, ST_CONFIG,
				"backup %s ended after the next timeline had forked off at %s",
				backup->id, lsn_format(entry->end, lsn));
		return err_hint(err, "Use --target-timeline=%u, or an older backup.",
						backup->timeline);
	}
	err_set(err, ST_CONFIG, "the target %s lies before the end of backup %s",
			target_text(target, text), backup->id);
	return hint_end(backup, target, err);
}

static enum status
choose_named(const struct backup_summary *const *backups, size_t nbackups,
			 const struct timeline_history *history,
			 const struct recovery_target *target, const char *id, size_t *out,
			 struct err *err)
{
	for (size_t i = 0; i < nbackups; i++)
	{
		if (strcmp(backups[i]->id, id) != 0)
			continue;
		if (!choose_leads_to(backups[i], history) ||
			!ended_before(backups[i], target))
			return refuse_named(backups[i], history, target, err);
		*out = i;
		return ST_OK;
	}
	err_set(err, ST_MISSING, "there is no backup \"%s\"", id);
	return err_hint(err, "See \"walship list\".");
}

/* Why none of them will do. */
static enum status
refuse_all(const struct backup_summary *const *backups, size_t nbackups,
		   const struct timeline_history *history,
		   const struct recovery_target *target, struct err *err)
{
	const struct backup_summary *first = NULL;
	char text[TIMESTAMP_TEXT_MAX];

	for (size_t i = 0; i < nbackups; i++)
		if (choose_leads_to(backups[i], history) &&
			(first == NULL || backups[i]->stop_lsn < first->stop_lsn))
			first = backups[i];
	if (nbackups == 0)
		return err_set(err, ST_MISSING,
					   "the repository holds no backup of "
					   "this cluster");
	if (first == NULL)
	{
		err_set(err, ST_CONFIG, "no backup leads to timeline %u",
				history->timeline);
		return err_hint(err, "The newest backup is on timeline %u.",
						backups[nbackups - 1]->timeline);
	}
	err_set(err, ST_CONFIG,
			"the target %s lies before the end of every backup",
			target_text(target, text));
	return hint_end(first, target, err);
}

enum status
choose_backup(const struct backup_summary *const *backups, size_t nbackups,
			  const struct timeline_history *history,
			  const struct recovery_target *target, const char *id,
			  size_t *out, struct err *err)
{
	const struct backup_summary *best = NULL;

	if (id != NULL)
		return choose_named(backups, nbackups, history, target, id, out, err);
	for (size_t i = 0; i < nbackups; i++)
		if (choose_leads_to(backups[i], history) &&
			ended_before(backups[i], target) &&
			(best == NULL || backups[i]->stop_lsn >= best->stop_lsn))
		{
			best = backups[i];
			*out = i;
		}
	if (best == NULL)
		return refuse_all(backups, nbackups, history, target, err);
	return ST_OK;
}

uint64_t
choose_limit(const struct backup_summary *const *backups, size_t nbackups,
			 const struct timeline_history *history,
			 const struct recovery_target *target)
{
	uint64_t limit = UINT64_MAX;

	if (target->kind == TARGET_LSN)
		return target->lsn;
	if (target->kind != TARGET_TIME)
		return UINT64_MAX;

	/* A backup that began later; times are rounded up to whole seconds. */
	for (size_t i = 0; i < nbackups; i++)
		if (choose_leads_to(backups[i], history) && backups[i]->server_clock &&
			(backups[i]->start_time - 1) * MICROS > target->time_us &&
			backups[i]->stop_lsn < limit)
			limit = backups[i]->stop_lsn;
	return limit;
}

size_t
choose_spans(const struct timeline_history *history, uint32_t start_timeline,
			 uint64_t start_lsn, uint64_t end_lsn, uint32_t segment_size,
			 struct wal_span *spans)
{
	uint64_t first = wal_segno_of(start_lsn, segment_size);
	uint64_t end = end_lsn == UINT64_MAX ? UINT64_MAX
										 : wal_segno_of(end_lsn, segment_size);
	bool begun = false;
	size_t n = 0;

	for (size_t i = 0; i < history->nentries; i++)
	{
		const struct timeline_entry *entry = &history->entries[i];
		uint64_t last = end;

		begun = begun || entry->timeline == start_timeline;
		if (!begun)
			continue;

		/* The segment of a switch is complete on the new timeline only. */
		if (entry->end != UINT64_MAX)
		{
			uint64_t next = wal_segno_of(entry->end, segment_size);

			if (next == 0)
				continue;
			if (next - 1 < last)
				last = next - 1;
		}
		if (first > last)
			continue;
		spans[n++] = (struct wal_span){entry->timeline, first, last};
		if (last == end)
			break;
		first = last + 1;
	}
	return n;
}
