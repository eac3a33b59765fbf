/*
 * status_metrics.c - the state of archive and backups for Prometheus
 *
 * A table: each metric has a name, what it means, and its value, or a function
 * that gives its samples of one cluster.  What is not known has no sample, so
 * that no rule takes it for a zero.
 */
#include "basebackup/status_show.h"

#include <inttypes.h>
#include <math.h>
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

/* --- one value of a cluster ------------------------------------------------
 */

enum value
{
	STORE_UP,
	KEY_AVAILABLE,
	SERVER_UP,
	PROBLEMS,
	REWOUND,
	BACKUPS_WITHOUT_WAL,
	BACKUP_TIME,
	BACKUP_DURATION,
	BACKUP_SIZE,
	BACKUP_STORED,
	BACKUP_SIZE_CHANGE,
	BACKUP_DURATION_CHANGE,
	LAG_SECONDS,
	LAG_BYTES,
	ARCHIVED_TOTAL,
	FAILED_TOTAL,
	ARCHIVER_SUCCESS,
	ARCHIVER_FAILURE,
	ARCHIVER_READY,
	DRILL_RTO,
	DRILL_RPO,
	REPOSITORY_BYTES,
	QUOTA_BYTES,
	REPLICATION_LAG,
	SPOOL_USABLE,
	SPOOL_PUSHED,
	SPOOL_AHEAD,
	SEVERAL /* it is none of these: the family has a function */
};

static void
take_store(const struct overview *s, double *v)
{
	v[REWOUND] = 0;
	for (size_t i = 0; i < s->nproblems; i++)
		v[REWOUND] += strcmp(s->problems[i].kind, "rewound") == 0 ||
					  strcmp(s->problems[i].kind, "pushed-missing") == 0;
	v[REPOSITORY_BYTES] = (double) usage_bytes(&s->usage);
	if (s->key_missing)
		return;
	v[BACKUPS_WITHOUT_WAL] = 0;
	for (size_t i = 0; i < s->ncomplete; i++)
		v[BACKUPS_WITHOUT_WAL] += !s->whole[i];
}

static void
take_backup(const struct overview *s, double *v)
{
	const struct status_last *last = &s->last;

	/* 0 where there is none: then it is older than anything. */
	if (last->summary == NULL && !s->store_failed && s->unreadable == 0)
		v[BACKUP_TIME] = 0;
	if (last->summary != NULL)
	{
		v[BACKUP_TIME] = (double) last->summary->stop_time;
		v[BACKUP_DURATION] = (double) last->summary->duration_ms / 1000;
		v[BACKUP_SIZE] = (double) last->summary->bytes;
		v[BACKUP_STORED] = (double) (last->summary->stored_bytes +
									 last->summary->digest_bytes);
	}
	if (last->compared > 0)
	{
		v[BACKUP_SIZE_CHANGE] = last->size_change;
		v[BACKUP_DURATION_CHANGE] = last->time_change;
	}
}

static void
take_server(const struct overview *s, double *v)
{
	const struct status_server *server = s->server;

	if (s->lag.known)
	{
		v[LAG_SECONDS] = (double) s->lag.seconds;
		v[LAG_BYTES] = (double) s->lag.bytes;
	}
	if (server == NULL)
		return;
	v[ARCHIVED_TOTAL] = (double) server->archived_count;
	v[FAILED_TOTAL] = (double) server->failed_count;
	v[ARCHIVER_SUCCESS] = (double) server->last_archived_s;
	v[ARCHIVER_FAILURE] = (double) server->last_failed_s;
	if (server->ready_known)
		v[ARCHIVER_READY] = (double) server->ready_files;
}

