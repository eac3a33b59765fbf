/*
 * scratch_server.c - a private server on a restored data directory
 */
#include "basebackup/scratch_server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/deadline.h"

#define POLL_MS    50
#define STOP_MS    20000
#define TAIL_BYTES 8192

/* Of log_line_prefix. */
#define PREFIX_CHARACTERS "0123456789. "

/* Against what a database or a role has set for the original's sessions. */
#define SESSION_OPTIONS                        \
	"-c statement_timeout=0 -c lock_timeout=0" \
	" -c default_transaction_read_only=off"    \
	" -c session_preload_libraries="           \
	" -c local_preload_libraries="

struct scratch_server
{
	const struct scratch_server_options *options;
	pid_t pid; /* of the postmaster */
};

/* --- processes ----------------------------------------------------------- */

struct child
{
	const char *path;
	char *const *argv;
	int in;
	int out;
	const char *log;      /* of what it says on standard error */
	int death;            /* the signal it gets if we die */
	int64_t memory_bytes; /* that it may take; 0: no limit */
};

/* In the child: becomes the program, or exits. */
static void
become(const struct child *c, int error, pid_t parent)
{
	const rlim_t bytes = (rlim_t) c->memory_bytes;
	const struct rlimit limit = {bytes, bytes};
	sigset_t none;

	/* A terminal's interrupt is for us alone: we end our children. */
	(void) setpgid(0, 0);
	(void) prctl(PR_SET_PDEATHSIG, c->death);
	if (getppid() != parent)
		_exit(127);
	(void) signal(SIGPIPE, SIG_DFL);
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	if ((bytes != 0 && setrlimit(RLIMIT_DATA, &limit) != 0) ||
		dup2(c->in, STDIN_FILENO) < 0 ||
		dup2(c->out < 0 ? error : c->out, STDOUT_FILENO) < 0 ||
		dup2(error, STDERR_FILENO) < 0)
		_exit(127);
	(void) close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	(void) execv(c->path, c->argv);
	_exit(127);
}

static enum status
start_child(const struct child *c, pid_t *pid, struct err *err)
{
	pid_t parent = getpid();
	int error = open(c->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (error < 0)
		return err_set_errno(err, ST_IO, errno, "could not create file \"%s\"",
							 c->log);
	*pid = fork();
	if (*pid == 0)
		become(c, error, parent);
	(void) close(error);
	if (*pid < 0)
		return err_set_errno(err, ST_IO, errno, "could not start \"%s\"",
							 c->path);
	return ST_OK;
}

/* The end of a log, cut to whole lines; freed by free(), NULL: none. */
static char *
read_tail(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = calloc(1, TAIL_BYTES + 1);
	char *line;

	if (file != NULL && text != NULL &&
		(fseek(file, -TAIL_BYTES, SEEK_END) == 0 ||
		 fseek(file, 0, SEEK_SET) == 0))
		text[fread(text, 1, TAIL_BYTES, file)] = '\0';
	if (file != NULL)
		(void) fclose(file);
	while (text != NULL && (line = strrchr(text, '\n')) != NULL &&
		   line[1] == '\0')
		*line = '\0';
	return text;
}

/* Behind the word, if the line begins with it; else NULL. */
static const char *
skip_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	return strncmp(line, word, len) == 0 ? line + len : NULL;
}

/* The last place of a word before an end, behind the word; or NULL. */
static const char *
find_last(const char *text, const char *end, const char *word)
{
	const char *found = NULL;

	for (const char *at = text; (at = strstr(at, word)) != NULL && at < end;
		 at++)
		found = at + strlen(word);
	return found;
}

/*
 * The last line with one of the words, else the last of all.  That its
 * configuration is wrong the server says after it has said why.
 */
