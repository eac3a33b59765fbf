/*
 * test_ready.c - the WAL files that wait to be archived
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "walship/ready.h"

static char data[] = "/tmp/test_ready.XXXXXX";
static int status_fd;

static void
make(const char *name)
{
	int fd = openat(status_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

static void
drop(const char *name)
{
	assert_int_equal(unlinkat(status_fd, name, 0), 0);
}

static void
numbered(int number, char name[40])
{
	(void) snprintf(name, 40, "0000000100000000%08X.ready", number);
}

static int
setup(void **state)
{
	char path[64];

	(void) state;
	(void) snprintf(data, sizeof(data), "/tmp/test_ready.XXXXXX");
	assert_non_null(mkdtemp(data));
	(void) snprintf(path, sizeof(path), "%s/pg_wal", data);
	assert_int_equal(mkdir(path, 0700), 0);
	(void) snprintf(path, sizeof(path), "%s/pg_wal/archive_status", data);
	assert_int_equal(mkdir(path, 0700), 0);
	status_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(status_fd >= 0);
	return 0;
}

static int
teardown(void **state)
{
	char path[64];

	(void) state;
	assert_int_equal(close(status_fd), 0);
	(void) snprintf(path, sizeof(path), "%s/pg_wal/archive_status", data);
	assert_int_equal(rmdir(path), 0);
	(void) snprintf(path, sizeof(path), "%s/pg_wal", data);
	assert_int_equal(rmdir(path), 0);
	return rmdir(data);
}

static void
order(void **state)
{
	(void) state;
	assert_true(ready_order("00000002.history", "000000010000000000000001") <
				0);
	assert_true(ready_order("000000010000000000000001", "00000002.history") >
				0);
	assert_true(ready_order("00000002.history", "00000003.history") < 0);
	assert_true(ready_order("000000010000000000000001",
							"000000010000000000000002") < 0);
	assert_true(ready_order("000000010000000000000001",
							"000000010000000000000001.00000028.backup") < 0);
	assert_int_equal(ready_order("00000002.history", "00000002.history"), 0);
}

static void
note_gone(void *arg, const char *name)
{
	(void) strncat(arg, name + strlen(name) - 1, 1);
}

/* What is known keeps its state; what has gone is told. */
static void
reading(void **state)
{
	static const char *const names[] = {
		"000000010000000000000002.ready",
		"00000002.history.ready",
		"000000010000000000000003.ready",
		"000000010000000000000001.ready",
		"000000010000000000000004.done",
		"0000000100000000000000zz.ready",
		"RECOVERYXLOG.ready",
		".ready",
	};
	struct ready *ready = calloc(1, sizeof(*ready));
	char gone[16] = "";

	(void) state;
	assert_non_null(ready);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		make(names[i]);
	assert_true(ready_open(ready, data));
	assert_true(ready_changed(ready));
	ready_read(ready, note_gone, gone);
	assert_int_equal(ready->count, 4);
	assert_string_equal(ready->files[0].name, "00000002.history");
	assert_string_equal(ready->files[1].name, "000000010000000000000001");
	assert_string_equal(ready->files[3].name, "000000010000000000000003");
	assert_ptr_equal(ready_first(ready, READY_TODO), &ready->files[0]);
	assert_null(ready_first(ready, READY_DONE));

	ready->files[0].state = READY_DONE;
	ready->files[2].state = READY_BUSY;
	drop("000000010000000000000001.ready");
	make("000000010000000000000000.ready");
	assert_true(ready_changed(ready));
	ready_read(ready, note_gone, gone);
	assert_string_equal(gone, "1");
	assert_int_equal(ready->count, 4);
	assert_int_equal(ready_find(ready, "00000002.history")->state, READY_DONE);
	assert_int_equal(ready_find(ready, "000000010000000000000002")->state,
					 READY_BUSY);
	assert_string_equal(ready_first(ready, READY_TODO)->name,
						"000000010000000000000000");
	assert_null(ready_find(ready, "000000010000000000000001"));
	ready_close(ready);
	free(ready);

	assert_true(ready_is(data, "00000002.history"));
	assert_false(ready_is(data, "000000010000000000000004"));
	assert_true(ready_others(data, "00000002.history"));
	drop("000000010000000000000000.ready");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (i != 3)
			drop(names[i]);
}

/* Of many, the first are kept, in whatever order they are found. */
static void
many(void **state)
{
	struct ready *ready = calloc(1, sizeof(*ready));
	const int total = 3 * READY_MAX;
	char name[40];

	(void) state;
	assert_non_null(ready);
	for (int i = 0; i < total; i++)
	{
		numbered((i * 7 + 5) % total, name);
		make(name);
	}
	assert_true(ready_open(ready, data));
	ready_read(ready, NULL, NULL);
	assert_int_equal(ready->count, READY_MAX);
	for (int i = 0; i < READY_MAX; i++)
	{
		numbered(i, name);
		*strrchr(name, '.') = '\0';
		assert_string_equal(ready->files[i].name, name);
		ready->files[i].state = READY_DONE;
	}
	numbered(0, name);
	drop(name);
	ready_read(ready, NULL, NULL);
	assert_int_equal(ready->count, READY_MAX);
	numbered(READY_MAX, name);
	*strrchr(name, '.') = '\0';
	assert_ptr_equal(ready_first(ready, READY_TODO),
					 &ready->files[READY_MAX - 1]);
	assert_string_equal(ready->files[READY_MAX - 1].name, name);
	ready_close(ready);
	free(ready);
	for (int i = 1; i < total; i++)
	{
		numbered(i, name);
		drop(name);
	}
}

static void
alone(void **state)
{
	struct ready *ready = calloc(1, sizeof(*ready));

	(void) state;
	assert_non_null(ready);
	assert_false(ready_open(ready, "/nonexistent"));
	ready_close(ready);
	free(ready);
	make("000000010000000000000001.ready");
	make("000000010000000000000002.done");
	assert_false(ready_others(data, "000000010000000000000001"));
	assert_false(ready_others("/nonexistent", "000000010000000000000001"));
	drop("000000010000000000000001.ready");
	drop("000000010000000000000002.done");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),
		cmocka_unit_test_setup_teardown(reading, setup, teardown),
		cmocka_unit_test_setup_teardown(many, setup, teardown),
		cmocka_unit_test_setup_teardown(alone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
