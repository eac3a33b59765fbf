/*
 * subprocess.c - runs a program for what it prints
 */
#include "common/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/secretfile.h"

/* How late a cancellation, or the end of the command, may be noticed. */
#define POLL_MS 20

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

static int
set_actions(posix_spawn_file_actions_t *actions, int output)
{
	int rc = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);

	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(actions, STDIN_FILENO,
											  "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(actions,
													  STDERR_FILENO + 1);
	return rc;
}

/*
 * Our environment without our own secrets: the key id is none.  A child may
 * well live on AWS's variables.  NULL: out of memory.
 */
static char **
make_environment(void)
{
	static const char *const ours[] = {"WALSHIP_S3_SECRET_ACCESS_KEY=",
									   "WALSHIP_S3_SESSION_TOKEN="};
	size_t count = 0;
	size_t kept = 0;
	char **copy;

	while (environ != NULL && environ[count] != NULL)
		count++;
	copy = calloc(count + 1, sizeof *copy);
	for (size_t i = 0; copy != NULL && i < count; i++)
	{
		if (strncmp(environ[i], ours[0], strlen(ours[0])) != 0 &&
			strncmp(environ[i], ours[1], strlen(ours[1])) != 0)
			copy[kept++] = environ[i];
	}
	return copy;
}

/* Returns an errno value, or 0 with *pid set. */
static int
spawn(char *const argv[], int output, pid_t *pid)
{
	char **environment = make_environment();
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc = environment != NULL ? posix_spawnattr_init(&attr) : ENOMEM;

	if (rc != 0)
		goto out;
	rc = posix_spawn_file_actions_init(&actions);
	if (rc == 0)
	{
		rc = set_attributes(&attr);
		if (rc == 0)
			rc = set_actions(&actions, output);
		if (rc == 0)
			rc =
				posix_spawnp(pid, argv[0], &actions, &attr, argv, environment);
		(void) posix_spawn_file_actions_destroy(&actions);
	}
	(void) posix_spawnattr_destroy(&attr);
out:
	free(environment);
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

static enum status
wait_for_exit(const char *what, pid_t pid, const struct deadline *d,
			  int *wait_status, struct err *err)
{
	for (;;)
	{
		pid_t got = waitpid(pid, wait_status, WNOHANG);

		if (got == pid)
			return ST_OK;
		if (got < 0 && errno != EINTR)
			return err_set_errno(err, ST_IO, errno, "could not wait for %s",
								 what);
		if (deadline_sleep(d, 1, err) != ST_OK)
			return err_context(err, "%s", what);
	}
}

static enum status
judge_exit(const char *what, int wait_status, struct err *err)
{
	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
		return ST_OK;
	if (WIFSIGNALED(wait_status))
		return err_set(err, ST_IO, "%s was ended by signal %d", what,
					   WTERMSIG(wait_status));
	return err_set(err, ST_IO, "%s failed with exit code %d", what,
				   WEXITSTATUS(wait_status));
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
	bool gone = false;
	enum status status = secret_alloc(max + 1, &memory, err);

	if (status == ST_OK)
		status =
			read_output(child->what, child->fd, d, memory, max, &len, err);
	if (status == ST_OK)
	{
		status = wait_for_exit(child->what, child->pid, d, &wait_status, err);
		gone = status == ST_OK;
	}
	if (!gone)
	{
		/* Until it is reaped, the group's id cannot be another's. */
		(void) kill(-child->pid, SIGKILL);
		while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	else
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
	int ends[2];
	int rc;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return err_set_errno(err, ST_IO, errno, "could not make a pipe");
	child.fd = ends[0];
	rc = spawn(argv, ends[1], &child.pid);
	(void) close(ends[1]);
	if (rc == 0)
		status = collect(&child, max, d, out, out_len, err);
	else
		status = err_set_errno(err, ST_IO, rc, "could not run %s", what);
	(void) close(ends[0]);
	return status;
}