/* What is not known is NaN. */
static void
take_values(const struct overview *s, double v[SEVERAL])
{
	const struct report_read *drill = &s->reports.kinds[REPORTS_DRILL].last;

	for (int i = 0; i < SEVERAL; i++)
		v[i] = (double) NAN;
	v[STORE_UP] = !s->store_failed;
	v[KEY_AVAILABLE] = !s->key_missing;
	v[SERVER_UP] = s->server != NULL;
	v[PROBLEMS] = (double) s->nproblems;
	v[SPOOL_USABLE] = s->spool.usable;
	v[SPOOL_PUSHED] = (double) s->spool.pushed_files;
	v[SPOOL_AHEAD] = (double) s->spool.ahead_bytes;
	if (!s->store_failed)
		take_store(s, v);
	take_backup(s, v);
	take_server(s, v);
	if (s->reports.kinds[REPORTS_DRILL].any && drill->rto_ms >= 0)
		v[DRILL_RTO] = (double) drill->rto_ms / 1000;
	if (s->reports.kinds[REPORTS_DRILL].any && drill->rpo_ms >= 0)
		v[DRILL_RPO] = (double) drill->rpo_ms / 1000;
	if (s->session.cfg->quota_bytes > 0)
		v[QUOTA_BYTES] = (double) s->session.cfg->quota_bytes;
	if (s->replication.known)
		v[REPLICATION_LAG] = (double) s->replication.lag_s;
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

/* --- the table --------------------------------------------------------------
 */

static const struct
{
	const char *name;
	const char *type;
	const char *help;
	enum value value;
	void (*samples)(const struct target *to, const struct overview *s);
} families[] = {
	{PREFIX "store_up", "gauge", "Whether the repository could be listed",
	 STORE_UP, NULL},
	{PREFIX "key_available", "gauge", "Whether the repository's key is there",
	 KEY_AVAILABLE, NULL},
	{PREFIX "server_up", "gauge",
	 "Whether this cluster's server could be asked", SERVER_UP, NULL},
	{PREFIX "problems", "gauge", "Problems that walship status names",
	 PROBLEMS, NULL},
	{PREFIX "objects_rewound", "gauge",
	 "Objects that this host knows of and the repository does not show",
	 REWOUND, NULL},
	{PREFIX "backups", "gauge", "Backups by state", SEVERAL, backups},
	{PREFIX "backups_without_wal", "gauge",
	 "Backups that lack the WAL that makes them consistent",
	 BACKUPS_WITHOUT_WAL, NULL},
	{PREFIX "backup_last_timestamp_seconds", "gauge",
	 "End of the newest complete backup; 0: there is none", BACKUP_TIME, NULL},
	{PREFIX "backup_last_duration_seconds", "gauge",
	 "How long the newest backup took", BACKUP_DURATION, NULL},
	{PREFIX "backup_last_size_bytes", "gauge",
	 "Size of the newest backup when restored", BACKUP_SIZE, NULL},
	{PREFIX "backup_last_stored_bytes", "gauge",
	 "What the newest backup added to the repository", BACKUP_STORED, NULL},
	{PREFIX "backup_last_size_change_ratio", "gauge",
	 "Size of the newest backup against the average of those before, less 1",
	 BACKUP_SIZE_CHANGE, NULL},
	{PREFIX "backup_last_duration_change_ratio", "gauge",
	 "Duration of the newest backup against the average, less 1",
	 BACKUP_DURATION_CHANGE, NULL},
	{PREFIX "window_start_timestamp_seconds", "gauge",
	 "First moment that can be recovered along a timeline", SEVERAL,
	 window_start},
	{PREFIX "window_end_timestamp_seconds", "gauge",
	 "When the last segment that can be recovered was stored", SEVERAL,
	 window_end},
	{PREFIX "window_gaps", "gauge", "Gaps in the WAL that must be there",
	 SEVERAL, window_gaps},
	{PREFIX "window_missing_segments", "gauge", "Segments in these gaps",
	 SEVERAL, window_missing},
	{PREFIX "archive_last_timestamp_seconds", "gauge",
	 "When a timeline's last segment was stored", SEVERAL, archive_end},
	{PREFIX "archive_segments", "gauge", "Segments in the archive", SEVERAL,
	 archive_segments},
	{PREFIX "archive_seen_timestamp_seconds", "gauge",
	 "Since when every segment has been listed at least once", SEVERAL,
	 archive_seen},
	{PREFIX "archive_lag_seconds", "gauge",
	 "How long the oldest finished segment has waited to be archived",
	 LAG_SECONDS, NULL},
	{PREFIX "archive_lag_bytes", "gauge",
	 "WAL that the server has written and the archive lacks", LAG_BYTES, NULL},
	{PREFIX "archiver_archived_total", "counter",
	 "Files archived, by pg_stat_archiver", ARCHIVED_TOTAL, NULL},
	{PREFIX "archiver_failed_total", "counter",
	 "Failed tries to archive, by pg_stat_archiver", FAILED_TOTAL, NULL},
	{PREFIX "archiver_last_success_timestamp_seconds", "gauge",
	 "Last time that the server archived a file; 0: never", ARCHIVER_SUCCESS,
	 NULL},
	{PREFIX "archiver_last_failure_timestamp_seconds", "gauge",
	 "Last time that archiving failed; 0: never", ARCHIVER_FAILURE, NULL},
	{PREFIX "archiver_ready_files", "gauge",
	 "Files that wait for the archiver", ARCHIVER_READY, NULL},
	{PREFIX "run_last_timestamp_seconds", "gauge",
	 "End of the last run that left a report", SEVERAL, run_time},
	{PREFIX "run_last_success", "gauge", "Whether it went well", SEVERAL,
	 run_success},
	{PREFIX "run_last_failure_timestamp_seconds", "gauge",
	 "End of the last run that failed; 0: none in the last days", SEVERAL,
	 run_failure},
	{PREFIX "drill_rto_seconds", "gauge",
	 "Time that the last drill took to recover", DRILL_RTO, NULL},
	{PREFIX "drill_rpo_seconds", "gauge",
	 "Time whose changes the last drill did not bring back", DRILL_RPO, NULL},
	{PREFIX "stored_bytes", "gauge", "Stored, by kind and storage class",
	 SEVERAL, stored_bytes},
	{PREFIX "stored_objects", "gauge", "Objects, by kind and storage class",
	 SEVERAL, stored_objects},
	{PREFIX "repository_bytes", "gauge", "Stored for this cluster",
	 REPOSITORY_BYTES, NULL},
	{PREFIX "quota_bytes", "gauge", "What may be stored, if a quota is set",
	 QUOTA_BYTES, NULL},
	{PREFIX "replication_lag_seconds", "gauge",
	 "Age of the oldest segment that the store has not replicated yet",
	 REPLICATION_LAG, NULL},
	{PREFIX "spool_usable", "gauge", "Whether the spool can be used",
	 SPOOL_USABLE, NULL},
	{PREFIX "spool_pushed_files", "gauge",
	 "Files stored ahead of the archiver's calls", SPOOL_PUSHED, NULL},
	{PREFIX "spool_ahead_bytes", "gauge", "Segments fetched ahead",
	 SPOOL_AHEAD, NULL},
};

static void
put_family(struct metrics *metrics, size_t family, const struct overview *s)
{
	struct target to = {.metrics = metrics};
	const struct metrics_label label = {"cluster", to.cluster};
	double values[SEVERAL];

	(void) snprintf(to.cluster, sizeof(to.cluster), "%" PRIu64,
					s->system_identifier);
	if (families[family].samples != NULL)
	{
		families[family].samples(&to, s);
		return;
	}
	take_values(s, values);
	if (!isnan(values[families[family].value]))
		metrics_sample(metrics, &label, 1, values[families[family].value]);
}

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
			put_family(metrics, i, &view->clusters[k]);
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
