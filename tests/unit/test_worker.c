/*
 * test_worker.c - a short-lived process that works ahead
 *
 * The test is the postmaster of its workers, and writes what they need to
 * see; the workers write what the test needs to see into their spool.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "walship/worker.h"

#define WAIT_MS 20000

static char data[PATH_MAX];
static struct spool spool;

static void
write_pid(long pid)
{
	char path[PATH_MAX + 32];
	FILE *file;

	(void) snprintf(path, sizeof(path), "%s/postmaster.pid", data);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fprintf(file, "%ld\n%s\n1000\n", pid, data) > 0);
	assert_int_equal(fclose(file), 0);
}

static int
setup(void **state)
{
	char dir[] = "/tmp/test_worker.XXXXXX";

	(void) state;
	assert_non_null(mkdtemp(dir));
	(void) snprintf(data, sizeof(data), "%s/data", dir);
	(void) snprintf(spool.path, sizeof(spool.path), "%s/spool", dir);
	assert_int_equal(mkdir(data, 0700), 0);
	assert_int_equal(mkdir(spool.path, 0700), 0);
	spool.fd = open(spool.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(spool.fd >= 0);
	write_pid((long) getpid());
	/* Workers become our children, so that their exits can be seen. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	return 0;
}

static int
remove_all(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	assert_int_equal(closedir(dir), 0);
	return rmdir(path);
}

static int
teardown(void **state)
{
	(void) state;
	assert_int_equal(close(spool.fd), 0);
	assert_int_equal(remove_all(data), 0);
	assert_int_equal(remove_all(spool.path), 0);
	*strrchr(spool.path, '/') = '\0';
	return rmdir(spool.path);
}

/* Waits until a worker's file is there. */
static int
wait_text(const char *name, char *text, size_t room)
{
	int64_t until = clock_now_ms() + WAIT_MS;
	int len = -1;

	while (len < 0 && clock_now_ms() < until)
	{
		len = spool_read(&spool, name, text, room - 1);
		(void) usleep(1000);
	}
	assert_true(len >= 0);
	text[len] = '\0';
	return len;
}

static int
wait_exit(void)
{
	int wait_status;

	assert_true(waitpid(-1, &wait_status, 0) > 0);
	assert_true(WIFEXITED(wait_status));
	return WEXITSTATUS(wait_status);
}

