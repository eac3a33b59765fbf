/*
 * test_notify.c - what notify_command gets, and what becomes of it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/notify.h"

static char dir[] = "/tmp/walship-test-notify-XXXXXX";
static char file[64];

static enum status
run_with(const char *command, const char *text, size_t len, int64_t limit_ms,
		 struct err *err)
{
	struct deadline d = deadline_in(limit_ms, NULL);

	return notify_run(command, text, len, &d, err);
}

static enum status
run(const char *command, struct err *err)
{
	return run_with(command, "{}\n", 3, 60000, err);
}

/* What the command left in the file, as a number. */
static pid_t
noted_pid(void)
{
	char line[32] = "";
	FILE *f = fopen(file, "r");
	long pid;

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof line, f));
	assert_int_equal(fclose(f), 0);
	assert_int_equal(unlink(file), 0);
	pid = strtol(line, NULL, 10);
	assert_true(pid > 1);
	return (pid_t) pid;
}

/* A child of ours that nobody has reaped would still be there. */
static void
assert_gone(pid_t pid)
{
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

static void
test_input(void **state)
{
	size_t len = (size_t) 3 << 20;
	char *text = malloc(len);
	struct err err;

	(void) state;
	assert_non_null(text);
	memset(text, 'x', len);
	assert_int_equal(run("test \"$(cat)\" = '{}'", &err), ST_OK);
	assert_int_equal(run("test \"$(head -c1)\" = '{'; cat", &err), ST_OK);
	/* More than any pipe holds, read in whole, in part, not at all. */
	assert_int_equal(
		run_with("test $(wc -c) = 3145728", text, len, 60000, &err), ST_OK);
	assert_int_equal(run_with("head -c1", text, len, 60000, &err), ST_OK);
	assert_int_equal(run_with("exec <&-", text, len, 60000, &err), ST_OK);
	free(text);
}

static void
test_surroundings(void **state)
{
	struct err err;
	int inherited = dup(STDERR_FILENO);

	(void) state;
	assert_true(inherited > STDERR_FILENO);
	assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	assert_int_equal(run("test $(ls /proc/self/fd | wc -l) = 4", &err), ST_OK);
	for (int fd = 1; fd <= 2; fd++)
	{
		char command[64];

		(void) snprintf(command, sizeof command,
						"test $(readlink /proc/$$/fd/%d) = /dev/null", fd);
		assert_int_equal(run(command, &err), ST_OK);
	}
	assert_int_equal(run("test $(pwd) = /", &err), ST_OK);
	assert_int_equal(
		run("grep -q '^SigIgn:.*0000000$' /proc/self/status", &err), ST_OK);
	assert_int_equal(run("test $(ps -o pgid= -p $$) = $$", &err), ST_OK);
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	assert_int_equal(close(inherited), 0);
}

static void
test_environment(void **state)
{
	static const char *const hidden[] = {"WALSHIP_S3_SECRET_ACCESS_KEY",
										 "WALSHIP_S3_SESSION_TOKEN",
										 "WALSHIP_KEY_COMMAND",
										 "AWS_SECRET_ACCESS_KEY",
										 "AWS_SESSION_TOKEN",
										 "PGPASSWORD",
										 "NOTIFYING",
										 "PATHS"};
	static const char *const shown[] = {"NOTIFY_URL", "WALSHIP_CONFIG",
										"https_proxy", "LC_TIME"};
	char command[128];
	struct err err;

	(void) state;
	for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
	{
		assert_int_equal(setenv(hidden[i], "hush", 1), 0);
		(void) snprintf(command, sizeof command, "test -z \"$%s\"", hidden[i]);
		assert_int_equal(run(command, &err), ST_OK);
	}
	assert_int_equal(run("! env | grep -q hush", &err), ST_OK);
	for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
		assert_int_equal(unsetenv(hidden[i]), 0);
	for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
	{
		assert_int_equal(setenv(shown[i], "/x", 1), 0);
		(void) snprintf(command, sizeof command, "test \"$%s\" = /x",
						shown[i]);
		assert_int_equal(run(command, &err), ST_OK);
		assert_int_equal(unsetenv(shown[i]), 0);
	}
}

static void
test_outcomes(void **state)
{
	struct err err;

	(void) state;
	assert_int_equal(run("exit 3", &err), ST_IO);
	assert_string_equal(err.message, "notify_command failed with exit code 3");
	assert_string_equal(err.hint, "");
	assert_int_equal(run("/no/such/program", &err), ST_IO);
	assert_string_equal(err.message,
						"notify_command failed with exit code 127");
	assert_non_null(strstr(err.hint, "cannot find"));
	assert_int_equal(run("/dev/null", &err), ST_IO);
	assert_string_equal(err.message,
						"notify_command failed with exit code 126");
	assert_non_null(strstr(err.hint, "may not run"));
	assert_int_equal(run("kill -9 $$", &err), ST_IO);
	assert_string_equal(err.message, "notify_command was ended by signal 9");
	assert_int_equal(run("head -c 5000000 /dev/zero", &err), ST_OK);
}

/* Nothing outlives it, whatever it does with signals and parents. */
static void
test_group(void **state)
{
	static const char *const lasting[] = {
		"echo $$ > $NOTIFY_FILE; exec sleep 1000",
		"trap '' TERM HUP INT; echo $$ > $NOTIFY_FILE; sleep 1000; sleep 1000",
		"(sleep 1000 & echo $! > $NOTIFY_FILE); sleep 1000",
		"sleep 1000 & echo $! > $NOTIFY_FILE; wait"};
	struct err err;

	(void) state;
	assert_int_equal(setenv("NOTIFY_FILE", file, 1), 0);
	for (size_t i = 0; i < sizeof lasting / sizeof lasting[0]; i++)
	{
		assert_int_equal(run_with(lasting[i], "", 0, 1000, &err), ST_DEADLINE);
		assert_gone(noted_pid());
	}
	assert_int_equal(run("sleep 1000 & echo $! > $NOTIFY_FILE", &err), ST_OK);
	assert_gone(noted_pid());
	assert_int_equal(unsetenv("NOTIFY_FILE"), 0);
}

static void
test_cancelled(void **state)
{
	volatile sig_atomic_t flag = SIGTERM;
	struct deadline d = deadline_in(-1, &flag);
	struct err err;

	(void) state;
	assert_int_equal(notify_run("sleep 1000", "", 0, &d, &err), ST_CANCELLED);
}

static int
setup(void **state)
{
	(void) state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void) snprintf(file, sizeof file, "%s/pid", dir);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	(void) unlink(file);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_surroundings),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_group),
		cmocka_unit_test(test_cancelled),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
