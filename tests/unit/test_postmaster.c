/*
 * test_postmaster.c - the server that runs on a data directory
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "walship/postmaster.h"

static void
text(void **state)
{
	static const char good[] = "4711\n/var/lib/postgresql/15/main\n"
							   "1795222800\n5432\n/tmp\nlocalhost\n";
	static const char *const bad[] = {
		"",
		"4711",
		"4711\n",
		"4711\n/data\n",
		"4711\n/data\n1795222800",
		"-4711\n/data\n1795222800\n",
		"0\n/data\n1795222800\n",
		" 4711\n/data\n1795222800\n",
		"4711x\n/data\n1795222800\n",
		"99999999999\n/data\n1795222800\n",
		"4711\n/data\n\n",
		"4711\n/data\nlater\n",
		"471100000000000000000000000000\n/data\n1795222800\n",
	};
	struct postmaster p = {.pid = 1};

	(void) state;
	assert_true(postmaster_parse(good, sizeof(good) - 1, &p));
	assert_int_equal(p.pid, 4711);
	assert_true(p.started_s == 1795222800);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(postmaster_parse(bad[i], strlen(bad[i]), &p));
	assert_false(postmaster_parse("47\0001\n/d\n17952\n", 15, &p));
}

static void
write_pid(pid_t pid, const char *started)
{
	FILE *file = fopen("postmaster.pid", "w");

	assert_non_null(file);
	assert_true(fprintf(file, "%ld\n/data\n%s\n", (long) pid, started) > 0);
	assert_int_equal(fclose(file), 0);
}

static void
alive(void **state)
{
	char dir[] = "/tmp/test_postmaster.XXXXXX";
	struct postmaster p;
	pid_t child;

	(void) state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_false(postmaster_read(".", &p));

	child = fork();
	assert_true(child >= 0);
	if (child == 0)
	{
		(void) pause();
		_exit(0);
	}
	write_pid(child, "1000");
	assert_true(postmaster_read(dir, &p));
	assert_true(postmaster_runs(dir, &p));
	/* Another server, by its start or its process. */
	write_pid(child, "1001");
	assert_false(postmaster_runs(".", &p));
	write_pid(getpid(), "1000");
	assert_false(postmaster_runs(".", &p));
	/* Killed: its file stays. */
	write_pid(child, "1000");
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_false(postmaster_runs(".", &p));
	/* Stopped: it is gone. */
	assert_int_equal(unlink("postmaster.pid"), 0);
	assert_false(postmaster_runs(".", &p));
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text),
		cmocka_unit_test(alive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
