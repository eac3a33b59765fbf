/*
 * progress.c - how far a long transfer is
 */
#include "basebackup/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "common/log.h"

#define TERMINAL_EVERY_MS 500
#define LOG_EVERY_MS      60000

void
progress_begin(struct progress *p, bool terminal, uint64_t total_bytes)
{
	memset(p, 0, sizeof(*p));
	p->terminal = terminal && isatty(STDERR_FILENO) == 1;
	p->total_bytes = total_bytes;
	p->verb = "received";
	p->begun_ms = clock_now_ms();
	p->shown_ms = p->begun_ms;
}

/* "1:23 left", or "2:01:23 left" */
static void
describe_rest(double seconds, char *out, size_t size)
{
	long long left = (long long) seconds;

	if (left < 3600)
		(void) snprintf(out, size, ", %lld:%02lld left", left / 60, left % 60);
	else
		(void) snprintf(out, size, ", %lld:%02lld:%02lld left", left / 3600,
						left / 60 % 60, left % 60);
}

/* "1.2 GB of 10.0 GB (12 %), 110.0 MB/s, 1:23 left" */
static void
describe(const struct progress *p, uint64_t done, char *out, size_t size)
{
	double seconds = (double) (clock_now_ms() - p->begun_ms) / 1000;
	double rate = seconds > 0 ? (double) done / seconds : 0;
	/* The database may grow while it is read. */
	uint64_t total = p->total_bytes > done ? p->total_bytes : done;
	char done_text[16];
	char total_text[16];
	char rate_text[16];
	char rest[48] = "";

	(void) size_format(done, done_text);
	(void) size_format(total, total_text);
	(void) size_format((uint64_t) rate, rate_text);
	if (p->total_bytes == 0)
	{
		(void) snprintf(out, size, "%s, %s/s", done_text, rate_text);
		return;
	}
	if (rate > 0)
		describe_rest((double) (total - done) / rate, rest, sizeof(rest));
	(void) snprintf(
		out, size, "%s of %s (%u %%), %s/s%s", done_text, total_text,
		(unsigned) ((double) done * 100 / (double) total), rate_text, rest);
}

void
progress_update(struct progress *p, uint64_t done_bytes)
{
	int64_t now = clock_now_ms();
	char text[128];

	if (now - p->shown_ms < (p->terminal ? TERMINAL_EVERY_MS : LOG_EVERY_MS))
		return;
	p->shown_ms = now;
	describe(p, done_bytes, text, sizeof(text));
	if (!p->terminal)
	{
		log_info("%s %s", p->verb, text);
		return;
	}
	/* The cursor goes back, so that whatever is printed next overwrites. */
	(void) fprintf(stderr, "%s %s\033[K\r", p->verb, text);
	p->shown = true;
}

void
progress_end(struct progress *p)
{
	if (p->shown)
		(void) fputs("\033[K", stderr);
	p->shown = false;
}
