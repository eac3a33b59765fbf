/*
 * drill_html.c - what a drill has shown, as a page
 *
 * One file that loads nothing, and says so to the browser.  Whatever is not a
 * literal here goes through put_escaped.
 */
#include "basebackup/drill.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "basebackup/timestamp.h"
#include "common/cli.h"
#include "common/walname.h"
#include "walship_build.h"

/* Of both pictures, in their own units. */
#define WIDTH      900
#define LEFT       110
#define RIGHT      90
#define INNER      (WIDTH - LEFT - RIGHT)
#define ROW        34
#define BAR        18
#define BAR_LEAST  3
#define LINE_WIDTH 860

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
	"'none'; style-src 'unsafe-inline'\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<title>walship drill</title>\n<style>\n"
	":root{--page:#f5f6f8;--card:#fff;--ink:#1b2430;--soft:#5d6b7c;"
	"--line:#dfe4ea;--good:#1f8a4c;--bad:#c62f2f;--base:#3b6fc4;"
	"--wal:#2a9d8f;--rest:#9fd3cc;--lost:#e08a1e}\n"
	"@media(prefers-color-scheme:dark){:root{--page:#12171e;--card:#1b222c;"
	"--ink:#e6ebf1;--soft:#97a5b5;--line:#303a47;--good:#35b56a;"
	"--bad:#ef6060;--base:#6b9bea;--wal:#3fbfae;--rest:#2c5f5a;"
	"--lost:#eda746}}\n"
	"body{margin:0;padding:2rem 1rem;background:var(--page);color:var(--ink);"
	"font:15px/1.5 system-ui,'DejaVu Sans',sans-serif}\n"
	"main{max-width:960px;margin:0 auto}\n"
	"h1{font-size:1.5rem;margin:0 0 .2rem}\nh2{font-size:1rem;margin:0 0 "
	".8rem}\n"
	"p{margin:.2rem 0}.soft{color:var(--soft)}\n"
	".card{background:var(--card);border:1px solid var(--line);border-radius:"
	"10px;padding:1.1rem 1.3rem;margin:1rem 0;overflow-x:auto}\n"
	".verdict{display:inline-block;padding:.1rem .7rem;border-radius:1rem;"
	"color:#fff;font-size:1rem;vertical-align:middle;margin-left:.6rem}\n"
	".good{background:var(--good)}.bad{background:var(--bad)}\n"
	".why{border-left:5px solid var(--bad)}\n"
	".figures{display:grid;grid-template-columns:repeat(auto-fit,"
	"minmax(190px,1fr));gap:1rem;margin:1rem 0}.figures .card{margin:0}\n"
	".big{font-size:1.7rem;font-weight:600;line-height:1.2}\n"
	"table{border-collapse:collapse;width:100%}\n"
	"th,td{text-align:left;padding:.35rem .8rem .35rem 0;border-top:1px "
	"solid var(--line);vertical-align:top;overflow-wrap:anywhere}\n"
	"tr:first-child th,tr:first-child td{border-top:0}\n"
	"th{font-weight:600;color:var(--soft);white-space:nowrap}\n"
	"td.n{text-align:right;white-space:nowrap;font-variant-numeric:"
	"tabular-nums}\n"
	".yes{color:var(--good);font-weight:600}.no{color:var(--bad);font-weight:"
	"600}\n"
	"svg{width:100%;min-width:640px;height:auto;display:block}\n"
	"svg text{font-size:13px;fill:var(--ink)}svg .s{fill:var(--soft)}\n"
	".base{fill:var(--base)}.wal{fill:var(--wal)}.rest{fill:var(--rest)}"
	".lost{fill:var(--lost)}.broken{fill:var(--bad)}.track{fill:var(--line)}\n"
	".mark{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:4 3}\n"
	".key{display:inline-block;width:.8rem;height:.8rem;border-radius:3px;"
	"margin-right:.5rem}.key.base{background:var(--base)}.key.wal{background:"
	"var(--wal)}.key.rest{background:var(--rest)}.key.lost{background:"
	"var(--lost)}\n"
	"</style>\n</head>\n<body>\n<main>\n";

