/*
 * status_json.c - the state of archive and backups as one JSON document
 */
#include "basebackup/status_show.h"

#include <inttypes.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "basebackup/json.h"
#include "common/cli.h"

static void
put_text(yajl_gen gen, const char *text)
{
	char ascii[ERR_MESSAGE_MAX + ERR_DETAIL_MAX + ERR_HINT_MAX];
	size_t len = strlen(text);

	/* What is not UTF-8 (a file's name, say) is shown with question marks. */
	if (!utf8_valid(text, len))
	{
		len = len < sizeof(ascii) ? len : sizeof(ascii);
		for (size_t i = 0; i < len; i++)
			ascii[i] =
				(char) ((unsigned char) text[i] >= 0x80 ? '?' : text[i]);
		text = ascii;
	}
	(void) yajl_gen_string(gen, (const unsigned char *) text, len);
}

static void
text(yajl_gen gen, const char *key, const char *value)
{
	put_text(gen, key);
	if (value != NULL)
		put_text(gen, value);
	else
		(void) yajl_gen_null(gen);
}

static void
whole(yajl_gen gen, const char *key, int64_t value)
{
	put_text(gen, key);
	(void) yajl_gen_integer(gen, value);
}

static void
boolean(yajl_gen gen, const char *key, bool value)
{
	put_text(gen, key);
	(void) yajl_gen_bool(gen, value);
}

static void
ratio(yajl_gen gen, const char *key, bool known, double value)
{
	put_text(gen, key);
	if (known)
		(void) yajl_gen_double(gen, value);
	else
		(void) yajl_gen_null(gen);
}

/* 0: null. */
static void
moment(yajl_gen gen, const char *key, int64_t time_s)
{
	char out[21];

	text(gen, key, time_s > 0 ? time_format(time_s, out) : NULL);
}

static void
position(yajl_gen gen, const char *key, uint64_t lsn)
{
	char out[LSN_TEXT_MAX];

	text(gen, key, lsn_format(lsn, out));
}

static void
begin_map(yajl_gen gen, const char *key)
{
	if (key != NULL)
		put_text(gen, key);
	(void) yajl_gen_map_open(gen);
}

static void
begin_array(yajl_gen gen, const char *key)
{
	put_text(gen, key);
	(void) yajl_gen_array_open(gen);
}

static void
put_gap(yajl_gen gen, const struct window_gap *gap, uint32_t segment_size)
{
	struct wal_name name;

	begin_map(gen, NULL);
	wal_name_segment(&name, gap->timeline, gap->first, segment_size);
	text(gen, "first", name.text);
	wal_name_segment(&name, gap->timeline, gap->last, segment_size);
	text(gen, "last", name.text);
	whole(gen, "segments", (int64_t) (gap->last - gap->first + 1));
	(void) yajl_gen_map_close(gen);
}

static void
put_timeline(yajl_gen gen, const struct timeline_windows *t,
			 uint32_t segment_size)
{
	begin_map(gen, NULL);
	whole(gen, "timeline", t->timeline);
	begin_array(gen, "windows");
	for (size_t i = 0; i < t->nwindows; i++)
	{
		const struct window *w = &t->windows[i];

		begin_map(gen, NULL);
		moment(gen, "from_time", w->from_s);
		position(gen, "from_lsn", w->from_lsn);
		moment(gen, "to_time", w->to_s);
		position(gen, "to_lsn", w->to_lsn);
		whole(gen, "backups", (int64_t) w->nbackups);
		(void) yajl_gen_map_close(gen);
	}
	(void) yajl_gen_array_close(gen);
	begin_array(gen, "gaps");
	for (size_t i = 0; i < t->ngaps; i++)
		put_gap(gen, &t->gaps[i], segment_size);
	(void) yajl_gen_array_close(gen);
	whole(gen, "gaps_found", (int64_t) t->gaps_found);
	whole(gen, "segments_missing", (int64_t) t->segments_missing);
	(void) yajl_gen_map_close(gen);
}

