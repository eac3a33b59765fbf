/*
 * test_wal_file.c - a WAL file in pg_wal, read while others touch it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "walship/wal_file.h"

static const char text[] = "1\t0/3000148\tno recovery target specified\n";

struct world
{
	char dir[64];
	char path[128];
	struct wal_file file;
};

static void
write_file(const char *path, const char *content)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fputs(content, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err;

	assert_non_null(w);
	(void) strcpy(w->dir, "/tmp/test_wal_file.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void) snprintf(w->path, sizeof(w->path), "%s/00000002.history", w->dir);
	write_file(w->path, text);
	assert_int_equal(wal_file_open(&w->file, w->path, 1, &err), ST_OK);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	wal_file_close(&w->file);
	(void) unlink(w->path);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

static void
reads_all_and_no_more(void **state)
{
	struct world *w = *state;
	char got[sizeof(text)] = "";
	struct err err;

	assert_true(w->file.size_bytes == sizeof(text) - 1);
	assert_int_equal(wal_file_read(&w->file, got, 5, &err), ST_OK);
	assert_int_equal(wal_file_read(&w->file, got + 5, sizeof(text) - 6, &err),
					 ST_OK);
	assert_string_equal(got, text);
	assert_int_equal(wal_file_read(&w->file, got, 1, &err), ST_IO);
	assert_non_null(strstr(err.message, w->path));
	wal_file_rewind(&w->file);
	assert_int_equal(wal_file_read(&w->file, got, 1, &err), ST_OK);
	assert_int_equal(wal_file_unchanged(&w->file, &err), ST_OK);
}

static void
written_to(void **state)
{
	struct world *w = *state;
	struct err err;
	int fd = open(w->path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "2", 1, 0), 1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(wal_file_unchanged(&w->file, &err), ST_IO);
	assert_non_null(strstr(err.message, "changed while"));
}

/* Times can be set back; the time of the change itself cannot. */
static void
written_to_and_times_set_back(void **state)
{
	struct world *w = *state;
	struct timespec times[2] = {w->file.opened.st_atim,
								w->file.opened.st_mtim};
	struct err err;

	written_to(state);
	assert_int_equal(utimensat(AT_FDCWD, w->path, times, 0), 0);
	assert_int_equal(wal_file_unchanged(&w->file, &err), ST_IO);
}

static void
cut_off(void **state)
{
	struct world *w = *state;
	char got[sizeof(text)];
	struct err err;

	assert_int_equal(truncate(w->path, 7), 0);
	assert_int_equal(wal_file_read(&w->file, got, sizeof(text) - 1, &err),
					 ST_IO);
	assert_int_equal(wal_file_unchanged(&w->file, &err), ST_IO);
}

/* What was opened is still whole, but not what the name means any more. */
static void
recycled(void **state)
{
	struct world *w = *state;
	char other[160];
	struct err err;

	(void) snprintf(other, sizeof(other), "%s/other", w->dir);
	assert_int_equal(rename(w->path, other), 0);
	assert_int_equal(wal_file_unchanged(&w->file, &err), ST_IO);
	assert_int_equal(rename(other, w->path), 0);
}

int
main(void)
{
#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		FILE_TEST(reads_all_and_no_more),
		FILE_TEST(written_to),
		FILE_TEST(written_to_and_times_set_back),
		FILE_TEST(cut_off),
		FILE_TEST(recycled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