static void
put_escaped(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		switch (*text)
		{
			case '&':
				(void) fputs("&amp;", out);
				break;
			case '<':
				(void) fputs("&lt;", out);
				break;
			case '>':
				(void) fputs("&gt;", out);
				break;
			case '"':
				(void) fputs("&quot;", out);
				break;
			case '\'':
				(void) fputs("&#39;", out);
				break;
			default:
				/* A browser shows no control characters, and objects. */
				(void) fputc((*text & 0x80) != 0 || *text >= ' ' ? *text : ' ',
							 out);
		}
}

static void
put_row(FILE *out, const char *name, const char *value)
{
	(void) fprintf(out, "<tr><th scope=\"row\">%s</th><td>", name);
	put_escaped(out, value);
	(void) fputs("</td></tr>\n", out);
}

/* --- figures ------------------------------------------------------------- */

static void
put_figure(FILE *out, const char *name, int64_t ms, const char *note)
{
	char text[DRILL_DURATION_MAX];

	(void) fprintf(out,
				   "<div class=\"card\"><p class=\"soft\">%s</p>"
				   "<p class=\"big\">%s</p><p class=\"soft\">%s</p></div>\n",
				   name, ms < 0 ? "&ndash;" : drill_duration_format(ms, text),
				   note);
}

static void
put_figures(FILE *out, const struct drill *d)
{
	const struct drill_check *failed = drill_failed_check(d);

	(void) fputs("<div class=\"figures\">\n", out);
	put_figure(out, "Would have been lost (RPO)", drill_rpo_ms(d),
			   "since the last transaction archived");
	put_figure(out, "Back after (RTO)", drill_rto_ms(d),
			   "from the start to a server that answers");
	(void) fprintf(out,
				   "<div class=\"card\"><p class=\"soft\">Checks</p>"
				   "<p class=\"big\">%zu of %zu</p><p class=\"soft\">%s; "
				   "pg_amcheck %s</p></div>\n</div>\n",
				   drill_checks_run(d) - (failed != NULL), d->checks.nchecks,
				   d->checks.nchecks == 0 ? "none given" : "true",
				   !d->amcheck                      ? "left out"
				   : d->spans[DRILL_AMCHECK].ended  ? "passed"
				   : !d->spans[DRILL_AMCHECK].begun ? "not run"
													: "failed");
}

/* --- the timeline -------------------------------------------------------- */

/* A stretch of time, in microseconds since 1970. */
struct stretch
{
	const char *style;
	const char *name;
	int64_t from_us;
	int64_t to_us;
};

struct timeline
{
	size_t n;
	struct stretch list[4];
};

static void
add_stretch(struct timeline *t, const char *style, const char *name,
			int64_t from_us, int64_t to_us)
{
	if (to_us > from_us)
		t->list[t->n++] = (struct stretch){style, name, from_us, to_us};
}

/* Backup, what was replayed, what more the archive holds, what it lacks. */
static void
lay_out(const struct drill *d, struct timeline *t)
{
	const struct backup_summary *s = &d->cluster.choice.backup;
	const struct recovery_target *target = &d->cluster.request.target;
	int64_t start_us = s->start_time * 1000000;
	int64_t stop_us = s->stop_time * 1000000, end_us, replayed_us = stop_us;

	/* Whole seconds, which may be the same one. */
	if (start_us >= stop_us)
		start_us = stop_us - 1000000;
	if (d->recovered && d->any_replayed && d->replayed_us > replayed_us)
		replayed_us = d->replayed_us;
	if (d->recovered && target->kind == TARGET_TIME &&
		target->time_us > replayed_us)
		replayed_us = target->time_us;
	end_us = replayed_us;
	if (d->archive.any && d->archive.time_us > end_us)
		end_us = d->archive.time_us;
	t->n = 0;
	add_stretch(t, "base", "the backup was made", start_us, stop_us);
	add_stretch(t, "wal", "replayed from archived WAL", stop_us, replayed_us);
	add_stretch(t, "rest", "in the archive, not replayed", replayed_us,
				end_us);
	if (drill_rpo_ms(d) >= 0)
		add_stretch(t, "lost", "not in the archive when the drill began",
					end_us, d->start_ms * 1000);
}

