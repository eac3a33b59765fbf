/*
 * subprocess.c - runs a program for what it prints, or for what it is told
 */
#include "common/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/secretfile.h"

/* How late a cancellation, or the end of the command, may be noticed. */
#define POLL_MS 20

/* A killed process that hangs in the kernel is left to itself after that. */
#define REAP_MS 1000

/* A shell's exit codes. */
#define NOT_EXECUTABLE 126
#define NOT_FOUND      127

struct program
{
	char *const *argv;
	char *const *environment;
	const char *directory; /* NULL: ours */
	int input;             /* -1: /dev/null */
	int output;            /* -1: /dev/null */
	bool silent;           /* standard error, too, is /dev/null; else ours */
};

/* As a shell would start it: default signals, its own group. */
static int
set_attributes(posix_spawnattr_t *attr)
{
	short flags =
		POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
	sigset_t all;
	sigset_t none;
	int rc;

	sigfillset(&all);
	sigemptyset(&none);
	rc = posix_spawnattr_setflags(attr, flags);
	if (rc == 0)
		rc = posix_spawnattr_setpgroup(attr, 0);
	if (rc == 0)
		rc = posix_spawnattr_setsigdefault(attr, &all);
	if (rc == 0)
		rc = posix_spawnattr_setsigmask(attr, &none);
	return rc;
}

/* A descriptor, or a null device in its place: -1. */
static int
add_stdio(posix_spawn_file_actions_t *actions, int ours, int theirs)
{
	if (ours >= 0)
		return posix_spawn_file_actions_adddup2(actions, ours, theirs);
	return posix_spawn_file_actions_addopen(actions, theirs, "/dev/null",
											O_RDWR, 0);
}

static int
set_actions(posix_spawn_file_actions_t *actions, const struct program *program)
{
	int rc = add_stdio(actions, program->output, STDOUT_FILENO);

	if (rc == 0)
		rc = add_stdio(actions, program->input, STDIN_FILENO);
	if (rc == 0 && program->silent)
		rc = add_stdio(actions, -1, STDERR_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(actions,
													  STDERR_FILENO + 1);
	if (rc == 0 && program->directory != NULL)
		rc = posix_spawn_file_actions_addchdir_np(actions, program->directory);
	return rc;
}

char **
subprocess_environment(bool (*passes)(const char *entry))
{
	size_t count = 0;
	size_t kept = 0;
	char **copy;

	while (environ != NULL && environ[count] != NULL)
		count++;
	copy = calloc(count + 1, sizeof *copy);
	for (size_t i = 0; copy != NULL && i < count; i++)
		if (passes(environ[i]))
			copy[kept++] = environ[i];
	return copy;
}

/* The key id is no secret.  A child may well live on AWS's variables. */
static bool
is_no_secret_of_ours(const char *entry)
{
	static const char *const ours[] = {"WALSHIP_S3_SECRET_ACCESS_KEY=",
									   "WALSHIP_S3_SESSION_TOKEN="};

	return strncmp(entry, ours[0], strlen(ours[0])) != 0 &&
		   strncmp(entry, ours[1], strlen(ours[1])) != 0;
}

/*
 * Returns an errno value, or 0 with *pid set.  Whoever of the group outlives
 * its parent becomes our child, to be reaped by us: process 1 may be a
 * PostgreSQL server, which takes the death of an orphan by a signal for that
 * of a backend, and reinitialises.
 */
static int
spawn(const struct program *program, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc = posix_spawnattr_init(&attr);

	if (rc != 0)
		return rc;
	(void) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	rc = posix_spawn_file_actions_init(&actions);
	if (rc == 0)
	{
		rc = set_attributes(&attr);
		if (rc == 0)
			rc = set_actions(&actions, program);
		if (rc == 0)
			rc = posix_spawnp(pid, program->argv[0], &actions, &attr,
							  program->argv, program->environment);
		(void) posix_spawn_file_actions_destroy(&actions);
	}
	(void) posix_spawnattr_destroy(&attr);
	return rc;
}

/* Reads until end of file; one byte more than max is too much. */
static enum status
read_output(const char *what, int fd, const struct deadline *d, char *text,
			size_t max, size_t *len, struct err *err)
{
	struct pollfd waiting = {.fd = fd, .events = POLLIN};
	size_t done = 0;

	for (;;)
	{
		ssize_t n;

		if (deadline_check(d, err) != ST_OK)
			return err_context(err, "%s", what);
		if (poll(&waiting, 1, POLL_MS) <= 0)
			continue;
		n = read(fd, text + done, max + 1 - done);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_set_errno(err, ST_IO, errno,
								 "could not read what %s prints", what);
		done += (size_t) n;
		if (done > max)
			return err_set(err, ST_IO, "%s printed more than %zu bytes", what,
						   max);
		if (n == 0)
		{
			text[done] = '\0';
			*len = done;
			return ST_OK;
		}
	}
}

/* The program's end; it is left to be reaped. */
static enum status
wait_for_exit(const char *what, pid_t pid, const struct deadline *d,
			  struct err *err)
{
	for (int64_t pause_ms = 1;;)
	{
		siginfo_t info = {.si_pid = 0};
		int rc = waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT);

		if (rc == 0 && info.si_pid == pid)
			return ST_OK;
		if (rc != 0 && errno != EINTR)
			return err_set_errno(err, ST_IO, errno, "could not wait for %s",
								 what);
		if (deadline_sleep(d, pause_ms, err) != ST_OK)
			return err_context(err, "%s", what);
		if (pause_ms < POLL_MS)
			pause_ms *= 2;
	}
}