static void
put_backups(yajl_gen gen, const struct overview *s)
{
	const struct status_last *last = &s->last;
	const struct backup_summary *b = last->summary;

	begin_map(gen, "backups");
	whole(gen, "complete", (int64_t) s->ncomplete);
	whole(gen, "unfinished", (int64_t) s->unfinished);
	whole(gen, "unreadable", (int64_t) s->unreadable);
	whole(gen, "own_end_only", (int64_t) s->outside);
	(void) yajl_gen_map_close(gen);
	put_text(gen, "last_backup");
	if (b == NULL)
	{
		(void) yajl_gen_null(gen);
		return;
	}
	begin_map(gen, NULL);
	text(gen, "id", b->id);
	moment(gen, "stop_time", b->stop_time);
	whole(gen, "age_s", last->age_s);
	put_text(gen, "wal_complete");
	if (s->store_failed)
		(void) yajl_gen_null(gen);
	else
		(void) yajl_gen_bool(gen, s->whole[s->ncomplete - 1]);
	whole(gen, "bytes", (int64_t) b->bytes);
	whole(gen, "stored_bytes", (int64_t) (b->stored_bytes + b->digest_bytes));
	whole(gen, "duration_ms", (int64_t) b->duration_ms);
	whole(gen, "compared_with", (int64_t) last->compared);
	ratio(gen, "size_change", last->compared > 0, last->size_change);
	ratio(gen, "stored_change", last->compared > 0, last->stored_change);
	ratio(gen, "duration_change", last->compared > 0, last->time_change);
	(void) yajl_gen_map_close(gen);
}

static void
put_archive(yajl_gen gen, const struct overview *s)
{
	begin_array(gen, "archive");
	for (size_t i = 0; i < s->map.nlines; i++)
	{
		const struct wal_line *line = &s->map.lines[i];

		begin_map(gen, NULL);
		whole(gen, "timeline", line->timeline);
		text(gen, "last", line->last[0] != '\0' ? line->last : NULL);
		moment(gen, "last_time", line->last_modified_s);
		whole(gen, "segments", (int64_t) line->segments);
		whole(gen, "segments_remembered", (int64_t) line->skipped);
		moment(gen, "remembered_since", line->skipped > 0 ? line->seen_s : 0);
		(void) yajl_gen_map_close(gen);
	}
	(void) yajl_gen_array_close(gen);
	put_text(gen, "lag");
	if (!s->lag.known)
	{
		(void) yajl_gen_null(gen);
		return;
	}
	begin_map(gen, NULL);
	whole(gen, "bytes", (int64_t) s->lag.bytes);
	whole(gen, "segments", (int64_t) s->lag.segments);
	whole(gen, "seconds", s->lag.seconds);
	(void) yajl_gen_map_close(gen);
}

static void
put_report(yajl_gen gen, const char *key, bool any,
		   const struct report_read *r)
{
	put_text(gen, key);
	if (!any)
	{
		(void) yajl_gen_null(gen);
		return;
	}
	begin_map(gen, NULL);
	text(gen, "kind", r->kind);
	text(gen, "outcome", r->ok ? "ok" : "failed");
	moment(gen, "start_time", r->start_time);
	moment(gen, "end_time", r->end_time);
	text(gen, "host", r->host);
	text(gen, "message", r->message);
	text(gen, "backup", r->backup_id[0] != '\0' ? r->backup_id : NULL);
	if (r->defects >= 0)
		whole(gen, "defects", r->defects);
	if (r->rto_ms >= 0)
		whole(gen, "rto_ms", r->rto_ms);
	if (r->rpo_ms >= 0)
		whole(gen, "rpo_ms", r->rpo_ms);
	(void) yajl_gen_map_close(gen);
}

static void
put_reports(yajl_gen gen, const struct overview *s)
{
	begin_map(gen, "last_runs");
	for (int i = 0; i < REPORTS_KINDS; i++)
		put_report(gen, report_kind_name((enum report_kind) i),
				   s->reports.kinds[i].any, &s->reports.kinds[i].last);
	(void) yajl_gen_map_close(gen);
	begin_map(gen, "last_failures");
	for (int i = 0; i < REPORTS_KINDS; i++)
		put_report(gen, report_kind_name((enum report_kind) i),
				   s->reports.kinds[i].failed, &s->reports.kinds[i].failure);
	(void) yajl_gen_map_close(gen);
}

static void
put_stored(yajl_gen gen, const struct overview *s)
{
	begin_map(gen, "stored");
	whole(gen, "bytes", (int64_t) usage_bytes(&s->usage));
	whole(gen, "quota_bytes", s->session.cfg->quota_bytes);
	begin_array(gen, "kinds");
	for (size_t i = 0; i < s->usage.nrows; i++)
	{
		const struct usage_row *row = &s->usage.rows[i];

		begin_map(gen, NULL);
		text(gen, "kind", usage_kind_name(row->kind));
		text(gen, "storage_class", row->storage_class);
		whole(gen, "objects", (int64_t) row->objects);
		whole(gen, "bytes", (int64_t) row->bytes);
		(void) yajl_gen_map_close(gen);
	}
	(void) yajl_gen_array_close(gen);
	(void) yajl_gen_map_close(gen);
	put_text(gen, "replication");
	if (!s->replication.known)
	{
		(void) yajl_gen_null(gen);
		return;
	}
	begin_map(gen, NULL);
	text(gen, "state", s->replication.state);
	whole(gen, "lag_s", s->replication.lag_s);
	(void) yajl_gen_map_close(gen);
}

