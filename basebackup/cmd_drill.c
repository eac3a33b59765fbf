/*
 * cmd_drill.c - walship drill
 */
#include "basebackup/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basebackup/drill.h"
#include "basebackup/drill_options.h"
#include "basebackup/report.h"
#include "common/log.h"

/* --- what it leaves ------------------------------------------------------ */

/*
 * Opened as whoever started us, who may be root; not emptied before there is
 * something new to read.
 */
static enum status
open_page(const char *path, int *fd, struct err *err)
{
	struct stat stat;

	*fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
			   0600);
	if (*fd < 0 && errno == ELOOP)
		return err_set(err, ST_CONFIG, "\"%s\" is a symbolic link", path);
	if (*fd < 0)
		return err_set_errno(err, ST_IO, errno, "could not open file \"%s\"",
							 path);
	if (fstat(*fd, &stat) == 0 && S_ISREG(stat.st_mode))
		return ST_OK;
	(void) close(*fd);
	*fd = -1;
	return err_set(err, ST_CONFIG, "\"%s\" is no regular file", path);
}

static enum status
write_page(const struct drill *d, const char *path, int fd, struct err *err)
{
	char *page = drill_html(d);
	size_t len = page == NULL ? 0 : strlen(page), at = 0;
	enum status st = ST_OK;

	if (page == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	if (ftruncate(fd, 0) != 0)
		st = err_set_errno(err, ST_IO, errno, "could not empty file \"%s\"",
						   path);
	while (st == ST_OK && at < len)
	{
		ssize_t n = write(fd, page + at, len - at);

		if (n > 0)
			at += (size_t) n;
		else if (errno != EINTR)
			st = err_set_errno(err, ST_IO, errno,
							   "could not write file \"%s\"", path);
	}
	free(page);
	return st;
}

static enum status
print(const struct drill *d, const struct report *report, bool as_json,
	  struct err *err)
{
	struct json *json = NULL;
	char *text = NULL;
	const char *line;
	size_t len;
	enum status st = ST_OK;

	if (as_json)
	{
		st = json_new(&json, err);
		if (st == ST_OK)
			st = report_format(report, json, &line, &len, err);
	}
	else if ((line = text = drill_text(d)) == NULL)
		st = err_set(err, ST_NOMEM, "out of memory");
	if (st == ST_OK && (fputs(line, stdout) == EOF || fflush(stdout) == EOF))
		st = err_set_errno(err, ST_IO, errno, "could not write the report");
	json_free(json);
	free(text);
	return st;
}

/* --- the way there ------------------------------------------------------- */

/* A time limit ends what is under way as a signal does. */
static void
explain_limit(const struct drill *d, int64_t limit_ms, struct err *err)
{
	const struct drill_check *check = drill_failed_check(d);
	char limit[DRILL_DURATION_MAX];

	drill_duration_format(limit_ms, limit);
	if (check != NULL)
		err_set(err, ST_DEADLINE,
				"the drill was not done within its limit of %s: check \"%s\" "
				"(line %u, database \"%s\") had not ended",
				limit, check->name, check->line, check->database);
	else
		err_set(err, ST_DEADLINE,
				"the drill was not done within its limit of %s: it was at the "
				"phase \"%s\"",
				limit, drill_phase_name(d->phase));
}

/* A key that reads nothing would seal a report that nobody can read. */
static bool
has_repository(const struct drill *d)
{
	return d->cluster.session.repo.store != NULL &&
		   d->cluster.session.repo.system_identifier != 0 &&
		   (d->failed == NULL || d->failed->status != ST_AUTH ||
			d->cluster.plan != NULL);
}

static void
put_report(struct drill *d, const struct report *report)
{
	struct session *session = &d->cluster.session;
	uint64_t cluster = session->repo.system_identifier;

	if (has_repository(d))
		report_put_or_tell(&session->repo, report);
	else if (session->cfg != NULL)
		report_notify(session->cfg,
					  cluster != 0 ? cluster : session->cfg->cluster, report);
}

static enum status
drill(struct drill *d, const struct drill_options *o, int page,
	  struct err *err)
{
	struct report report = {
		.kind = "drill", .members = drill_report_members, .arg = d};
	struct err other;
	enum status st;

	cli_time_limit(o->time_limit_ms);
	st = drill_run(d, &o->common, &o->scratch, err);
	if (st != ST_OK && cli_timed_out())
	{
		explain_limit(d, o->time_limit_ms, err);
		st = err->status;
	}
	cli_cancel_clear();
	scratch_cluster_remove(&d->cluster);
	d->failed = report.failed = st == ST_OK ? NULL : err;
	report.start_time = d->start_ms / 1000;
	report.end_time = d->end_ms / 1000;
	if (d->cluster.plan != NULL)
		report.backup_id = d->cluster.choice.backup.id;
	put_report(d, &report);
	if ((page >= 0 && write_page(d, o->html, page, &other) != ST_OK) ||
		print(d, &report, o->json, &other) != ST_OK)
	{
		if (st == ST_OK)
			*err = other;
		else
			log_err(&other);
		st = st == ST_OK ? other.status : st;
	}
	return st;
}

/*
 * As whoever started us.  What is wrong with them fails the drill, whose user
 * is a timer: nobody may read what it prints.
 */
static enum status
take_files(struct drill *d, const struct drill_options *o, int *page,
		   struct err *err)
{
	enum status st = ST_OK;

	if (o->html != NULL)
		st = open_page(o->html, page, err);
	if (st == ST_OK && o->checks != NULL)
		st = drill_checks_read(o->checks, &d->checks, err);
	return st;
}

int
cmd_drill(int argc, char **argv)
{
	struct drill_options *o = malloc(sizeof(*o));
	struct drill *d = calloc(1, sizeof(*d));
	struct err err, refused;
	int code, page = -1;

	if (o == NULL || d == NULL)
	{
		free(o);
		free(d);
		err_set(&err, ST_NOMEM, "out of memory");
		return cli_fail(&err);
	}
	code = drill_options_read(o, argc, argv);
	if (code < 0)
	{
		d->random_backup = o->random_backup;
		d->random_target = o->random_target;
		d->amcheck = !o->no_amcheck;
		if (take_files(d, o, &page, &refused) != ST_OK)
			d->refused = &refused;
		code = drill(d, o, page, &err) == ST_OK ? 0 : cli_fail(&err);
		scratch_cluster_close(&d->cluster);
	}
	if (page >= 0)
		(void) close(page);
	drill_checks_free(&d->checks);
	free(d);
	free(o);
	return code;
}
