/*
 * cmd_extract.c - walship extract
 *
 * The whole cluster is restored into a scratch directory, since neither a
 * table nor a database can recover by itself; a private server recovers it,
 * PostgreSQL's own programs ask it, and nothing is left behind.
 */
#include "basebackup/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "basebackup/extract_options.h"
#include "basebackup/report.h"
#include "basebackup/scratch_cluster.h"
#include "common/log.h"

/* What is at work. */
struct extract
{
	const struct extract_options *options;
	struct scratch_cluster cluster;
	int output;
};

/* --- asking the server --------------------------------------------------- */

static enum status
dump(struct extract *x, struct err *err)
{
	const struct extract_options *o = x->options;
	const char *args[EXTRACT_TABLES_MAX + 8];
	char tables[EXTRACT_TABLES_MAX][sizeof(o->tables[0]) + 16];
	char database[EXTRACT_NAME_MAX + 16], user[EXTRACT_NAME_MAX];
	size_t n = 0;

	(void) snprintf(database, sizeof(database), "--dbname=%s", o->database);
	(void) snprintf(user, sizeof(user), "--username=%s", o->scratch.user);
	args[n++] = user;
	args[n++] = database;
	args[n++] = "--no-password";
	args[n++] = o->format != NULL && strcmp(o->format, "custom") == 0
					? "--format=custom"
					: "--format=plain";
	for (size_t i = 0; i < o->ntables; i++)
	{
		(void) snprintf(tables[i], sizeof(tables[i]), "--table=%s",
						o->tables[i]);
		args[n++] = tables[i];
	}
	args[n] = NULL;
	return scratch_server_run(x->cluster.server, "pg_dump", args, NULL,
							  x->output, err);
}

/* By standard input: a long query is no argument. */
static enum status
query(struct extract *x, struct err *err)
{
	const struct extract_options *o = x->options;
	char database[EXTRACT_NAME_MAX + 16], user[EXTRACT_NAME_MAX];
	const char *const args[] = {
		user,          database,  "--no-password",
		"--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1",
		NULL};
	size_t len = strlen(o->query);
	char *text;
	enum status st;

	while (len > 0 && strchr(" \t\r\n;", o->query[len - 1]) != NULL)
		len--;
	(void) snprintf(database, sizeof(database), "--dbname=%s", o->database);
	(void) snprintf(user, sizeof(user), "--username=%s", o->scratch.user);

	/* A line of its own, lest a comment swallow the parenthesis. */
	if (asprintf(&text, "COPY (%.*s\n) TO STDOUT WITH (FORMAT csv, HEADER);\n",
				 (int) len, o->query) < 0)
		return err_set(err, ST_NOMEM, "out of memory");
	st = scratch_server_run(x->cluster.server, "psql", args, text, x->output,
							err);
	free(text);
	return st;
}

static enum status
ask(struct extract *x, struct err *err)
{
	enum status st = scratch_cluster_start(&x->cluster, err);

	if (st != ST_OK)
		return st;
	log_info("recovered; extracting");
	st = x->options->query != NULL ? query(x, err) : dump(x, err);
	if (st == ST_OK && x->output > STDERR_FILENO && fsync(x->output) != 0 &&
		errno != EINVAL && errno != EROFS)
		return err_set_errno(err, ST_IO, errno, "could not write \"%s\"",
							 x->options->output);
	return st;
}

static void
put_report(struct extract *x, int64_t start, const struct err *failed)
{
	const struct report report = {.kind = "extract",
								  .start_time = start,
								  .end_time = (int64_t) time(NULL),
								  .backup_id = x->cluster.choice.backup.id,
								  .failed = failed};
	struct err err;

	if (report_put(&x->cluster.session.repo, &report, &err) != ST_OK)
		log_debug("could not store the report: %s", err.message);
}

static enum status
carry_out(struct extract *x, struct err *err)
{
	int64_t start = (int64_t) time(NULL);
	enum status st = scratch_cluster_open(&x->cluster, &x->options->common,
										  &x->options->scratch, err);

	if (st == ST_OK)
		st = scratch_cluster_prepare(&x->cluster, err);
	if (st == ST_OK)
	{
		st = scratch_cluster_fetch(&x->cluster, err);
		if (st == ST_OK)
			st = ask(x, err);
		put_report(x, start, st == ST_OK ? NULL : err);
	}
	scratch_cluster_close(&x->cluster);
	return st;
}

/* --- the output ---------------------------------------------------------- */

/* What an earlier attempt could not remove is empty, and ours. */
static int
open_empty(const char *path)
{
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat stat;

	if (fd >= 0 && (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode) ||
					stat.st_size != 0 || stat.st_uid != geteuid()))
	{
		(void) close(fd);
		fd = -1;
	}
	return fd;
}

/* Opened as whoever started us, who may be root. */
static enum status
open_output(struct extract *x, struct err *err)
{
	const char *path = x->options->output;

	if (strcmp(path, "-") == 0)
	{
		x->output = STDOUT_FILENO;
		return ST_OK;
	}
	x->output = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (x->output < 0 && errno == EEXIST)
	{
		x->output = open_empty(path);
		errno = EEXIST;
	}
	if (x->output >= 0)
		return ST_OK;
	return err_set_errno(err, errno == EEXIST ? ST_CONFIG : ST_IO, errno,
						 "could not create file \"%s\"", path);
}

/* What did not become whole must not look as if it had. */
static void
close_output(struct extract *x, bool whole)
{
	if (x->output <= STDERR_FILENO)
		return;
	if (!whole && unlink(x->options->output) != 0 &&
		ftruncate(x->output, 0) == 0)
		log_warning("file \"%s\" is left empty", x->options->output);
	(void) close(x->output);
}

int
cmd_extract(int argc, char **argv)
{
	struct extract_options *o = malloc(sizeof(*o));
	struct extract *x = calloc(1, sizeof(*x));
	struct err err;
	enum status st;
	int code;

	if (o == NULL || x == NULL)
	{
		free(o);
		free(x);
		err_set(&err, ST_NOMEM, "out of memory");
		return cli_fail(&err);
	}
	code = extract_options_read(o, argc, argv);
	if (code < 0)
	{
		x->options = o;
		st = open_output(x, &err);
		if (st == ST_OK)
		{
			st = carry_out(x, &err);
			close_output(x, st == ST_OK);
		}
		code = st == ST_OK ? 0 : cli_fail(&err);
	}
	free(x);
	free(o);
	return code;
}
