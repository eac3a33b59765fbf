/*
 * status_metrics.c - the state of archive and backups for Prometheus
 *
 * A table: each metric has a name, what it means, and a function that gives
 * its samples of one cluster.  What is not known has no sample, so that no
 * rule takes it for a zero.
 */
#include "basebackup/status_show.h"

#include <inttypes.h>
#include <string.h>

#include "basebackup/metrics.h"

#define PREFIX "walship_"

/* Where the samples of a cluster go. */
struct target
{
	struct metrics *metrics;
	char cluster[24];
};

static void
put(const struct target *to, double value)
{
	const struct metrics_label label = {"cluster", to->cluster};

	metrics_sample(to->metrics, &label, 1, value);
}

static void
put_labelled(const struct target *to, const char *name, const char *word,
			 double value)
{
	const struct metrics_label labels[] = {{"cluster", to->cluster},
										   {name, word}};

	metrics_sample(to->metrics, labels, 2, value);
}

static void
put_timeline(const struct target *to, uint32_t timeline, double value)
{
	char text[16];

	(void) snprintf(text, sizeof(text), "%" PRIu32, timeline);
	put_labelled(to, "timeline", text, value);
}

/* --- what can be asked at all -----------------------------------------------
 */

static void
store_up(const struct target *to, const struct overview *s)
{
	put(to, s->store_failed ? 0 : 1);
}

static void
key_available(const struct target *to, const struct overview *s)
{
	put(to, s->key_missing ? 0 : 1);
}

static void
server_up(const struct target *to, const struct overview *s)
{
	put(to, s->server != NULL ? 1 : 0);
}

static void
problems(const struct target *to, const struct overview *s)
{
	put(to, (double) s->nproblems);
}

static void
rewound(const struct target *to, const struct overview *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->nproblems; i++)
		n += strcmp(s->problems[i].kind, "rewound") == 0 ||
			 strcmp(s->problems[i].kind, "pushed-missing") == 0;
	if (!s->store_failed)
		put(to, (double) n);
}

/* --- backups ----------------------------------------------------------------
 */

static void
backups(const struct target *to, const struct overview *s)
{
	if (s->store_failed)
		return;
	put_labelled(to, "state", "complete", (double) s->ncomplete);
	put_labelled(to, "state", "unfinished", (double) s->unfinished);
	put_labelled(to, "state", "unreadable", (double) s->unreadable);
}

static void
backups_without_wal(const struct target *to, const struct overview *s)
{
	size_t n = 0;

	if (s->store_failed || s->key_missing)
		return;
	for (size_t i = 0; i < s->ncomplete; i++)
		n += !s->whole[i];
	put(to, (double) n);
}

/* 0 where there is none: then it is older than anything. */
static void
backup_time(const struct target *to, const struct overview *s)
{
	if (s->last.summary != NULL)
		put(to, (double) s->last.summary->stop_time);
	else if (!s->store_failed && s->unreadable == 0)
		put(to, 0);
}

static void
backup_duration(const struct target *to, const struct overview *s)
{
	if (s->last.summary != NULL)
		put(to, (double) s->last.summary->duration_ms / 1000);
}

static void
backup_size(const struct target *to, const struct overview *s)
{
	if (s->last.summary != NULL)
		put(to, (double) s->last.summary->bytes);
}

static void
backup_stored(const struct target *to, const struct overview *s)
{
	if (s->last.summary != NULL)
		put(to, (double) (s->last.summary->stored_bytes +
						  s->last.summary->digest_bytes));
}

static void
backup_size_change(const struct target *to, const struct overview *s)
{
	if (s->last.compared > 0)
		put(to, s->last.size_change);
}

static void
backup_duration_change(const struct target *to, const struct overview *s)
{
	if (s->last.compared > 0)
		put(to, s->last.time_change);
}

/* --- what can be recovered --------------------------------------------------
 */

static void
window_start(const struct target *to, const struct overview *s)
{
	for (size_t i = 0; i < s->nwindows; i++)
		if (s->windows[i].nwindows > 0)
			put_timeline(to, s->windows[i].timeline,
						 (double) s->windows[i].windows[0].from_s);
}