static void
put_bar(FILE *out, const char *style, int64_t x, int64_t y, int64_t width)
{
	(void) fprintf(out,
				   "<rect class=\"%s\" x=\"%" PRId64 "\" y=\"%" PRId64
				   "\" width=\"%" PRId64 "\" height=\"%d\" rx=\"3\"/>\n",
				   style, x, y, width < BAR_LEAST ? BAR_LEAST : width, BAR);
}

static int64_t
scale(int64_t at, int64_t whole, int64_t width)
{
	return whole <= 0
			   ? 0
			   : (int64_t) ((double) at / (double) whole * (double) width);
}

static void
put_picture(FILE *out, const struct drill *d, const struct timeline *t)
{
	const struct recovery_target *target = &d->cluster.request.target;
	int64_t from = t->list[0].from_us, whole = 1, x;
	char text[21];

	for (size_t i = 0; i < t->n; i++)
		if (t->list[i].to_us - from > whole)
			whole = t->list[i].to_us - from;
	(void) fprintf(out,
				   "<svg viewBox=\"0 0 %d 90\" role=\"img\" "
				   "aria-label=\"timeline\">\n",
				   WIDTH);
	put_bar(out, "track", 20, 36, LINE_WIDTH);
	for (size_t i = 0; i < t->n; i++)
	{
		x = scale(t->list[i].from_us - from, whole, LINE_WIDTH);
		put_bar(out, t->list[i].style, 20 + x, 36,
				scale(t->list[i].to_us - from, whole, LINE_WIDTH) - x);
	}
	if (target->kind == TARGET_TIME && target->time_us >= from)
	{
		x = 20 + scale(target->time_us - from, whole, LINE_WIDTH);
		(void) fprintf(out,
					   "<line class=\"mark\" x1=\"%" PRId64
					   "\" y1=\"24\" x2=\"%" PRId64 "\" y2=\"62\"/>\n"
					   "<text x=\"%" PRId64
					   "\" y=\"18\" text-anchor=\"middle\">target</text>\n",
					   x, x,
					   x < 50    ? 50
					   : x > 850 ? 850
								 : x);
	}
	(void) fprintf(out, "<text class=\"s\" x=\"20\" y=\"80\">%s</text>\n",
				   time_format(from / 1000000, text));
	(void) fprintf(out,
				   "<text class=\"s\" x=\"880\" y=\"80\" "
				   "text-anchor=\"end\">%s</text>\n</svg>\n",
				   time_format((from + whole) / 1000000, text));
}

static void
put_timeline(FILE *out, const struct drill *d)
{
	struct timeline t = {.n = 0};
	char from[21], to[21], text[DRILL_DURATION_MAX];

	lay_out(d, &t);
	(void) fputs("<section class=\"card\">\n<h2>What there is</h2>\n", out);
	put_picture(out, d, &t);
	(void) fputs("<table>\n", out);
	for (size_t i = 0; i < t.n; i++)
		(void) fprintf(
			out,
			"<tr><td><span class=\"key %s\"></span>%s</td><td>%s to "
			"%s</td><td class=\"n\">%s</td></tr>\n",
			t.list[i].style, t.list[i].name,
			time_format(t.list[i].from_us / 1000000, from),
			time_format(t.list[i].to_us / 1000000, to),
			drill_duration_format((t.list[i].to_us - t.list[i].from_us) / 1000,
								  text));
	(void) fputs("</table>\n</section>\n", out);
}

/* --- the phases ---------------------------------------------------------- */