/* A killed group is gone when none of it is left to be reaped. */
static void
reap_group(pid_t group)
{
	const struct deadline d = deadline_in(REAP_MS, NULL);
	struct err ignored;
	pid_t pid;

	for (;;)
	{
		pid = waitpid(-group, NULL, WNOHANG);
		if (pid < 0 && errno != EINTR)
			return;
		if (pid == 0 && deadline_sleep(&d, 1, &ignored) != ST_OK)
			return;
	}
}

/*
 * Ends what is left of the group, and reaps the program; its wait status.
 * Until it is reaped, the group's id cannot be another's.
 */
static int
end_group(pid_t pid)
{
	int wait_status = 0;
	siginfo_t info = {.si_pid = 0};

	(void) kill(-pid, SIGKILL);
	if (waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		info.si_pid == pid)
		(void) waitpid(pid, &wait_status, 0);
	reap_group(pid);
	return wait_status;
}

static enum status
judge_exit(const char *what, int wait_status, struct err *err)
{
	int code;

	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
		return ST_OK;
	if (WIFSIGNALED(wait_status))
		return err_set(err, ST_IO, "%s was ended by signal %d", what,
					   WTERMSIG(wait_status));
	code = WEXITSTATUS(wait_status);
	(void) err_set(err, ST_IO, "%s failed with exit code %d", what, code);
	if (code == NOT_EXECUTABLE || code == NOT_FOUND)
		(void) err_hint(err, "So says a shell of a program that it %s.",
						code == NOT_FOUND ? "cannot find" : "may not run");
	return err->status;
}

struct child
{
	const char *what;
	pid_t pid;
	int fd;
};

/* Collects the output and the exit of a started program. */
static enum status
collect(const struct child *child, size_t max, const struct deadline *d,
		char **out, size_t *out_len, struct err *err)
{
	void *memory = NULL;
	size_t len = 0;
	int wait_status = 0;
	enum status status = secret_alloc(max + 1, &memory, err);

	if (status == ST_OK)
		status =
			read_output(child->what, child->fd, d, memory, max, &len, err);
	if (status == ST_OK)
		status = wait_for_exit(child->what, child->pid, d, err);
	if (status != ST_OK)
		(void) end_group(child->pid);
	else if (waitpid(child->pid, &wait_status, 0) == child->pid)
		status = judge_exit(child->what, wait_status, err);

	if (status == ST_OK)
	{
		*out = memory;
		*out_len = len;
	}
	else
		secret_free(memory);
	return status;
}

enum status
subprocess_read(const char *what, char *const argv[], size_t max,
				const struct deadline *d, char **out, size_t *out_len,
				struct err *err)
{
	enum status status;
	struct child child = {.what = what};
	char **environment = subprocess_environment(is_no_secret_of_ours);
	struct program program = {
		.argv = argv, .environment = environment, .input = -1};
	int ends[2];
	int rc;

	if (environment == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	if (pipe2(ends, O_CLOEXEC) != 0)
	{
		free(environment);
		return err_set_errno(err, ST_IO, errno, "could not make a pipe");
	}
	child.fd = ends[0];
	program.output = ends[1];
	rc = spawn(&program, &child.pid);
	(void) close(ends[1]);
	if (rc == 0)
		status = collect(&child, max, d, out, out_len, err);
	else
		status = err_set_errno(err, ST_IO, rc, "could not run %s", what);
	(void) close(ends[0]);
	free(environment);
	return status;
}

/* A file without a name, so that nobody has to feed a pipe. */
static int
make_input(const char *text, size_t len)
{
	int fd = memfd_create("input", MFD_CLOEXEC);
	size_t done = 0;

	while (fd >= 0 && done < len)
	{
		ssize_t n = write(fd, text + done, len - done);

		if (n > 0)
			done += (size_t) n;
		else if (errno != EINTR)
			break;
	}
	if (fd >= 0 && (done < len || lseek(fd, 0, SEEK_SET) != 0))
	{
		(void) close(fd);
		fd = -1;
	}
	return fd;
}

enum status
subprocess_feed(const struct subprocess_feed *job, const struct deadline *d,
				struct err *err)
{
	const struct program program = {.argv = job->argv,
									.environment = job->environment,
									.directory = "/",
									.input = make_input(job->text, job->len),
									.output = -1,
									.silent = true};
	enum status status;
	int wait_status;
	pid_t pid;
	int rc;

	if (program.input < 0)
		return err_set_errno(err, ST_IO, errno,
							 "could not prepare the input of %s", job->what);
	rc = spawn(&program, &pid);
	(void) close(program.input);
	if (rc != 0)
		return err_set_errno(err, ST_IO, rc, "could not run %s", job->what);
	status = wait_for_exit(job->what, pid, d, err);
	wait_status = end_group(pid);
	return status == ST_OK ? judge_exit(job->what, wait_status, err) : status;
}