static void
window_end(const struct target *to, const struct overview *s)
{
	for (size_t i = 0; i < s->nwindows; i++)
	{
		const struct timeline_windows *t = &s->windows[i];

		if (t->nwindows > 0 && t->windows[t->nwindows - 1].to_s > 0)
			put_timeline(to, t->timeline,
						 (double) t->windows[t->nwindows - 1].to_s);
	}
}

static void
window_gaps(const struct target *to, const struct overview *s)
{
	for (size_t i = 0; i < s->nwindows; i++)
		put_timeline(to, s->windows[i].timeline,
					 (double) s->windows[i].gaps_found);
}

static void
window_missing(const struct target *to, const struct overview *s)
{
	for (size_t i = 0; i < s->nwindows; i++)
		put_timeline(to, s->windows[i].timeline,
					 (double) s->windows[i].segments_missing);
}

static void
archive_end(const struct target *to, const struct overview *s)
{
	for (size_t i = 0; i < s->map.nlines; i++)
		if (s->map.lines[i].last_modified_s > 0)
			put_timeline(to, s->map.lines[i].timeline,
						 (double) s->map.lines[i].last_modified_s);
}

static void
archive_segments(const struct target *to, const struct overview *s)
{
	for (size_t i = 0; i < s->map.nlines; i++)
		put_timeline(to, s->map.lines[i].timeline,
					 (double) s->map.lines[i].segments);
}

static void
archive_seen(const struct target *to, const struct overview *s)
{
	for (size_t i = 0; i < s->map.nlines; i++)
		put_timeline(to, s->map.lines[i].timeline,
					 (double) (s->map.lines[i].skipped > 0
								   ? s->map.lines[i].seen_s
								   : s->now_s));
}

/* --- archiving --------------------------------------------------------------
 */

static void
lag_seconds(const struct target *to, const struct overview *s)
{
	if (s->lag.known)
		put(to, (double) s->lag.seconds);
}

static void
lag_bytes(const struct target *to, const struct overview *s)
{
	if (s->lag.known)
		put(to, (double) s->lag.bytes);
}

static void
archived_total(const struct target *to, const struct overview *s)
{
	if (s->server != NULL)
		put(to, (double) s->server->archived_count);
}

static void
failed_total(const struct target *to, const struct overview *s)
{
	if (s->server != NULL)
		put(to, (double) s->server->failed_count);
}

static void
archiver_success(const struct target *to, const struct overview *s)
{
	if (s->server != NULL)
		put(to, (double) s->server->last_archived_s);
}

static void
archiver_failure(const struct target *to, const struct overview *s)
{
	if (s->server != NULL)
		put(to, (double) s->server->last_failed_s);
}

static void
archiver_ready(const struct target *to, const struct overview *s)
{
	if (s->server != NULL && s->server->ready_known)
		put(to, (double) s->server->ready_files);
}

/* --- runs -------------------------------------------------------------------
 */

static void
put_run(const struct target *to, int kind, double value)
{
	put_labelled(to, "kind", report_kind_name((enum report_kind) kind), value);
}

static void
run_time(const struct target *to, const struct overview *s)
{
	for (int i = 0; i < REPORTS_KINDS; i++)
		if (s->reports.kinds[i].any)
			put_run(to, i, (double) s->reports.kinds[i].last.end_time);
}

static void
run_success(const struct target *to, const struct overview *s)
{
	for (int i = 0; i < REPORTS_KINDS; i++)
		if (s->reports.kinds[i].any)
			put_run(to, i, s->reports.kinds[i].last.ok ? 1 : 0);
}

static void
run_failure(const struct target *to, const struct overview *s)
{
	for (int i = 0; i < REPORTS_KINDS; i++)
		if (s->reports.kinds[i].any)
			put_run(to, i,
					s->reports.kinds[i].failed
						? (double) s->reports.kinds[i].failure.end_time
						: 0);
}

static void
drill_rto(const struct target *to, const struct overview *s)
{
	const struct report_read *r = &s->reports.kinds[REPORTS_DRILL].last;

	if (s->reports.kinds[REPORTS_DRILL].any && r->rto_ms >= 0)
		put(to, (double) r->rto_ms / 1000);
}