static void
put_phase(FILE *out, const struct drill *d, enum drill_phase p, int64_t y,
		  int64_t whole_ms)
{
	const struct drill_span *span = &d->spans[p];
	int64_t x = LEFT + scale(span->begin_ms, whole_ms, INNER);
	int64_t width = scale(span->end_ms - span->begin_ms, whole_ms, INNER);
	char text[DRILL_DURATION_MAX];

	(void) fprintf(out,
				   "<text x=\"%d\" y=\"%" PRId64
				   "\" text-anchor=\"end\">%s</text>\n",
				   LEFT - 12, y + 14, drill_phase_name(p));
	put_bar(out, "track", LEFT, y, INNER);
	if (!span->begun)
		return;
	put_bar(out,
			!span->ended         ? "broken"
			: p == DRILL_FETCH   ? "base"
			: p >= DRILL_AMCHECK ? "rest"
								 : "wal",
			x, y, width);
	(void) fprintf(out,
				   "<text class=\"s\" x=\"%d\" y=\"%" PRId64 "\">%s</text>\n",
				   WIDTH - RIGHT + 10, y + 14,
				   drill_duration_format(span->end_ms - span->begin_ms, text));
	if (p == DRILL_REPLAY && d->consistent_ms > span->begin_ms &&
		d->consistent_ms < span->end_ms)
	{
		x = LEFT + scale(d->consistent_ms, whole_ms, INNER);
		(void) fprintf(out,
					   "<line class=\"mark\" x1=\"%" PRId64 "\" y1=\"%" PRId64
					   "\" x2=\"%" PRId64 "\" y2=\"%" PRId64
					   "\"><title>consistent</title></line>\n",
					   x, y - 4, x, y + BAR + 4);
	}
}

static void
put_phases(FILE *out, const struct drill *d)
{
	int64_t whole_ms = 1, y = 8;
	char text[DRILL_DURATION_MAX];

	for (enum drill_phase p = DRILL_PREPARE; p < DRILL_PHASES; p++)
		if (d->spans[p].begun && d->spans[p].end_ms > whole_ms)
			whole_ms = d->spans[p].end_ms;
	(void) fprintf(out,
				   "<section class=\"card\">\n<h2>What it took</h2>\n"
				   "<svg viewBox=\"0 0 %d %d\" role=\"img\" "
				   "aria-label=\"phases\">\n",
				   WIDTH, DRILL_PHASES * ROW);
	for (enum drill_phase p = DRILL_PREPARE; p < DRILL_PHASES; p++, y += ROW)
		put_phase(out, d, p, y, whole_ms);
	(void) fputs("</svg>\n", out);
	if (d->consistent_ms > 0)
		(void) fprintf(out,
					   "<p class=\"soft\">The dashed line: the data was "
					   "consistent after %s.</p>\n",
					   drill_duration_format(d->consistent_ms, text));
	(void) fputs("</section>\n", out);
}

/* --- tables -------------------------------------------------------------- */

static void
put_checks(FILE *out, const struct drill *d)
{
	static const char *const outcomes[] = {
		[CHECK_NOT_RUN] = "<td class=\"soft\">not run</td>",
		[CHECK_TRUE] = "<td class=\"yes\">true</td>",
		[CHECK_FAILED] = "<td class=\"no\">failed</td>"};
	char text[DRILL_DURATION_MAX];

	if (d->checks.nchecks == 0)
		return;
	(void) fputs("<section class=\"card\">\n<h2>Checks</h2>\n<table>\n"
				 "<tr><th>line</th><th>check</th><th>database</th>"
				 "<th>outcome</th><th></th></tr>\n",
				 out);
	for (size_t i = 0; i < d->checks.nchecks; i++)
	{
		const struct drill_check *c = &d->checks.list[i];

		(void) fprintf(out, "<tr><td>%u</td><td>", c->line);
		put_escaped(out, c->name);
		(void) fputs("</td><td>", out);
		put_escaped(out, c->database);
		(void) fprintf(
			out, "</td>%s<td class=\"n\">%s</td></tr>\n", outcomes[c->outcome],
			c->outcome == CHECK_NOT_RUN ? ""
										: drill_duration_format(c->ms, text));
	}
	(void) fputs("</table>\n</section>\n", out);
}