static void
put_host(yajl_gen gen, const struct overview *s)
{
	begin_map(gen, "spool");
	text(gen, "path", s->spool.path);
	boolean(gen, "usable", s->spool.usable);
	whole(gen, "pushed_files", (int64_t) s->spool.pushed_files);
	whole(gen, "ahead_files", (int64_t) s->spool.ahead_files);
	whole(gen, "ahead_bytes", (int64_t) s->spool.ahead_bytes);
	(void) yajl_gen_map_close(gen);
	begin_array(gen, "problems");
	for (size_t i = 0; i < s->nproblems; i++)
	{
		begin_map(gen, NULL);
		text(gen, "kind", s->problems[i].kind);
		text(gen, "text", s->problems[i].text);
		(void) yajl_gen_map_close(gen);
	}
	(void) yajl_gen_array_close(gen);
}

static void
put_cluster(yajl_gen gen, const struct overview *s)
{
	char id[24];

	begin_map(gen, NULL);
	(void) snprintf(id, sizeof(id), "%" PRIu64, s->system_identifier);
	text(gen, "system_identifier", id);
	text(gen, "repository", s->repository);
	moment(gen, "time", s->now_s);
	boolean(gen, "store_reached", !s->store_failed);
	boolean(gen, "key_available", !s->key_missing);
	boolean(gen, "server_reached", s->server != NULL);
	begin_array(gen, "timelines");
	for (size_t i = 0; i < s->nwindows; i++)
		put_timeline(gen, &s->windows[i], s->map.segment_size);
	(void) yajl_gen_array_close(gen);
	put_backups(gen, s);
	put_archive(gen, s);
	put_reports(gen, s);
	put_stored(gen, s);
	put_host(gen, s);
	whole(gen, "requests", (int64_t) s->requests);
	whole(gen, "wal_listed", (int64_t) s->map.entries);
	(void) yajl_gen_map_close(gen);
}

static void
put_server(yajl_gen gen, const struct status_server *server)
{
	char id[24];

	put_text(gen, "server");
	if (server == NULL)
	{
		(void) yajl_gen_null(gen);
		return;
	}
	begin_map(gen, NULL);
	boolean(gen, "reached", server->reached);
	if (!server->reached)
		text(gen, "why", server->why.message);
	else
	{
		(void) snprintf(id, sizeof(id), "%" PRIu64, server->system_identifier);
		text(gen, "system_identifier", id);
		whole(gen, "version", server->version);
		boolean(gen, "in_recovery", server->in_recovery);
		whole(gen, "timeline", server->timeline);
		position(gen, "lsn", server->lsn);
		whole(gen, "archive_timeout_s", server->archive_timeout_s);
		whole(gen, "archived_count", (int64_t) server->archived_count);
		whole(gen, "failed_count", (int64_t) server->failed_count);
		text(gen, "last_archived", server->last_archived);
		text(gen, "last_failed", server->last_failed);
		moment(gen, "last_archived_time", server->last_archived_s);
		moment(gen, "last_failed_time", server->last_failed_s);
		if (server->ready_known)
			whole(gen, "ready_files", (int64_t) server->ready_files);
	}
	(void) yajl_gen_map_close(gen);
}

enum status
status_show_json(const struct status_view *view, FILE *out, struct err *err)
{
	yajl_gen gen = yajl_gen_alloc(NULL);
	const unsigned char *document;
	size_t problems = 0;
	size_t len;
	enum status status = ST_OK;

	if (gen == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < view->nclusters; i++)
		problems += view->clusters[i].nproblems;
	begin_map(gen, NULL);
	moment(gen, "time", view->now_s);
	whole(gen, "problems", (int64_t) problems);
	put_server(gen, view->server);
	begin_array(gen, "clusters");
	for (size_t i = 0; i < view->nclusters; i++)
		put_cluster(gen, &view->clusters[i]);
	(void) yajl_gen_array_close(gen);
	if (yajl_gen_map_close(gen) != yajl_gen_status_ok ||
		yajl_gen_get_buf(gen, &document, &len) != yajl_gen_status_ok)
		status = err_set(err, ST_NOMEM, "could not write JSON");
	else
	{
		(void) fwrite(document, 1, len, out);
		(void) fputc('\n', out);
	}
	yajl_gen_free(gen);
	return status;
}