static const char *
find_cause(const char *text)
{
	static const char *const words[] = {
		"PANIC:  ", "FATAL:  ", "ERROR:  ", "error: "};
	const char *end = text + strlen(text), *found = NULL, *why;

	for (size_t i = 0; i < 4 && found == NULL; i++)
		found = find_last(text, end, words[i]);
	if (found == NULL)
	{
		const char *last = strrchr(text, '\n');

		found = last == NULL ? text : last + 1;
		return found + strspn(found, PREFIX_CHARACTERS);
	}
	if (skip_word(found, "configuration file ") != NULL &&
		(why = find_last(text, found, "LOG:  ")) != NULL)
		return why;
	return found;
}

/*
 * What the lines behind a cause add.  psql shows the line of the statement in
 * between, and where in it.
 */
static void
add_more(const char *cause, struct err *err)
{
	const char *line = cause, *more;

	while ((line = strchr(line, '\n')) != NULL)
	{
		line += 1 + strspn(line + 1, PREFIX_CHARACTERS);
		if ((more = skip_word(line, "DETAIL:  ")) != NULL)
			err_detail(err, "%.*s", (int) strcspn(more, "\n"), more);
		else if ((more = skip_word(line, "HINT:  ")) != NULL)
			err_hint(err, "%.*s", (int) strcspn(more, "\n"), more);
		else if (skip_word(line, "LINE ") == NULL && *line != '^')
			return;
	}
}

/* What wal-fetch said last, on a line of its own; NULL: nothing. */
static char *
find_fetch_error(const char *text)
{
	static const char word[] = "wal-fetch: ERROR: ";
	const char *found = NULL;

	for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
		found = at;
	return found == NULL ? NULL : strndup(found, strcspn(found, "\n"));
}

static enum status
explain(const char *what, const char *log, struct err *err)
{
	char *text = read_tail(log);
	char *fetch = text == NULL ? NULL : find_fetch_error(text);
	const char *cause = text == NULL ? "" : find_cause(text);

	if (*cause == '\0')
		cause = "it says nothing";
	err_set(err, ST_SERVER, "%s: %.*s%s%s", what, (int) strcspn(cause, "\n"),
			cause, fetch != NULL ? "; " : "", fetch != NULL ? fetch : "");
	add_more(cause, err);
	free(fetch);
	free(text);
	return err->status;
}

/* Waits for its end; a cancellation ends it.  *code: less than 0: a signal. */
static enum status
wait_child(pid_t pid, const volatile sig_atomic_t *cancel, int *code,
		   struct err *err)
{
	const struct deadline forever = deadline_in(-1, cancel);
	enum status st = ST_OK;
	int status;

	while (waitpid(pid, &status, st == ST_OK ? WNOHANG : 0) == 0)
	{
		st = deadline_sleep(&forever, POLL_MS, err);
		if (st != ST_OK)
			(void) kill(pid, SIGKILL);
	}
	*code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	return st;
}

/* --- the server ---------------------------------------------------------- */

