/*
 * status_text.c - the state of archive and backups, for people
 */
#include "basebackup/status_show.h"

#include <inttypes.h>
#include <string.h>

#include "common/cli.h"

#define PICTURE_WIDTH 58
#define SPAN_MAX      24
#define GAPS_SHOWN    5

/* "3 min", "26 h": one number is enough to see how things are. */
static const char *
span(int64_t seconds, char out[SPAN_MAX])
{
	if (seconds < 120)
		(void) snprintf(out, SPAN_MAX, "%" PRId64 " s", seconds);
	else if (seconds < 7200)
		(void) snprintf(out, SPAN_MAX, "%" PRId64 " min", seconds / 60);
	else if (seconds < 172800)
		(void) snprintf(out, SPAN_MAX, "%" PRId64 " h", seconds / 3600);
	else
		(void) snprintf(out, SPAN_MAX, "%" PRId64 " days", seconds / 86400);
	return out;
}

/* Whatever somebody typed, or a store sent: a terminal gets no commands. */
static void
put_plain(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		(void) fputc(
			(unsigned char) *text < ' ' || *text == 0x7F ? ' ' : *text, out);
}

static void
show_window(const struct window *w, FILE *out)
{
	char from[21], to[21], from_lsn[LSN_TEXT_MAX], to_lsn[LSN_TEXT_MAX];

	(void) fprintf(out, "    from %s (%s) to %s%s(%s), %zu backup%s\n",
				   time_format(w->from_s, from),
				   lsn_format(w->from_lsn, from_lsn),
				   w->to_s > 0 ? time_format(w->to_s, to) : "",
				   w->to_s > 0 ? " " : "", lsn_format(w->to_lsn, to_lsn),
				   w->nbackups, w->nbackups == 1 ? "" : "s");
}

static void
show_gaps(const struct timeline_windows *t, uint32_t segment_size, FILE *out)
{
	for (size_t i = 0; i < t->ngaps && i < GAPS_SHOWN; i++)
	{
		const struct window_gap *g = &t->gaps[i];
		struct wal_name first, last;

		wal_name_segment(&first, g->timeline, g->first, segment_size);
		wal_name_segment(&last, g->timeline, g->last, segment_size);
		if (g->first == g->last)
			(void) fprintf(out, "    GAP  %s\n", first.text);
		else
			(void) fprintf(out, "    GAP  %s to %s, %" PRIu64 " segments\n",
						   first.text, last.text, g->last - g->first + 1);
	}
	if (t->gaps_found > GAPS_SHOWN)
		(void) fprintf(out, "    GAP  and %" PRIu64 " more\n",
					   t->gaps_found - GAPS_SHOWN);
}

static void
show_windows(const struct overview *s, FILE *out)
{
	char picture[PICTURE_WIDTH + 1];
	size_t shown = 0;

	(void) fputs("Recoverable\n", out);
	for (size_t i = 0; i < s->nwindows; i++)
	{
		const struct timeline_windows *t = &s->windows[i];

		if (t->nwindows == 0 && t->ngaps == 0)
			continue;
		shown++;
		window_draw(t, &s->histories.list[i], s->complete, s->ncomplete,
					s->map.segment_size, picture, PICTURE_WIDTH);
		(void) fprintf(out, "  timeline %-4" PRIu32 " [%s]\n", t->timeline,
					   picture);
		for (size_t k = 0; k < t->nwindows; k++)
			show_window(&t->windows[k], out);
		show_gaps(t, s->map.segment_size, out);
	}
	if (shown == 0)
		(void) fputs(s->store_failed || s->unreadable > 0 ? "  not known\n"
														  : "  nothing\n",
					 out);
	if (s->outside > 0)
		(void) fprintf(
			out, "  %zu older backup%s restore%s to %s own end only\n",
			s->outside, s->outside == 1 ? "" : "s", s->outside == 1 ? "s" : "",
			s->outside == 1 ? "its" : "their");
}

static void
show_change(const char *what, double change, FILE *out)
{
	(void) fprintf(out, "%s%+.0f %%", what, change * 100);
}

