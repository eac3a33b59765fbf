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
#include <sys/mman.h>
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
	char *database; /* as clients take it */
	int output;
};

/* --- asking the server --------------------------------------------------- */

/* psql, by standard input: a long query is no argument. */
static enum status
run_psql(struct extract *x, const char *sql, const char *variable, int fd,
		 struct err *err)
{
	const char *const args[] = {"--username",
								x->options->scratch.user,
								"--dbname",
								x->database,
								"--no-password",
								"--no-psqlrc",
								"--quiet",
								"--no-align",
								"--tuples-only",
								"--record-separator-zero",
								"--set=ON_ERROR_STOP=1",
								variable == NULL ? NULL : "--set",
								variable,
								NULL};

	return scratch_server_run(x->cluster.server, "psql", args, sql, fd, err);
}

/*
 * Writes the names of the table and of all below it, each behind a zero byte,
 * to fd: pg_dump takes a partitioned table for its definition only.
 */
static enum status
find_tables(struct extract *x, const char *table, int fd, struct err *err)
{
	static const char sql[] =
		"WITH RECURSIVE t (oid) AS ("
		" SELECT pg_catalog.to_regclass(:'name')::pg_catalog.oid"
		" UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i"
		" JOIN t ON i.inhparent OPERATOR(pg_catalog.=) t.oid)"
		" SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM t"
		" JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.oid"
		" JOIN pg_catalog.pg_namespace n"
		" ON n.oid OPERATOR(pg_catalog.=) c.relnamespace;\n";
	off_t before = lseek(fd, 0, SEEK_CUR);
	char *variable;
	enum status st;

	if (asprintf(&variable, "name=%s", table) < 0)
		return err_set(err, ST_NOMEM, "out of memory");
	st = run_psql(x, sql, variable, fd, err);
	free(variable);
	if (st != ST_OK || lseek(fd, 0, SEEK_CUR) > before)
		return st;
	err_set(err, ST_MISSING,
			"there is no table %s in database \"%s\" at the target", table,
			x->options->database);
	return err_hint(err, "Upper case and odd characters need double quotes, "
						 "which the shell has to let pass: "
						 "--table='DB.SCHEMA.\"Table\"'.");
}

/* What was written to fd; freed by free(), NULL: err says why. */
static char *
read_back(int fd, size_t *len, struct err *err)
{
	off_t end = lseek(fd, 0, SEEK_END);
	char *text = end < 0 ? NULL : malloc((size_t) end + 1);

	if (text != NULL && pread(fd, text, (size_t) end, 0) == (ssize_t) end)
	{
		*len = (size_t) end;
		return text;
	}
	err_set_errno(err, ST_IO, errno, "could not read the list of tables");
	free(text);
	return NULL;
}

static enum status
dump_tables(struct extract *x, const char *tables, size_t len, struct err *err)
{
	const struct extract_options *o = x->options;
	/* A name has three characters at least; it takes two words. */
	const char **args = calloc(len / 2 + 9, sizeof(*args));
	size_t n = 0;
	enum status st;

	if (args == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	args[n++] = "--username";
	args[n++] = o->scratch.user;
	args[n++] = "--dbname";
	args[n++] = x->database;
	args[n++] = "--no-password";
	args[n++] = "--strict-names";
	args[n++] = o->format != NULL && strcmp(o->format, "custom") == 0
					? "--format=custom"
					: "--format=plain";
	for (const char *at = tables; at < tables + len; at += strlen(at) + 1)
	{
		args[n++] = "--table";
		args[n++] = at;
	}
	st = scratch_server_run(x->cluster.server, "pg_dump", args, NULL,
							x->output, err);
	free(args);
	return st;
}

static enum status
dump(struct extract *x, struct err *err)
{
	const struct extract_options *o = x->options;
	int fd = memfd_create("tables", MFD_CLOEXEC);
	char *tables = NULL;
	size_t len = 0;
	enum status st = ST_OK;

	if (fd < 0)
		return err_set_errno(err, ST_IO, errno, "could not list the tables");
	for (size_t i = 0; st == ST_OK && i < o->ntables; i++)
		st = find_tables(x, o->tables[i], fd, err);
	if (st == ST_OK && (tables = read_back(fd, &len, err)) == NULL)
		st = err->status;
	if (st == ST_OK)
		st = dump_tables(x, tables, len, err);
	free(tables);
	(void) close(fd);
	return st;
}

static enum status
query(struct extract *x, struct err *err)
{
	const struct extract_options *o = x->options;
	size_t len = strlen(o->query);
	char *text;
	enum status st;

	while (len > 0 && strchr(" \t\r\n;", o->query[len - 1]) != NULL)
		len--;
	/* A line of its own, lest a comment swallow the parenthesis. */
	if (asprintf(&text, "COPY (%.*s\n) TO STDOUT WITH (FORMAT csv, HEADER);\n",
				 (int) len, o->query) < 0)
		return err_set(err, ST_NOMEM, "out of memory");
	st = run_psql(x, text, NULL, x->output, err);
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
	x->database = scratch_server_database(x->options->database);
	if (x->database == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
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
	free(x->database);
	free(x);
	free(o);
	return code;
}