/* Of several clusters, and of several repositories with the same one. */
static void
put_place(FILE *out, const struct session *session)
{
	uint64_t cluster = session->repo.system_identifier;
	char text[32];

	if (session->cfg != NULL && session->cfg->repository != NULL)
		put_row(out, "Repository", session->cfg->repository);
	if (cluster == 0)
		return;
	(void) snprintf(text, sizeof(text), "%" PRIu64, cluster);
	put_row(out, "Cluster", text);
}

static void
put_facts(FILE *out, const struct drill *d)
{
	const struct backup_summary *s = &d->cluster.choice.backup;
	char text[DRILL_TARGET_MAX + 16], target[DRILL_TARGET_MAX];

	(void) fputs("<section class=\"card\">\n<h2>Which copy</h2>\n<table>\n",
				 out);
	put_place(out, &d->cluster.session);
	if (d->cluster.plan != NULL)
	{
		put_row(out, d->drawn[0] != '\0' ? "Backup, drawn" : "Backup", s->id);
		put_row(out, "Made on", s->host);
		put_row(out, "Size", size_format(s->bytes, text));
		(void) snprintf(text, sizeof(text), "%d.%d", s->server_version / 10000,
						s->server_version % 10000);
		put_row(out, "PostgreSQL", text);
		(void) snprintf(text, sizeof(text), "%" PRIu32,
						d->cluster.choice.timeline);
		put_row(out, "Timeline", text);
	}
	put_row(out, d->random_target ? "Target, drawn" : "Target",
			drill_target_format(d, target));
	if (d->recovered)
	{
		put_row(out, "Recovered to", lsn_format(d->recovered_lsn, text));
		(void) snprintf(text, sizeof(text), "%" PRIu64, d->segments);
		put_row(out, "WAL files replayed", text);
	}
	if (d->any_replayed)
		put_row(out, "Last transaction replayed",
				timestamp_format(d->replayed_us, text));
	if (d->archive.any)
		put_row(out, "Last transaction archived",
				timestamp_format(d->archive.time_us, text));
	(void) fputs("</table>\n</section>\n", out);
}

static void
put_note(FILE *out, const char *text)
{
	if (*text == '\0')
		return;
	(void) fputs("<p class=\"soft\">", out);
	put_escaped(out, text);
	(void) fputs("</p>\n", out);
}

static void
put_verdict(FILE *out, const struct drill *d)
{
	char begin[21], end[21];

	(void) fprintf(out,
				   "<h1>Recovery drill<span class=\"verdict %s\">%s</span>"
				   "</h1>\n<p class=\"soft\">%s to %s</p>\n",
				   d->failed == NULL ? "good" : "bad",
				   d->failed == NULL ? "passed" : "failed",
				   time_format(d->start_ms / 1000, begin),
				   time_format(d->end_ms / 1000, end));
	if (d->failed == NULL)
		return;
	(void) fprintf(out,
				   "<section class=\"card why\">\n<h2>Failed in phase "
				   "&ldquo;%s&rdquo;</h2>\n<p>",
				   drill_phase_name(d->phase));
	put_escaped(out, d->failed->message);
	(void) fputs("</p>\n", out);
	put_note(out, d->failed->detail);
	put_note(out, d->failed->hint);
	(void) fputs("</section>\n", out);
}

char *
drill_html(const struct drill *d)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	(void) fputs(head, out);
	put_verdict(out, d);
	put_figures(out, d);
	if (d->cluster.plan != NULL)
		put_timeline(out, d);
	put_phases(out, d);
	put_checks(out, d);
	put_facts(out, d);
	(void) fputs("<p class=\"soft\">walship " WALSHIP_VERSION "</p>\n"
				 "</main>\n</body>\n</html>\n",
				 out);
	if (fclose(out) != 0)
	{
		free(text);
		return NULL;
	}
	return text;
}