static void
show_backup(const struct overview *s, FILE *out)
{
	const struct backup_summary *b = s->last.summary;
	char age[SPAN_MAX], took[SPAN_MAX], size[16], stored[16];

	if (b == NULL)
	{
		(void) fputs(s->store_failed || s->unreadable > 0
						 ? "Last backup   not known\n"
						 : "Last backup   none\n",
					 out);
		return;
	}
	(void) fprintf(
		out, "Last backup   %s, %s ago%s\n", b->id, span(s->last.age_s, age),
		s->store_failed || s->whole[s->ncomplete - 1] ? ""
													  : ", LACKS ITS WAL");
	(void) fprintf(out, "              %s, %s stored, took %s",
				   size_format(b->bytes, size),
				   size_format(b->stored_bytes + b->digest_bytes, stored),
				   span((int64_t) (b->duration_ms + 999) / 1000, took));
	if (s->last.compared > 0)
	{
		(void) fprintf(out,
					   "; against the average of %zu: ", s->last.compared);
		show_change("size ", s->last.size_change, out);
		show_change(", stored ", s->last.stored_change, out);
		show_change(", time ", s->last.time_change, out);
	}
	(void) fputc('\n', out);
	if (s->unfinished > 0)
		(void) fprintf(out, "              %zu unfinished: running, or dead\n",
					   s->unfinished);
}

static void
show_archive(const struct overview *s, FILE *out)
{
	char age[SPAN_MAX], seen[21];

	(void) fputs("Archive       ", out);
	if (s->map.nlines == 0)
		(void) fputs(s->store_failed ? "not known\n" : "empty\n", out);
	for (size_t i = 0; i < s->map.nlines; i++)
	{
		const struct wal_line *line = &s->map.lines[i];
		int64_t age_s = s->now_s - line->last_modified_s;

		if (i > 0)
			(void) fputs("              ", out);
		if (line->last[0] == '\0')
			(void) fprintf(out, "timeline %" PRIu32 ": no segment",
						   line->timeline);
		else
			(void) fprintf(out,
						   "up to %s, stored %s ago, %" PRIu64 " segment%s",
						   line->last, span(age_s < 0 ? 0 : age_s, age),
						   line->segments, line->segments == 1 ? "" : "s");
		if (line->skipped > 0)
			(void) fprintf(out, "; %" PRIu64 " as seen since %s",
						   line->skipped, time_format(line->seen_s, seen));
		(void) fputc('\n', out);
	}
}

static void
show_lag(const struct overview *s, FILE *out)
{
	char bytes[16], time_text[SPAN_MAX];

	if (!s->lag.known)
	{
		(void) fputs("Lag           not known\n", out);
		return;
	}
	(void) fprintf(out, "Lag           %s behind the server",
				   size_format(s->lag.bytes, bytes));
	if (s->lag.seconds > 0)
		(void) fprintf(out,
					   ", %" PRIu64 " finished segments, waiting for %s\n",
					   s->lag.segments, span(s->lag.seconds, time_text));
	else
		(void) fputs(s->lag.segments > 0
						 ? ", finished segments on their way\n"
						 : ", nothing that is finished waits\n",
					 out);
}

static void
show_server(const struct overview *s, const struct status_server *server,
			FILE *out)
{
	char last[21], failed[21];

	if (server == NULL)
		(void) fputs("Server        not asked\n", out);
	else if (!server->reached)
	{
		(void) fputs("Server        not reached: ", out);
		put_plain(out, server->why.message);
		(void) fputc('\n', out);
	}
	else if (s->server == NULL)
		(void) fprintf(out,
					   "Server        it is another cluster's, %" PRIu64 "\n",
					   server->system_identifier);
	else
	{
		(void) fprintf(out, "Server        %d.%d, %s, timeline %" PRIu32 "\n",
					   server->version / 10000, server->version % 10000,
					   server->in_recovery ? "in recovery" : "primary",
					   server->timeline);
		show_lag(s, out);
		(void) fprintf(
			out, "Archiver      %" PRIu64 " archived%s%s, %" PRIu64 " failed",
			server->archived_count,
			server->last_archived_s > 0 ? ", last at " : "",
			server->last_archived_s > 0
				? time_format(server->last_archived_s, last)
				: "",
			server->failed_count);
		if (server->last_failed_s > 0)
			(void) fprintf(out, ", last at %s",
						   time_format(server->last_failed_s, failed));
		if (server->ready_known)
			(void) fprintf(out, ", %" PRIu64 " waiting", server->ready_files);
		(void) fputc('\n', out);
	}
}

static void
show_spool(const struct overview *s, FILE *out)
{
	char bytes[16];

	if (!s->spool.usable)
		(void) fprintf(out,
					   "Spool         \"%s\" cannot be used by this "
					   "user\n",
					   s->spool.path);
	else
		(void) fprintf(out,
					   "Spool         %s: %" PRIu64 " stored ahead, %" PRIu64
					   " fetched ahead (%s)\n",
					   s->spool.path, s->spool.pushed_files,
					   s->spool.ahead_files,
					   size_format(s->spool.ahead_bytes, bytes));
}

