/*
 * drill_report.c - what a drill has shown, in words and as JSON
 */
#include "basebackup/drill.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "basebackup/timestamp.h"
#include "common/cli.h"
#include "common/walname.h"

static const char *const outcomes[] = {[CHECK_NOT_RUN] = "not run",
									   [CHECK_TRUE] = "true",
									   [CHECK_FAILED] = "failed"};

char *
drill_duration_format(int64_t ms, char *out)
{
	int64_t s = ms / 1000, min = s / 60, h = min / 60;

	if (ms < 1000)
		(void) snprintf(out, DRILL_DURATION_MAX, "%" PRId64 " ms", ms);
	else if (s < 60)
		(void) snprintf(out, DRILL_DURATION_MAX, "%" PRId64 ".%02" PRId64 " s",
						s, ms % 1000 / 10);
	else if (min < 60)
		(void) snprintf(out, DRILL_DURATION_MAX,
						"%" PRId64 " min %" PRId64 " s", min, s % 60);
	else if (h < 48)
		(void) snprintf(out, DRILL_DURATION_MAX,
						"%" PRId64 " h %" PRId64 " min", h, min % 60);
	else
		(void) snprintf(out, DRILL_DURATION_MAX, "%" PRId64 " d %" PRId64 " h",
						h / 24, h % 24);
	return out;
}

char *
drill_target_format(const struct drill *d, char *out)
{
	const struct recovery_target *t = &d->cluster.request.target;
	char time[TIMESTAMP_TEXT_MAX], lsn[LSN_TEXT_MAX];

	switch (t->kind)
	{
		case TARGET_TIME:
			(void) snprintf(out, DRILL_TARGET_MAX, "time %s",
							timestamp_format(t->time_us, time));
			break;
		case TARGET_LSN:
			(void) snprintf(out, DRILL_TARGET_MAX, "lsn %s",
							lsn_format(t->lsn, lsn));
			break;
		case TARGET_XID:
		case TARGET_NAME:
			(void) snprintf(out, DRILL_TARGET_MAX, "%s %s",
							t->kind == TARGET_XID ? "xid" : "name", t->text);
			break;
		case TARGET_IMMEDIATE:
		case TARGET_END:
			(void) snprintf(out, DRILL_TARGET_MAX, "%s",
							t->kind == TARGET_END ? "latest" : "immediate");
			break;
	}
	return out;
}

/* --- JSON ---------------------------------------------------------------- */

/* -1: not known */
static void
put_number(struct json *json, const char *key, int64_t value)
{
	if (value < 0)
		json_null(json, key);
	else
		json_int(json, key, value);
}

static void
put_time(struct json *json, const char *key, bool known, int64_t time_us)
{
	char text[21];

	if (known)
		json_text(json, key, time_format(time_us / 1000000, text));
	else
		json_null(json, key);
}

static int64_t
span_ms(const struct drill_span *span)
{
	return span->ended ? span->end_ms - span->begin_ms : -1;
}

static void
put_backup(const struct drill *d, struct json *json)
{
	const struct backup_summary *s = &d->cluster.choice.backup;
	bool known = d->cluster.plan != NULL;
	char lsn[LSN_TEXT_MAX], target[DRILL_TARGET_MAX];

	put_time(json, "backup_end_time", known, s->stop_time * 1000000);
	put_number(json, "timeline",
			   known ? (int64_t) d->cluster.choice.timeline : -1);
	put_number(json, "restored_bytes", known ? (int64_t) s->bytes : -1);
	json_text(json, "target", drill_target_format(d, target));
	json_bool(json, "random_backup", d->drawn[0] != '\0');
	json_bool(json, "random_target", d->random_target);
	if (d->recovered)
		json_text(json, "recovered_lsn", lsn_format(d->recovered_lsn, lsn));
	else
		json_null(json, "recovered_lsn");
	put_time(json, "recovered_time", d->any_replayed, d->replayed_us);
	put_time(json, "archive_time", d->archive.any, d->archive.time_us);
	put_number(json, "segments", d->recovered ? (int64_t) d->segments : -1);
}

static void
put_checks(const struct drill *d, struct json *json)
{
	const struct drill_check *failed = drill_failed_check(d);

	json_int(json, "checks_run", (int64_t) drill_checks_run(d));
	if (failed != NULL)
		json_text(json, "failed_check", failed->name);
	else
		json_null(json, "failed_check");
	json_array(json, "checks");
	for (size_t i = 0; i < d->checks.nchecks; i++)
	{
		const struct drill_check *c = &d->checks.list[i];

		json_object(json);
		json_text(json, "name", c->name);
		json_int(json, "line", (int64_t) c->line);
		json_text(json, "database", c->database);
		json_text(json, "outcome", outcomes[c->outcome]);
		put_number(json, "ms", c->outcome == CHECK_NOT_RUN ? -1 : c->ms);
		json_object_end(json);
	}
	json_array_end(json);
}