static void
drill_rpo(const struct target *to, const struct overview *s)
{
	const struct report_read *r = &s->reports.kinds[REPORTS_DRILL].last;

	if (s->reports.kinds[REPORTS_DRILL].any && r->rpo_ms >= 0)
		put(to, (double) r->rpo_ms / 1000);
}

/* --- the store --------------------------------------------------------------
 */

static void
put_row(const struct target *to, const struct usage_row *row, double value)
{
	const struct metrics_label labels[] = {
		{"cluster", to->cluster},
		{"kind", usage_kind_name(row->kind)},
		{"storage_class", row->storage_class}};

	metrics_sample(to->metrics, labels, 3, value);
}

static void
stored_bytes(const struct target *to, const struct overview *s)
{
	for (size_t i = 0; !s->store_failed && i < s->usage.nrows; i++)
		put_row(to, &s->usage.rows[i], (double) s->usage.rows[i].bytes);
}

static void
stored_objects(const struct target *to, const struct overview *s)
{
	for (size_t i = 0; !s->store_failed && i < s->usage.nrows; i++)
		put_row(to, &s->usage.rows[i], (double) s->usage.rows[i].objects);
}

static void
repository_bytes(const struct target *to, const struct overview *s)
{
	if (!s->store_failed)
		put(to, (double) usage_bytes(&s->usage));
}

static void
quota_bytes(const struct target *to, const struct overview *s)
{
	if (s->session.cfg->quota_bytes > 0)
		put(to, (double) s->session.cfg->quota_bytes);
}

static void
replication_lag(const struct target *to, const struct overview *s)
{
	if (s->replication.known)
		put(to, (double) s->replication.lag_s);
}

static void
spool_usable(const struct target *to, const struct overview *s)
{
	put(to, s->spool.usable ? 1 : 0);
}

static void
spool_pushed(const struct target *to, const struct overview *s)
{
	put(to, (double) s->spool.pushed_files);
}

static void
spool_ahead(const struct target *to, const struct overview *s)
{
	put(to, (double) s->spool.ahead_bytes);
}

/* --- the table --------------------------------------------------------------
 */