/* Line 8 of its lock file tells how far it is. */
static bool
is_ready(const struct scratch_server *server)
{
	char path[PATH_MAX], text[1024], *line = text;
	FILE *file;
	size_t len;

	(void) snprintf(path, sizeof(path), "%s/postmaster.pid",
					server->options->scratch->data);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	len = fread(text, 1, sizeof(text) - 1, file);
	(void) fclose(file);
	text[len] = '\0';
	for (int i = 1; line != NULL && i < 8; i++)
	{
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	return line != NULL && strncmp(line, "ready", 5) == 0;
}

static enum status
wait_ready(struct scratch_server *server, const char *log, struct err *err)
{
	const struct deadline forever = deadline_in(-1, server->options->cancel);
	enum status st = ST_OK;

	while (st == ST_OK && !is_ready(server))
	{
		if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
		{
			server->pid = -1;
			return explain("the server on the scratch directory ended", log,
						   err);
		}
		st = deadline_sleep(&forever, POLL_MS, err);
	}
	return st;
}

/* Where memory is short, its backends are the first to go, not others. */
static void
adjust_oom(void)
{
	(void) setenv("PG_OOM_ADJUST_FILE", "/proc/self/oom_score_adj", 1);
	(void) setenv("PG_OOM_ADJUST_VALUE", "1000", 1);
}

enum status
scratch_server_start(const struct scratch_server_options *options,
					 struct scratch_server **out, struct err *err)
{
	const struct scratch *scratch = options->scratch;
	char program[PATH_MAX + 16], config[PATH_MAX + 32], log[PATH_MAX];
	char dash_d[] = "-D", dash_c[] = "-c";
	char data[sizeof(scratch->data)];
	char *argv[] = {program, dash_d, data, dash_c, config, NULL};
	struct child child = {.path = program,
						  .argv = argv,
						  .out = -1,
						  .log = log,
						  .death = SIGQUIT,
						  .memory_bytes = options->memory_bytes / 2};
	struct scratch_server *server = calloc(1, sizeof(*server));
	enum status st;

	if (server == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	server->options = options;
	server->pid = -1;
	(void) snprintf(program, sizeof(program), "%s/postgres", options->bindir);
	(void) snprintf(config, sizeof(config), "config_file=%s/postgresql.conf",
					scratch->dir);
	(void) snprintf(log, sizeof(log), "%s/server.log", scratch->dir);
	(void) snprintf(data, sizeof(data), "%s", scratch->data);
	adjust_oom();
	child.in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	st = child.in < 0
			 ? err_set_errno(err, ST_IO, errno, "could not open \"/dev/null\"")
			 : start_child(&child, &server->pid, err);
	if (child.in >= 0)
		(void) close(child.in);
	if (st == ST_OK)
		st = wait_ready(server, log, err);
	if (st == ST_OK)
		*out = server;
	else
		scratch_server_stop(server);
	return st;
}

/* Immediately: nothing of what it holds is wanted any more. */
void
scratch_server_stop(struct scratch_server *server)
{
	const struct deadline until = deadline_in(STOP_MS, NULL);
	struct err ignored;

	if (server == NULL)
		return;
	if (server->pid > 0)
	{
		(void) kill(server->pid, SIGQUIT);
		while (waitpid(server->pid, NULL, WNOHANG) == 0)
			if (deadline_sleep(&until, POLL_MS, &ignored) != ST_OK)
			{
				(void) kill(-server->pid, SIGKILL);
				(void) waitpid(server->pid, NULL, 0);
				break;
			}
	}
	free(server);
}

/* --- its log ------------------------------------------------------------- */

void
scratch_server_milestones(const struct scratch_server *server,
						  struct scratch_milestones *out)
{
	static const char consistent[] = "consistent recovery state reached";
	char path[PATH_MAX], *line = NULL;
	size_t room = 0;
	FILE *log;

	*out = (struct scratch_milestones){.segments = 0};
	(void) snprintf(path, sizeof(path), "%s/server.log",
					server->options->scratch->dir);
	log = fopen(path, "re");
	while (log != NULL && getline(&line, &room, log) > 0)
	{
		if (strstr(line, "restored log file \"") != NULL)
			out->segments++;
		else if (out->consistent_ms == 0 && strstr(line, consistent) != NULL)
			out->consistent_ms = (int64_t) (strtod(line, NULL) * 1000);
	}
	free(line);
	if (log != NULL)
		(void) fclose(log);
}

/* --- its clients --------------------------------------------------------- */

/* Input through a file of its own: a pipe could fill. */
static enum status
make_input(const struct scratch *scratch, const char *text, int *fd,
		   struct err *err)
{
	size_t len = text == NULL ? 0 : strlen(text);
	char path[PATH_MAX];

	(void) snprintf(path, sizeof(path), "%s/input", scratch->dir);
	*fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (*fd < 0 || (len > 0 && write(*fd, text, len) != (ssize_t) len) ||
		lseek(*fd, 0, SEEK_SET) != 0)
		return err_set_errno(err, ST_IO, errno, "could not write \"%s\"",
							 path);
	return ST_OK;
}

/* What libpq would find there is about the original. */
static void
clear_environment(void)
{
	char name[64];

	for (size_t i = 0; environ != NULL && environ[i] != NULL;)
	{
		size_t len = strcspn(environ[i], "=");

		if (strncmp(environ[i], "PG", 2) != 0 || environ[i][len] != '=' ||
			len >= sizeof(name))
		{
			i++;
			continue;
		}
		(void) snprintf(name, sizeof(name), "%.*s", (int) len, environ[i]);
		(void) unsetenv(name);
	}
}

void
scratch_server_environment(const struct scratch_server *server)
{
	bool since_17 = server->options->plan->summary.server_version >= 170000;

	clear_environment();
	(void) setenv("PGHOST", server->options->scratch->socket, 1);
	(void) setenv("PGPORT", "5432", 1);
	(void) setenv("PGOPTIONS",
				  since_17 ? SESSION_OPTIONS " -c transaction_timeout=0"
						   : SESSION_OPTIONS,
				  1);
}

char *
scratch_server_database(const char *name)
{
	char *info = NULL;
	size_t len;
	FILE *text = open_memstream(&info, &len);

	if (text == NULL)
		return NULL;
	(void) fputs("dbname='", text);
	for (; *name != '\0'; name++)
	{
		if (*name == '\'' || *name == '\\')
			(void) fputc('\\', text);
		(void) fputc(*name, text);
	}
	(void) fputc('\'', text);
	if (fclose(text) == 0)
		return info;
	free(info);
	return NULL;
}

static void
free_words(char **words)
{
	for (size_t i = 0; words != NULL && words[i] != NULL; i++)
		free(words[i]);
	free(words);
}

/*
 * The argv of a program; NULL without memory.  PostgreSQL's programs find
 * their files by the path they are run by.
 */
static char **
make_argv(const char *path, const char *const *args)
{
	size_t n = 0;
	char **argv;

	while (args[n] != NULL)
		n++;
	argv = calloc(n + 2, sizeof(*argv));
	for (size_t i = 0; argv != NULL && i <= n; i++)
	{
		argv[i] = strdup(i == 0 ? path : args[i - 1]);
		if (argv[i] == NULL)
		{
			free_words(argv);
			return NULL;
		}
	}
	return argv;
}

enum status
scratch_server_run(struct scratch_server *server, const char *program,
				   const char *const *args, const char *input, int fd,
				   struct err *err)
{
	const struct scratch *scratch = server->options->scratch;
	char path[PATH_MAX + 64], log[PATH_MAX];
	char **argv;
	struct child child = {
		.path = path, .in = -1, .out = fd, .log = log, .death = SIGKILL};
	enum status st;
	int code = 0;
	pid_t pid = -1;

	(void) snprintf(path, sizeof(path), "%s/%s", server->options->bindir,
					program);
	(void) snprintf(log, sizeof(log), "%s/client.log", scratch->dir);
	argv = make_argv(path, args);
	if (argv == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	child.argv = argv;
	st = make_input(scratch, input, &child.in, err);
	scratch_server_environment(server);
	if (st == ST_OK)
		st = start_child(&child, &pid, err);
	if (st == ST_OK)
		st = wait_child(pid, server->options->cancel, &code, err);
	if (st == ST_OK && code < 0)
		st = err_set(err, ST_SERVER, "%s was ended by signal %d: %s", program,
					 -code, strsignal(-code));
	else if (st == ST_OK && code > 0)
		st = explain(program, log, err);
	free_words(argv);
	if (child.in >= 0)
		(void) close(child.in);
	return st;
}

char *
scratch_server_said(const struct scratch_server *server)
{
	char path[PATH_MAX];

	(void) snprintf(path, sizeof(path), "%s/client.log",
					server->options->scratch->dir);
	return read_tail(path);
}
