/*
 * restore_tell.c - the plan of a restore, in words
 */
#include "basebackup/restore.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "basebackup/timestamp.h"
#include "common/cli.h"

struct teller
{
	void (*say)(const char *line);
};

static void
tell(const struct teller *t, const char *fmt, ...) ERR_PRINTF(2, 3);

static void
tell(const struct teller *t, const char *fmt, ...)
{
	char *line = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&line, fmt, args) < 0)
		line = NULL;
	va_end(args);
	if (line != NULL)
		t->say(line);
	free(line);
}

static void
tell_target(const struct teller *t, const struct restore_request *r,
			const struct restore_choice *choice)
{
	const struct recovery_target *target = &r->target;
	char lsn[LSN_TEXT_MAX], time[TIMESTAMP_TEXT_MAX];

	switch (target->kind)
	{
		case TARGET_END:
			tell(t, r->standby ? "a standby: it follows the archive, from now "
								 "on, too"
							   : "the target is the end of the archive");
			break;
		case TARGET_IMMEDIATE:
			tell(t, "the target is the end of the backup");
			break;
		case TARGET_TIME:
			tell(t, "the target is %s",
				 timestamp_format(target->time_us, time));
			break;
		case TARGET_LSN:
			tell(t, "the target is %s", lsn_format(target->lsn, lsn));
			break;
		case TARGET_XID:
			tell(t, "the target is transaction %s", target->text);
			break;
		case TARGET_NAME:
			tell(t, "the target is restore point \"%s\"", target->text);
			break;
	}
	if (r->backup_id == NULL &&
		(target->kind == TARGET_XID || target->kind == TARGET_NAME))
		tell(t, "taking the newest backup, since only recovery can tell where "
				"the target is; should that lie before the backup's end, name "
				"an older one");
	tell(t, "recovering along timeline %" PRIu32, choice->timeline);
}

static void
tell_wal(const struct teller *t, const struct restore_choice *choice)
{
	uint32_t size = choice->backup.wal_segment_size;

	for (size_t i = 0; i < choice->nspans; i++)
	{
		const struct wal_span *span = &choice->spans[i];
		uint64_t n = span->last - span->first + 1;
		struct wal_name first, last;
		char bytes[16];

		wal_name_segment(&first, span->timeline, span->first, size);
		wal_name_segment(&last, span->timeline, span->last, size);
		if (choice->partial && i + 1 == choice->nspans)
			wal_name_partial(&last);
		if (n == 1)
			tell(t, "WAL %s, up to %s, is in the archive", last.text,
				 size_format(size, bytes));
		else
			tell(t,
				 "WAL %s to %s: %" PRIu64
				 " segments, up to %s, are in the archive",
				 first.text, last.text, n, size_format(n * size, bytes));
	}
}

static void
tell_room(const struct teller *t, const struct restore_survey *survey)
{
	for (size_t i = 0; i < survey->nplaces; i++)
	{
		const struct restore_place *place = &survey->places[i];
		char bytes[16], need[16], have[16];

		tell(t, "\"%s\" takes %s; its file system needs %s and has %s free",
			 place->path, size_format(place->bytes, bytes),
			 size_format(restore_room_needed(survey, i), need),
			 size_format(place->free_bytes, have));
	}
}

static void
tell_cold(const struct teller *t, const struct cold_list *cold,
		  const char *what)
{
	char bytes[16];

	if (cold->nobjects > 0)
		tell(t, "%zu %s, %s, lie in archived storage (%s)", cold->nobjects,
			 what, size_format(cold->bytes, bytes),
			 cold->objects[0].storage_class);
}

void
restore_tell_plan(const struct restore_request *request,
				  const struct restore_choice *choice, const struct plan *plan,
				  const struct restore_survey *survey,
				  void (*say)(const char *line))
{
	const struct teller t = {say};
	const struct backup_summary *s = &plan->summary;
	char time[21], size[16], fetch[16];

	tell_target(&t, request, choice);
	tell(&t,
		 "restoring backup %s, which ended at %s on timeline %" PRIu32
		 ", to \"%s\": %" PRIu64 " files, %s",
		 s->id, time_format(s->stop_time, time), s->timeline,
		 request->target_dir, s->files, size_format(s->bytes, size));
	if (choice->own_end_only)
		tell(&t, "this backup restores to its own end only: the WAL that "
				 "follows it is not in the archive any more");
	tell(&t, "%s in %" PRIu32 " packs are to be fetched",
		 size_format(plan->fetch_bytes, fetch), survey->npacks);
	tell_wal(&t, choice);
	tell_room(&t, survey);
	tell_cold(&t, &survey->cold, "packs");
	tell_cold(&t, &choice->cold, "WAL segments");
}