/* What a worker's process looks like from inside. */
static int
describe(const struct worker *worker, void *arg)
{
	char text[PATH_MAX * 5];
	char cwd[PATH_MAX];
	char links[4][PATH_MAX] = {"", "", "", ""};
	unsigned open_fds = 0;

	for (int fd = 0; fd < 1024; fd++)
	{
		char path[64];

		if (fcntl(fd, F_GETFD) < 0)
			continue;
		open_fds++;
		(void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (fd < 3 && readlink(path, links[fd], sizeof(links[fd]) - 1) < 0)
			return 1;
	}
	(void) snprintf(text, sizeof(text),
					"pid %ld leader %d session %d fds %u in %s out %s "
					"err %s cwd %s server %ld wanted %d env %s",
					(long) getpid(), getsid(0) == getpid(),
					getsid(0) != *(pid_t *) arg, open_fds, links[0], links[1],
					links[2], getcwd(cwd, sizeof(cwd)),
					(long) worker->server.pid, worker_wanted(worker),
					getenv("TEST_WORKER"));
	return spool_write(&spool, "seen", text, strlen(text)) ? 0 : 1;
}

static void
process(void **state)
{
	pid_t session = getsid(0);
	struct worker_job job = {.spool = &spool,
							 .datadir = data,
							 .title = "test: working ahead",
							 .run = describe,
							 .arg = &session};
	char text[PATH_MAX * 3];
	char expected[PATH_MAX * 2];
	const char *rest;

	(void) state;
	assert_int_equal(worker_start(&job), WORKER_STARTED);
	(void) wait_text("seen", text, sizeof(text));
	assert_int_equal(wait_exit(), 0);
	rest = strstr(text, " leader ");
	assert_non_null(rest);
	(void) snprintf(expected, sizeof(expected),
					" leader 0 session 1 fds 5 in /dev/null out /dev/null "
					"err /dev/null cwd %s server %ld wanted 1 env kept",
					data, (long) getpid());
	assert_string_equal(rest, expected);
	assert_false(worker_runs(&spool));
	assert_true(fcntl(spool.fd, F_GETFD) >= 0);
}

/* Stays until it is not wanted any more. */
static int
linger(const struct worker *worker, void *arg)
{
	char pid[32];
	int n = snprintf(pid, sizeof(pid), "%ld", (long) getpid());

	(void) arg;
	if (n <= 0 || !spool_write(&spool, "pid", pid, (size_t) n))
		return 1;
	while (worker_wanted(worker))
		(void) usleep(1000);
	return *cli_cancel() != 0 ? 0 : 1;
}

static struct worker_job
lingering(void)
{
	return (struct worker_job){.spool = &spool,
							   .datadir = data,
							   .title = "test: lingering",
							   .run = linger};
}

static pid_t
start_lingering(void)
{
	struct worker_job job = lingering();
	char text[32];

	spool_remove(&spool, "pid");
	assert_int_equal(worker_start(&job), WORKER_STARTED);
	(void) wait_text("pid", text, sizeof(text));
	return (pid_t) strtol(text, NULL, 10);
}

static void
one_at_a_time(void **state)
{
	struct worker_job job = lingering();
	pid_t pid;
	int wait_status;
	int lock;

	(void) state;
	assert_false(worker_runs(&spool));
	pid = start_lingering();
	assert_true(worker_runs(&spool));
	assert_int_equal(worker_start(&job), WORKER_BUSY);
	assert_int_equal(worker_lock(&spool), -1);

	/* However it dies, its lock dies with it. */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &wait_status, 0), pid);
	assert_false(worker_runs(&spool));
	lock = worker_lock(&spool);
	assert_true(lock >= 0);
	assert_true(worker_runs(&spool));
	assert_int_equal(worker_start(&job), WORKER_BUSY);
	assert_int_equal(close(lock), 0);
	assert_false(worker_runs(&spool));
}

static void
title(void **state)
{
	char path[64];
	char text[64] = {0};
	pid_t pid = start_lingering();
	FILE *file;

	(void) state;
	(void) snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long) pid);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	assert_int_equal(fclose(file), 0);
	assert_string_equal(text, "test: lingering");
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(wait_exit(), 0);
}

static void
without_its_server(void **state)
{
	(void) state;
	(void) start_lingering();
	write_pid(getppid());
	assert_int_equal(wait_exit(), 0);
	write_pid((long) getpid());
}

/* Where no process may be left behind, or nobody can tell. */
static void
forbidden(void **state)
{
	struct worker_job job = lingering();
	struct spool none = {.fd = -1};
	char path[PATH_MAX + 32];

	(void) state;
	write_pid(1);
	assert_int_equal(worker_start(&job), WORKER_FORBIDDEN);
	write_pid(-(long) getpid());
	assert_int_equal(worker_start(&job), WORKER_FORBIDDEN);
	(void) snprintf(path, sizeof(path), "%s/postmaster.pid", data);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(worker_start(&job), WORKER_FORBIDDEN);
	write_pid((long) getpid());
	job.spool = &none;
	assert_int_equal(worker_start(&job), WORKER_FORBIDDEN);
	assert_false(worker_runs(&none));

	/* What lies in the lock's place is not followed. */
	(void) unlinkat(spool.fd, "lock", 0);
	assert_int_equal(symlinkat("elsewhere", spool.fd, "lock"), 0);
	job.spool = &spool;
	assert_int_equal(worker_start(&job), WORKER_FORBIDDEN);
	assert_int_equal(faccessat(spool.fd, "elsewhere", F_OK, 0), -1);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(process, setup, teardown),
		cmocka_unit_test_setup_teardown(one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(title, setup, teardown),
		cmocka_unit_test_setup_teardown(without_its_server, setup, teardown),
		cmocka_unit_test_setup_teardown(forbidden, setup, teardown),
	};

	worker_title_init(argc, argv);
	assert_int_equal(setenv("TEST_WORKER", "kept", 1), 0);
	cli_signals();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
