/*
 * trouble.c - tells notify_command that archiving fails, and works again
 */
#include "walship/trouble.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/notify.h"
#include "walship/detach.h"
#include "walship/postmaster.h"
#include "walship_build.h"

/* While an outage is on; and when one was told the last time. */
static const char NOTE[] = "trouble";
static const char NOTE_OVER[] = "trouble-over";

/* --- document ------------------------------------------------------------
 */

static void
put_member(struct line *line, const char *name, const char *value)
{
	line_put(line, ",\"");
	line_put(line, name);
	line_put(line, "\":");
	line_put_json(line, value);
}

static void
put_time(struct line *line, const char *name, int64_t at_ms)
{
	char text[21];

	put_member(line, name, time_format(at_ms / 1000, text));
}

/* As basebackup/report.h has it.  failed NULL: it is over. */
static void
write_document(const struct trouble_call *call,
			   const struct trouble_note *note, const struct err *failed,
			   struct line *line)
{
	const char *repository = call->cfg->repository;
	struct utsname host;
	char number[32];

	line->len = 0;
	(void) snprintf(number, sizeof(number), "\"%" PRIu64 "\"",
					call->system_identifier);
	line_put(line, "{\"system_identifier\":");
	line_put(line, call->system_identifier != 0 ? number : "null");
	put_member(line, "repository", repository != NULL ? repository : "");
	line_put(line, ",\"format\":1");
	put_member(line, "kind", "archive");
	put_member(line, "outcome", failed != NULL ? "failed" : "ok");
	put_time(line, "start_time", note->began_ms);
	put_time(line, "end_time", clock_real_ms());
	put_member(line, "host", uname(&host) == 0 ? host.nodename : "");
	put_member(line, "walship_version", WALSHIP_VERSION);
	line_put(line, ",\"backup\":null");
	put_member(line, "message", failed != NULL ? failed->message : "");
	put_member(line, "file", call->name);
	(void) snprintf(number, sizeof(number), ",\"failures\":%" PRId64 "}\n",
					note->failures);
	line_put(line, number);
}

static void
prepare(const struct trouble_call *call, const struct trouble_note *note,
		const struct err *failed, struct trouble *out)
{
	out->command = strdup(call->cfg->notify_command);
	(void) snprintf(out->datadir, sizeof(out->datadir), "%s",
					call->datadir != NULL ? call->datadir : "");
	write_document(call, note, failed, &out->document);
}

/* --- note ----------------------------------------------------------------
 */

static bool
read_note(const struct spool *spool, const char *name,
		  struct trouble_note *note)
{
	char text[TROUBLE_TEXT_MAX];
	int len = spool_read(spool, name, text, sizeof(text));

	return len > 0 && trouble_parse(text, (size_t) len, note);
}

static bool
write_note(const struct spool *spool, const char *name,
		   const struct trouble_note *note)
{
	char text[TROUBLE_TEXT_MAX];
	int len = trouble_format(text, note);

	return len > 0 && (size_t) len < sizeof(text) &&
		   spool_write(spool, name, text, (size_t) len);
}

/*
 * The spool of a call that had no key to find its own by.  Its successor that
 * has one does not look there, so the end of such an outage is not told.
 */
static void
open_other_spool(const struct trouble_call *call, struct spool *spool)
{
	struct spool cluster;

	spool->fd = -1;
	if (call->cfg->repository == NULL || call->datadir == NULL)
		return;
	spool_open_unread(&cluster, call->cfg, call->system_identifier,
					  call->datadir);
	spool_open_below(spool, &cluster, "push", call->datadir);
	spool_close(&cluster);
}

/* Of the file's .ready, in milliseconds; -1: there is none. */
static int64_t
ready_age_ms(const struct trouble_call *call, int64_t now_ms)
{
	char path[PATH_MAX];
	struct stat st;
	int64_t age_ms;
	int n;

	if (call->datadir == NULL)
		return -1;
	n = snprintf(path, sizeof(path), "%s/pg_wal/archive_status/%s.ready",
				 call->datadir, call->name);
	if (n < 0 || (size_t) n >= sizeof(path) || stat(path, &st) != 0)
		return -1;
	age_ms = now_ms - (int64_t) st.st_mtim.tv_sec * 1000;
	return age_ms > 0 ? age_ms : 0;
}

void
trouble_failed(const struct trouble_call *call, const struct err *err,
			   struct trouble *out)
{
	struct trouble_note note = {.began_ms = 0};
	struct spool other = {.fd = -1};
	const struct spool *spool = call->spool;
	int64_t now_ms = clock_real_ms();
	int64_t timeout_ms;
	bool due;

	/* A signal is no trouble: a server that stops sends one. */
	if (call->cfg->notify_command == NULL || err->status == ST_CANCELLED)
		return;
	timeout_ms = call->cfg->push_timeout_ms;
	if (spool->fd < 0)
	{
		open_other_spool(call, &other);
		spool = &other;
	}
	if (!read_note(spool, NOTE, &note))
		(void) read_note(spool, NOTE_OVER, &note);
	due = trouble_note_failure(&note, now_ms, TROUBLE_APART_MS + timeout_ms);
	if (!write_note(spool, NOTE, &note))
		/* The archiver comes back within a minute, and may take its time. */
		due = trouble_due_unnoted(ready_age_ms(call, now_ms),
								  60000 + timeout_ms);
	spool_close(&other);
	if (due)
		prepare(call, &note, err, out);
}

void
trouble_over(const struct trouble_call *call, struct trouble *out)
{
	struct trouble_note note;

	if (call->cfg->notify_command == NULL ||
		!read_note(call->spool, NOTE, &note))
		return;
	spool_remove(call->spool, NOTE);
	if (note.told)
		prepare(call, &note, NULL, out);
	note.began_ms = 0;
	(void) write_note(call->spool, NOTE_OVER, &note);
}

/* --- telling -------------------------------------------------------------
 */

static bool
may_leave_orphans(const char *datadir)
{
	struct postmaster server;

	return datadir[0] != '\0' && postmaster_read(datadir, &server) &&
		   server.pid != 1 && postmaster_runs(datadir, &server);
}

static void
tell_here(const struct trouble *trouble, int64_t limit_ms)
{
	struct deadline d = deadline_in(limit_ms, cli_cancel());
	struct err err;

	if (notify_run(trouble->command, trouble->document.text,
				   trouble->document.len, &d, &err) == ST_OK)
		return;
	(void) err_context(&err, "could not tell of the trouble");
	log_err_warning(&err);
}

/* Nothing of the server's may stay open: it waits for its log's pipe. */
static _Noreturn void
be_messenger(void *arg)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || chdir("/") != 0)
		_exit(1);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			_exit(1);
	closefrom(STDERR_FILENO + 1);
	tell_here(arg, NOTIFY_LIMIT_MS);
	_exit(0);
}

void
trouble_tell(struct trouble *trouble)
{
	if (trouble->command != NULL && (!may_leave_orphans(trouble->datadir) ||
									 !detach(be_messenger, trouble)))
		tell_here(trouble, TROUBLE_CALL_MS);
	free(trouble->command);
	trouble->command = NULL;
}
