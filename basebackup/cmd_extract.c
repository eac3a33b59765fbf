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
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "basebackup/extract_options.h"
#include "basebackup/report.h"
#include "basebackup/restore_command.h"
#include "basebackup/run_as.h"
#include "basebackup/scratch_server.h"
#include "common/log.h"
#include "common/session.h"

/* What is at work. */
struct extract
{
	const struct extract_options *options;
	struct restore_request request;
	struct scratch scratch;
	struct plan *plan;
	char bindir[PATH_MAX];
	char config_dir[PATH_MAX];
	struct tablespace_mapping *mappings;
	char (*places)[PATH_MAX]; /* where those lead to */
	int output;
};

static void
say(const char *line)
{
	log_info("%s", line);
}

/* --- where tablespaces go ------------------------------------------------ */

static enum status
map_tablespaces(struct extract *x, struct err *err)
{
	size_t n = x->plan->ntablespaces;

	x->mappings = calloc(n + 1, sizeof(*x->mappings));
	x->places = calloc(n + 1, sizeof(*x->places));
	if (x->mappings == NULL || x->places == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
	{
		(void) snprintf(x->places[i], sizeof(x->places[i]),
						"%s/tablespace/%" PRIu32, x->scratch.dir,
						x->plan->tablespaces[i].oid);
		x->mappings[i] = (struct tablespace_mapping){
			x->plan->tablespaces[i].location, x->places[i]};
	}
	x->request.mappings = x->mappings;
	x->request.nmappings = n;
	return ST_OK;
}

/* --- asking the server --------------------------------------------------- */

static enum status
dump(struct extract *x, struct scratch_server *server, struct err *err)
{
	const struct extract_options *o = x->options;
	const char *args[EXTRACT_TABLES_MAX + 8];
	char tables[EXTRACT_TABLES_MAX][sizeof(o->tables[0]) + 16];
	char database[EXTRACT_NAME_MAX + 16], user[EXTRACT_NAME_MAX];
	size_t n = 0;

	(void) snprintf(database, sizeof(database), "--dbname=%s", o->database);
	(void) snprintf(user, sizeof(user), "--username=%s", o->user);
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
	return scratch_server_run(server, "pg_dump", args, NULL, x->output, err);
}

/* By standard input: a long query is no argument. */
static enum status
query(struct extract *x, struct scratch_server *server, struct err *err)
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
	(void) snprintf(user, sizeof(user), "--username=%s", o->user);

	/* A line of its own, lest a comment swallow the parenthesis. */
	if (asprintf(&text, "COPY (%.*s\n) TO STDOUT WITH (FORMAT csv, HEADER);\n",
				 (int) len, o->query) < 0)
		return err_set(err, ST_NOMEM, "out of memory");
	st = scratch_server_run(server, "psql", args, text, x->output, err);
	free(text);
	return st;
}

static enum status
ask(struct extract *x, struct err *err)
{
	const struct scratch_server_options options = {.scratch = &x->scratch,
												   .plan = x->plan,
												   .bindir = x->bindir,
												   .cancel =
													   x->request.cancel};
	struct scratch_server *server = NULL;
	enum status st = scratch_write_settings(&options, err);

	if (st != ST_OK)
		return st;
	log_info("recovering, by a private server");
	st = scratch_server_start(&options, &server, err);
	if (st == ST_OK)
	{
		log_info("recovered; extracting");
		st = x->options->query != NULL ? query(x, server, err)
									   : dump(x, server, err);
	}
	scratch_server_stop(server);
	if (st == ST_OK && x->output > STDERR_FILENO && fsync(x->output) != 0 &&
		errno != EINVAL && errno != EROFS)
		return err_set_errno(err, ST_IO, errno, "could not write \"%s\"",
							 x->options->output);
	return st;
}

/* --- the way there ------------------------------------------------------- */

/* Its directory is only for us: recovery ends there, whatever comes after. */
static void
fill_request(struct extract *x)
{
	struct restore_request *r = &x->request;

	(void) snprintf(x->config_dir, sizeof(x->config_dir), "%s/config",
					x->scratch.dir);
	r->target_dir = x->scratch.data;
	r->config_dir = x->config_dir;
	r->own_settings = true;
	if (r->target.kind != TARGET_END)
		r->target.action = "promote";
}

static void
put_report(struct repo *repo, const char *backup_id, int64_t start,
		   const struct err *failed)
{
	const struct report report = {.kind = "extract",
								  .start_time = start,
								  .end_time = (int64_t) time(NULL),
								  .backup_id = backup_id,
								  .failed = failed};
	struct err err;

	if (report_put(repo, &report, &err) != ST_OK)
		log_debug("could not store the report: %s", err.message);
}

static enum status
extract(struct extract *x, struct repo *repo, struct restore_choice *choice,
		struct err *err)
{
	int64_t start = (int64_t) time(NULL);
	enum status st = map_tablespaces(x, err);

	if (st == ST_OK)
		st = scratch_find_bindir(x->plan, x->options->bindir, x->bindir, err);
	if (st == ST_OK)
		st = restore_settle(repo, &x->request, choice, x->plan, say, err);
	if (st != ST_OK)
		return st;
	st = restore_files(repo, &x->request, choice, x->plan, err);
	if (st == ST_OK)
		st = ask(x, err);
	else
		err->detail[0] = '\0'; /* of a directory that goes anyway */
	put_report(repo, choice->backup.id, start, st == ST_OK ? NULL : err);
	return st;
}

static enum status
carry_out(struct extract *x, struct repo *repo, struct err *err)
{
	struct restore_choice choice;
	enum status st = scratch_make(&x->scratch, x->options->scratch, err);

	if (st != ST_OK)
		return st;
	fill_request(x);
	st = restore_prepare(repo, &x->request, &choice, &x->plan, err);
	if (st == ST_OK)
	{
		st = extract(x, repo, &choice, err);
		plan_free(x->plan);
		restore_choice_free(&choice);
	}
	free(x->mappings);
	free(x->places);
	scratch_remove(&x->scratch);
	return st;
}

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

static enum status
run(struct extract *x, struct session *session, struct err *err)
{
	struct restore_command *command = calloc(1, sizeof(*command));
	enum status st;

	if (command == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	x->request.cancel = cli_cancel();
	x->request.terminal = session->cfg->log_format == LOG_FORMAT_TEXT;
	x->request.command = command->words;
	st = repo_resolve_cluster(&session->repo, err);
	if (st == ST_OK)
		st = restore_command_build(command, &x->options->common, session,
								   false, err);
	if (st == ST_OK)
		st = carry_out(x, &session->repo, err);
	restore_command_free(command);
	free(command);
	return st;
}

static enum status
start(struct extract *x, struct err *err)
{
	struct session session;
	bool became;
	enum status st = run_as_postgres(&became, err);

	if (st == ST_OK)
		st = session_open(&session, &x->options->common, err);
	if (st != ST_OK)
		return st;
	if (became)
		log_info("going on as user \"%s\"", RUN_AS_USER);
	st = run(x, &session, err);
	session_close(&session);
	return st;
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
		x->request = o->request;
		st = open_output(x, &err);
		if (st == ST_OK)
		{
			st = start(x, &err);
			close_output(x, st == ST_OK);
		}
		code = st == ST_OK ? 0 : cli_fail(&err);
	}
	free(x);
	free(o);
	return code;
}