static const struct
{
	const char *name;
	const char *type;
	const char *help;
	void (*samples)(const struct target *to, const struct overview *s);
} families[] = {
	{PREFIX "store_up", "gauge", "Whether the repository could be listed",
	 store_up},
	{PREFIX "key_available", "gauge", "Whether the repository's key is there",
	 key_available},
	{PREFIX "server_up", "gauge",
	 "Whether this cluster's server could be asked", server_up},
	{PREFIX "problems", "gauge", "Problems that walship status names",
	 problems},
	{PREFIX "objects_rewound", "gauge",
	 "Objects that this host knows of and the repository does not show",
	 rewound},
	{PREFIX "backups", "gauge", "Backups by state", backups},
	{PREFIX "backups_without_wal", "gauge",
	 "Backups that lack the WAL that makes them consistent",
	 backups_without_wal},
	{PREFIX "backup_last_timestamp_seconds", "gauge",
	 "End of the newest complete backup; 0: there is none", backup_time},
	{PREFIX "backup_last_duration_seconds", "gauge",
	 "How long the newest backup took", backup_duration},
	{PREFIX "backup_last_size_bytes", "gauge",
	 "Size of the newest backup when restored", backup_size},
	{PREFIX "backup_last_stored_bytes", "gauge",
	 "What the newest backup added to the repository", backup_stored},
	{PREFIX "backup_last_size_change_ratio", "gauge",
	 "Size of the newest backup against the average of those before, less 1",
	 backup_size_change},
	{PREFIX "backup_last_duration_change_ratio", "gauge",
	 "Duration of the newest backup against the average, less 1",
	 backup_duration_change},
	{PREFIX "window_start_timestamp_seconds", "gauge",
	 "First moment that can be recovered along a timeline", window_start},
	{PREFIX "window_end_timestamp_seconds", "gauge",
	 "When the last segment that can be recovered was stored", window_end},
	{PREFIX "window_gaps", "gauge", "Gaps in the WAL that must be there",
	 window_gaps},
	{PREFIX "window_missing_segments", "gauge", "Segments in these gaps",
	 window_missing},
	{PREFIX "archive_last_timestamp_seconds", "gauge",
	 "When a timeline's last segment was stored", archive_end},
	{PREFIX "archive_segments", "gauge", "Segments in the archive",
	 archive_segments},
	{PREFIX "archive_seen_timestamp_seconds", "gauge",
	 "Since when every segment has been listed at least once", archive_seen},
	{PREFIX "archive_lag_seconds", "gauge",
	 "How long the oldest finished segment has waited to be archived",
	 lag_seconds},
	{PREFIX "archive_lag_bytes", "gauge",
	 "WAL that the server has written and the archive lacks", lag_bytes},
	{PREFIX "archiver_archived_total", "counter",
	 "Files archived, by pg_stat_archiver", archived_total},
	{PREFIX "archiver_failed_total", "counter",
	 "Failed tries to archive, by pg_stat_archiver", failed_total},
	{PREFIX "archiver_last_success_timestamp_seconds", "gauge",
	 "Last time that the server archived a file; 0: never", archiver_success},
	{PREFIX "archiver_last_failure_timestamp_seconds", "gauge",
	 "Last time that archiving failed; 0: never", archiver_failure},
	{PREFIX "archiver_ready_files", "gauge",
	 "Files that wait for the archiver", archiver_ready},
	{PREFIX "run_last_timestamp_seconds", "gauge",
	 "End of the last run that left a report", run_time},
	{PREFIX "run_last_success", "gauge", "Whether it went well", run_success},
	{PREFIX "run_last_failure_timestamp_seconds", "gauge",
	 "End of the last run that failed; 0: none in the last days", run_failure},
	{PREFIX "drill_rto_seconds", "gauge",
	 "Time that the last drill took to recover", drill_rto},
	{PREFIX "drill_rpo_seconds", "gauge",
	 "Time whose changes the last drill did not bring back", drill_rpo},
	{PREFIX "stored_bytes", "gauge", "Stored, by kind and storage class",
	 stored_bytes},
	{PREFIX "stored_objects", "gauge", "Objects, by kind and storage class",
	 stored_objects},
	{PREFIX "repository_bytes", "gauge", "Stored for this cluster",
	 repository_bytes},
	{PREFIX "quota_bytes", "gauge", "What may be stored, if a quota is set",
	 quota_bytes},
	{PREFIX "replication_lag_seconds", "gauge",
	 "Age of the oldest segment that the store has not replicated yet",
	 replication_lag},
	{PREFIX "spool_usable", "gauge", "Whether the spool can be used",
	 spool_usable},
	{PREFIX "spool_pushed_files", "gauge",
	 "Files stored ahead of the archiver's calls", spool_pushed},
	{PREFIX "spool_ahead_bytes", "gauge", "Segments fetched ahead",
	 spool_ahead},
};

static void
put_all(struct metrics *metrics, const struct status_view *view)
{
	metrics_family(metrics, PREFIX "status_timestamp_seconds", "gauge",
				   "When walship status looked");
	metrics_sample(metrics, NULL, 0, (double) view->now_s);
	metrics_family(metrics, PREFIX "status_duration_seconds", "gauge",
				   "How long it took");
	metrics_sample(metrics, NULL, 0, (double) view->took_ms / 1000);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
	{
		metrics_family(metrics, families[i].name, families[i].type,
					   families[i].help);
		for (size_t k = 0; k < view->nclusters; k++)
		{
			const struct overview *s = &view->clusters[k];
			struct target to = {.metrics = metrics};

			(void) snprintf(to.cluster, sizeof(to.cluster), "%" PRIu64,
							s->system_identifier);
			families[i].samples(&to, s);
		}
	}
}

enum status
status_show_metrics(const struct status_view *view, FILE *out, struct err *err)
{
	struct metrics *metrics;
	const char *text;
	size_t len;
	enum status status = metrics_new(&metrics, err);

	if (status != ST_OK)
		return status;
	put_all(metrics, view);
	status = metrics_done(metrics, &text, &len, err);
	if (status == ST_OK)
		(void) fwrite(text, 1, len, out);
	metrics_free(metrics);
	return status;
}