void
drill_report_members(void *arg, struct json *json)
{
	const struct drill *d = arg;

	put_backup(d, json);
	put_number(json, "rpo_ms", drill_rpo_ms(d));
	put_number(json, "rto_ms", drill_rto_ms(d));
	json_object_member(json, "phases_ms");
	for (enum drill_phase p = DRILL_PREPARE; p < DRILL_PHASES; p++)
		put_number(json, drill_phase_name(p), span_ms(&d->spans[p]));
	json_object_end(json);
	put_number(json, "consistent_ms",
			   d->consistent_ms > 0 ? d->consistent_ms : -1);
	if (d->failed != NULL)
		json_text(json, "failed_phase", drill_phase_name(d->phase));
	else
		json_null(json, "failed_phase");
	put_checks(d, json);
}

/* --- text ---------------------------------------------------------------- */

static void
tell_recovery(FILE *out, const struct drill *d)
{
	const struct backup_summary *s = &d->cluster.choice.backup;
	char text[DRILL_TARGET_MAX], size[16], lsn[LSN_TEXT_MAX], time[21];
	char stamp[TIMESTAMP_TEXT_MAX];

	if (d->cluster.plan != NULL)
		(void) fprintf(out, "  backup     %s%s, ended %s, %s\n", s->id,
					   d->drawn[0] != '\0' ? " (drawn)" : "",
					   time_format(s->stop_time, time),
					   size_format(s->bytes, size));
	(void) fprintf(out, "  target     %s%s\n", drill_target_format(d, text),
				   d->random_target ? " (drawn)" : "");
	if (d->recovered)
		(void) fprintf(
			out, "  recovered  to %s, %" PRIu64 " WAL files%s%s\n",
			lsn_format(d->recovered_lsn, lsn), d->segments,
			d->any_replayed ? "; last transaction " : "",
			d->any_replayed ? timestamp_format(d->replayed_us, stamp) : "");
}

static void
tell_measures(FILE *out, const struct drill *d)
{
	int64_t rpo_ms = drill_rpo_ms(d), rto_ms = drill_rto_ms(d);
	char text[DRILL_DURATION_MAX], stamp[TIMESTAMP_TEXT_MAX];
	const char *before = "  phases     ";

	if (rpo_ms >= 0)
		(void) fprintf(
			out, "  RPO        %s%s%s%s\n",
			drill_duration_format(rpo_ms, text),
			d->archive.any ? " (last transaction archived: " : "",
			d->archive.any ? timestamp_format(d->archive.time_us, stamp) : "",
			d->archive.any ? ")" : "");
	if (rto_ms >= 0)
		(void) fprintf(out, "  RTO        %s\n",
					   drill_duration_format(rto_ms, text));
	if (!d->spans[DRILL_PREPARE].begun)
		return;
	for (enum drill_phase p = DRILL_PREPARE; p < DRILL_PHASES; p++)
		if (d->spans[p].begun)
		{
			(void) fprintf(out, "%s%s %s%s", before, drill_phase_name(p),
						   drill_duration_format(d->spans[p].end_ms -
													 d->spans[p].begin_ms,
												 text),
						   d->spans[p].ended ? "" : " (failed)");
			before = ", ";
		}
	(void) fputs("\n", out);
}

char *
drill_text(const struct drill *d)
{
	const struct drill_check *failed = drill_failed_check(d);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	(void) fprintf(out, "The drill %s.\n",
				   d->failed == NULL ? "passed" : "failed");
	tell_recovery(out, d);
	tell_measures(out, d);
	if (d->checks.nchecks > 0)
		(void) fprintf(out, "  checks     %zu of %zu run, %s\n",
					   drill_checks_run(d), d->checks.nchecks,
					   failed != NULL             ? "the last one failed"
					   : drill_checks_run(d) == 0 ? "since it failed before"
												  : "all true");
	if (failed != NULL)
		(void) fprintf(out, "  failed     \"%s\", line %u, database \"%s\"\n",
					   failed->name, failed->line, failed->database);
	if (fclose(out) != 0)
	{
		free(text);
		return NULL;
	}
	return text;
}
