/*
 * restore_json.c - the plan of a restore, for a program
 */
#include "basebackup/restore.h"

#include <inttypes.h>
#include <stdio.h>

#include "basebackup/timestamp.h"
#include "common/cli.h"

static const char *const kinds[] = {
	[TARGET_END] = "end",   [TARGET_IMMEDIATE] = "immediate",
	[TARGET_TIME] = "time", [TARGET_LSN] = "lsn",
	[TARGET_XID] = "xid",   [TARGET_NAME] = "name",
};

static void
json_target(struct json *json, const struct recovery_target *target)
{
	char text[TIMESTAMP_TEXT_MAX];

	json_text(json, "target", kinds[target->kind]);
	if (target->kind == TARGET_TIME)
		json_text(json, "target_value",
				  timestamp_format(target->time_us, text));
	else if (target->kind == TARGET_LSN)
		json_text(json, "target_value", lsn_format(target->lsn, text));
	else if (target->kind == TARGET_XID || target->kind == TARGET_NAME)
		json_path(json, "target_value", target->text);
	else
		json_null(json, "target_value");
}

static void
json_wal(struct json *json, const struct restore_choice *choice)
{
	uint32_t size = choice->backup.wal_segment_size;

	json_array(json, "wal");
	for (size_t i = 0; i < choice->nspans; i++)
	{
		const struct wal_span *span = &choice->spans[i];
		uint64_t n = span->last - span->first + 1;
		struct wal_name first, last;

		wal_name_segment(&first, span->timeline, span->first, size);
		wal_name_segment(&last, span->timeline, span->last, size);
		if (choice->partial && i + 1 == choice->nspans)
			wal_name_partial(&last);
		json_object(json);
		json_text(json, "first", first.text);
		json_text(json, "last", last.text);
		json_int(json, "segments", (int64_t) n);
		json_int(json, "bytes", (int64_t) (n * size));
		json_object_end(json);
	}
	json_array_end(json);
}

static void
json_places(struct json *json, const struct restore_survey *survey)
{
	json_array(json, "directories");
	for (size_t i = 0; i < survey->nplaces; i++)
	{
		const struct restore_place *place = &survey->places[i];

		json_object(json);
		json_path(json, "path", place->path);
		json_int(json, "bytes", (int64_t) place->bytes);
		json_int(json, "needed_bytes",
				 (int64_t) restore_room_needed(survey, i));
		json_int(json, "free_bytes", (int64_t) place->free_bytes);
		json_object_end(json);
	}
	json_array_end(json);
}

static void
json_tablespaces(struct json *json, const struct restore_request *request,
				 const struct plan *plan)
{
	json_array(json, "tablespaces");
	for (size_t i = 0; i < plan->ntablespaces; i++)
	{
		const struct plan_tablespace *t = &plan->tablespaces[i];

		json_object(json);
		json_int(json, "oid", t->oid);
		json_path(json, "location", t->location);
		json_path(json, "path", restore_location(request, t));
		json_object_end(json);
	}
	json_array_end(json);
}

void
restore_json_plan(struct json *json, const struct restore_request *request,
				  const struct restore_choice *choice, const struct plan *plan,
				  const struct restore_survey *survey)
{
	const struct backup_summary *s = &plan->summary;
	const struct cold_list *packs = &survey->cold, *wal = &choice->cold;
	char time[21];

	json_text(json, "backup", s->id);
	json_text(json, "backup_stop_time", time_format(s->stop_time, time));
	json_int(json, "backup_timeline", s->timeline);
	json_bool(json, "own_end_only", choice->own_end_only);
	json_target(json, &request->target);
	json_int(json, "timeline", choice->timeline);
	json_bool(json, "standby", request->standby);
	json_path(json, "target_dir", request->target_dir);
	json_int(json, "files", (int64_t) s->files);
	json_int(json, "bytes", (int64_t) s->bytes);
	json_int(json, "packs", survey->npacks);
	json_int(json, "fetch_bytes", (int64_t) plan->fetch_bytes);
	json_wal(json, choice);
	json_tablespaces(json, request, plan);
	json_places(json, survey);
	json_int(json, "archived_objects",
			 (int64_t) (packs->nobjects + wal->nobjects));
	json_int(json, "archived_bytes", (int64_t) (packs->bytes + wal->bytes));
}