static void
show_run(const struct overview *s, const char *label, enum report_kind kind,
		 FILE *out)
{
	const struct report_read *r = &s->reports.kinds[kind].last;
	char time_text[21], age[SPAN_MAX], rto[SPAN_MAX], rpo[SPAN_MAX];

	if (!s->reports.kinds[kind].any)
	{
		(void) fprintf(out, "%-13s %s\n", label,
					   s->store_failed || s->reports.unreadable > 0 ||
							   s->key_missing
						   ? "not known"
						   : "never");
		return;
	}
	(void) fprintf(
		out, "%-13s %s at %s, %s ago", label, r->ok ? "ok" : "FAILED",
		time_format(r->end_time, time_text),
		span(s->now_s > r->end_time ? s->now_s - r->end_time : 0, age));
	if (r->rto_ms >= 0)
		(void) fprintf(out, ", RTO %s", span((r->rto_ms + 999) / 1000, rto));
	if (r->rpo_ms >= 0)
		(void) fprintf(out, ", RPO %s", span((r->rpo_ms + 999) / 1000, rpo));
	if (!r->ok)
	{
		(void) fputs(": ", out);
		put_plain(out, r->message);
	}
	(void) fputc('\n', out);
}

/* Of all kinds. */
static void
show_failure(const struct overview *s, FILE *out)
{
	const struct report_read *latest = NULL;
	char time_text[21];

	for (int i = 0; i < REPORTS_KINDS; i++)
		if (s->reports.kinds[i].failed &&
			(latest == NULL ||
			 s->reports.kinds[i].failure.end_time > latest->end_time))
			latest = &s->reports.kinds[i].failure;
	if (latest == NULL)
	{
		(void) fprintf(out, "Last failure  %s\n",
					   s->store_failed || s->key_missing ||
							   s->reports.unreadable > 0
						   ? "not known"
						   : "none in the last days");
		return;
	}
	(void) fprintf(out, "Last failure  %s at %s on %s: ", latest->kind,
				   time_format(latest->end_time, time_text), latest->host);
	put_plain(out, latest->message);
	(void) fputc('\n', out);
}

static void
show_usage(const struct overview *s, FILE *out)
{
	const uint64_t quota = (uint64_t) s->session.cfg->quota_bytes;
	char bytes[16], allowed[16];

	if (s->store_failed)
		return;
	(void) fprintf(out, "Stored        %s",
				   size_format(usage_bytes(&s->usage), bytes));
	if (quota > 0)
		(void) fprintf(out, ", %.0f %% of the quota of %s",
					   100.0 * (double) usage_bytes(&s->usage) /
						   (double) quota,
					   size_format(quota, allowed));
	(void) fputc('\n', out);
	for (size_t i = 0; i < s->usage.nrows; i++)
	{
		const struct usage_row *row = &s->usage.rows[i];

		(void) fprintf(out, "  %-9s %-19s %9" PRIu64 " objects %10s\n",
					   usage_kind_name(row->kind), row->storage_class,
					   row->objects, size_format(row->bytes, bytes));
	}
}

static void
show_replication(const struct overview *s, FILE *out)
{
	char time_text[SPAN_MAX];

	if (s->replication.known)
		(void) fprintf(out,
					   "Replication   the newest segment is %s, the oldest "
					   "that waits does so for %s\n",
					   s->replication.state,
					   span(s->replication.lag_s, time_text));
}

static void
show_problems(const struct overview *s, FILE *out)
{
	if (s->nproblems == 0)
		(void) fputs("Problems      none\n", out);
	else
		(void) fprintf(out, "Problems      %zu\n", s->nproblems);
	for (size_t i = 0; i < s->nproblems; i++)
	{
		(void) fprintf(out, "  %s: ", s->problems[i].kind);
		put_plain(out, s->problems[i].text != NULL ? s->problems[i].text : "");
		(void) fputc('\n', out);
	}
}

static void
show_cluster(const struct overview *s, const struct status_server *server,
			 FILE *out)
{
	char now[21];

	if (s->system_identifier == 0)
		(void) fputs("No cluster", out);
	else
		(void) fprintf(out, "Cluster %" PRIu64, s->system_identifier);
	(void) fprintf(out, " in %s at %s\n\n",
				   s->repository != NULL ? s->repository : "no repository",
				   time_format(s->now_s, now));
	show_windows(s, out);
	show_backup(s, out);
	show_archive(s, out);
	show_server(s, server, out);
	show_spool(s, out);
	show_run(s, "Last verify", REPORTS_VERIFY, out);
	show_run(s, "Last drill", REPORTS_DRILL, out);
	show_failure(s, out);
	show_replication(s, out);
	show_usage(s, out);
	show_problems(s, out);
}

void
status_show_text(const struct status_view *view, FILE *out)
{
	for (size_t i = 0; i < view->nclusters; i++)
	{
		if (i > 0)
			(void) fputc('\n', out);
		show_cluster(&view->clusters[i], view->server, out);
	}
}
