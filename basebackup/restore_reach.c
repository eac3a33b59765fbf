/*
 * restore_reach.c - can recovery reach a target in time?
 *
 * PostgreSQL stops at a time before the first transaction that ended later,
 * and is FATAL after hours of replay if there is none.  The last segments of
 * the archive tell beforehand.
 */
#include "basebackup/restore.h"

#include <stdlib.h>

#include "basebackup/timestamp.h"
#include "basebackup/wal_times.h"
#include "common/log.h"

/* Of an idle server: so many segments are read, and no more. */
#define SEGMENTS_MAX 64

static enum status
feed_segment(struct repo *repo, uint32_t timeline, uint64_t segno,
			 uint32_t segment_size, struct wal_times *times, struct err *err)
{
	char object[OBJECT_NAME_MAX + 1];
	struct wal_name name;

	wal_name_segment(&name, timeline, segno, segment_size);
	repo_wal_name(object, &name);
	return repo_get(repo, OBJECT_WAL, object, wal_times_feed, times, err);
}

static enum status
refuse(const struct recovery_target *target,
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

/* Segment by segment backwards, each with the end of its last record. */
static enum status
look_back(struct repo *repo, const struct recovery_target *target,
		  const struct restore_choice *choice, struct wal_times *times,
		  struct err *err)
{
	uint32_t size = choice->backup.wal_segment_size;
	size_t looked = 0;

	for (size_t i = choice->nspans; i > 0; i--)
	{
		const struct wal_span *span = &choice->spans[i - 1];

		for (uint64_t s = span->last + 1; s > span->first; s--)
		{
			enum status st;

			if (looked++ == SEGMENTS_MAX)
			{
				log_warning("the last %d WAL segments hold no transaction: "
							"whether the target can be reached is not known",
							SEGMENTS_MAX);
				return ST_OK;
			}
			wal_times_begin(times);
			st = feed_segment(repo, span->timeline, s - 1, size, times, err);
			if (st == ST_OK && wal_times_open(times) && s <= span->last)
				st = feed_segment(repo, span->timeline, s, size, times, err);
			if (st != ST_OK)
				return st;
			if (reached(target, times))
				return ST_OK;
			if (times->any)
				return refuse(target, choice, times, err);
		}
	}
	return refuse(target, choice, times, err);
}

enum status
restore_check_reach(struct repo *repo, const struct restore_request *request,
					const struct restore_choice *choice, struct err *err)
{
	struct wal_times *times;
	enum status st;

	if (request->target.kind != TARGET_TIME || !choice->open_end)
		return ST_OK;
	times = calloc(1, sizeof(*times));
	if (times == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	st = look_back(repo, &request->target, choice, times, err);
	free(times);
	return st;
}
