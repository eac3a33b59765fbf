/*
 * worker.c - a short-lived process that works ahead of the server's calls
 */
#include "walship/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cli.h"
#include "walship/detach.h"

#define LOCK_FILE "lock"

/* Descriptors are collected here before the rest is closed. */
#define FD_LOCK  (STDERR_FILENO + 1)
#define FD_SPOOL (STDERR_FILENO + 2)
#define FD_ABOVE 16

/* --- title ---------------------------------------------------------------
 */

/* The memory of the command line and, behind it, the environment. */
static char *title_room;
static size_t title_room_bytes;

void
worker_title_init(int argc, char **argv)
{
	char *end;

	if (argc < 1)
		return;
	end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
	for (char **entry = environ; entry != NULL && *entry == end; entry++)
		end += strlen(*entry) + 1;
	title_room = argv[0];
	title_room_bytes = (size_t) (end - argv[0]);
}

/* Out of the title's room; false if out of memory. */
static bool
move_environment(void)
{
	size_t count = 0;
	char **copy;

	while (environ != NULL && environ[count] != NULL)
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy != NULL && i < count; i++)
		if ((copy[i] = strdup(environ[i])) == NULL)
			return false;
	if (copy != NULL)
		environ = copy;
	return copy != NULL;
}

static void
set_title(const char *title)
{
	/* The name that top shows, cut to 15 bytes by the kernel. */
	(void) prctl(PR_SET_NAME, title, 0, 0, 0);
	if (title_room == NULL || title_room_bytes == 0 || !move_environment())
		return;
	memset(title_room, 0, title_room_bytes);
	(void) snprintf(title_room, title_room_bytes, "%s", title);
}

/* --- lock ----------------------------------------------------------------
 */

static int
open_lock(const struct spool *spool, int flags)
{
	struct stat st;
	int fd;

	if (spool->fd < 0)
		return -1;
	fd = openat(spool->fd, LOCK_FILE,
				O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags,
				S_IRUSR | S_IWUSR);
	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)))
	{
		(void) close(fd);
		fd = -1;
	}
	return fd;
}

int
worker_lock(const struct spool *spool)
{
	int fd = open_lock(spool, O_CREAT);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		(void) close(fd);
		fd = -1;
	}
	return fd;
}

bool
worker_runs(const struct spool *spool)
{
	int fd = open_lock(spool, 0);
	bool held;

	if (fd < 0)
		return false;
	held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	(void) close(fd);
	return held;
}

/* --- process -------------------------------------------------------------
 */

/* The lock, the spool and /dev/null stay; false if they cannot. */
static bool
keep_descriptors(int lock, const struct spool *spool)
{
	int high_lock = fcntl(lock, F_DUPFD, FD_ABOVE);
	int high_spool = fcntl(spool->fd, F_DUPFD, FD_ABOVE);
	int null = open("/dev/null", O_RDWR);

	if (high_lock < 0 || high_spool < 0 || null < 0)
		return false;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			return false;
	if (dup3(high_lock, FD_LOCK, O_CLOEXEC) < 0 ||
		dup3(high_spool, FD_SPOOL, O_CLOEXEC) < 0)
		return false;
	closefrom(FD_SPOOL + 1);
	return true;
}

struct start
{
	const struct worker_job *job;
	struct worker worker;
	int lock;
};

static _Noreturn void
be_worker(void *arg)
{
	const struct start *start = arg;
	const struct worker_job *job = start->job;

	if (chdir(job->datadir) != 0 || !keep_descriptors(start->lock, job->spool))
		_exit(1);
	job->spool->fd = FD_SPOOL;
	(void) signal(SIGALRM, SIG_DFL);
	set_title(job->title);
	_exit(job->run(&start->worker, job->arg) == 0 ? 0 : 1);
}

enum worker_outcome
worker_start(const struct worker_job *job)
{
	struct start start = {.job = job};
	bool started;

	if (!postmaster_read(job->datadir, &start.worker.server) ||
		start.worker.server.pid == 1 ||
		!postmaster_runs(job->datadir, &start.worker.server))
		return WORKER_FORBIDDEN;
	start.lock = worker_lock(job->spool);
	if (start.lock < 0)
		return worker_runs(job->spool) ? WORKER_BUSY : WORKER_FORBIDDEN;
	started = detach(be_worker, &start);
	(void) close(start.lock);
	return started ? WORKER_STARTED : WORKER_FORBIDDEN;
}

bool
worker_wanted(const struct worker *worker)
{
	if (*cli_cancel() != 0)
		return false;
	if (postmaster_runs(".", &worker->server))
		return true;
	/* Whatever other threads wait for, they look at the flag. */
	(void) raise(SIGTERM);
	return false;
}
