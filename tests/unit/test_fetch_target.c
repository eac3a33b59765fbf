/*
 * test_fetch_target.c - the file that wal-fetch makes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "walship/fetch_target.h"

struct world
{
	char dir[64];
	char path[128];
	struct fetch_target target;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err;

	assert_non_null(w);
	(void) strcpy(w->dir, "/tmp/test_fetch_target.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void) snprintf(w->path, sizeof(w->path), "%s/RECOVERYXLOG", w->dir);
	assert_int_equal(fetch_target_open(&w->target, w->path, &err), ST_OK);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	fetch_target_abort(&w->target);
	(void) unlink(w->path);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

static int
count_files(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
			strcmp(entry->d_name, "..") != 0)
			n++;
	assert_int_equal(closedir(dir), 0);
	return n;
}

static void
assert_content(const char *path, const char *content)
{
	char got[64] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_int_equal(fread(got, 1, sizeof(got) - 1, f), strlen(content));
	assert_string_equal(got, content);
	assert_int_equal(fclose(f), 0);
}

static void
nothing_is_seen_before(void **state)
{
	struct world *w = *state;
	struct err err;
	struct stat st;

	assert_int_equal(fetch_target_write(&w->target, "hello ", 6, &err), ST_OK);
	assert_int_equal(fetch_target_write(&w->target, "world", 5, &err), ST_OK);
	assert_true(w->target.len_bytes == 11);
	assert_memory_equal(w->target.head, "hello world", 11);
	assert_int_equal(count_files(w->dir), 0);
	assert_int_equal(fetch_target_publish(&w->target, &err), ST_OK);
	assert_int_equal(count_files(w->dir), 1);
	assert_content(w->path, "hello world");
	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_mode & (S_IWGRP | S_IRWXO | S_IXUSR), 0);
}

static void
aborted(void **state)
{
	struct world *w = *state;
	struct err err;

	assert_int_equal(fetch_target_write(&w->target, "x", 1, &err), ST_OK);
	fetch_target_abort(&w->target);
	assert_int_equal(count_files(w->dir), 0);
	fetch_target_abort(&w->target);
}

static void
replaces(void **state)
{
	struct world *w = *state;
	struct err err;
	FILE *f = fopen(w->path, "w");

	assert_non_null(f);
	assert_int_equal(fputs("a longer old content", f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(fetch_target_write(&w->target, "new", 3, &err), ST_OK);
	assert_int_equal(fetch_target_publish(&w->target, &err), ST_OK);
	fetch_target_abort(&w->target);
	assert_int_equal(count_files(w->dir), 1);
	assert_content(w->path, "new");
}

static void
first_bytes_in_pieces(void **state)
{
	struct world *w = *state;
	uint8_t bytes[100];
	struct err err;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t) i;
	for (size_t i = 0; i < sizeof(bytes); i += 20)
		assert_int_equal(fetch_target_write(&w->target, bytes + i, 20, &err),
						 ST_OK);
	assert_memory_equal(w->target.head, bytes, WAL_LONG_HEADER_BYTES);
	w->target.len_bytes = WAL_SEGMENT_SIZE_MAX;
	assert_int_equal(fetch_target_write(&w->target, bytes, 1, &err),
					 ST_CORRUPT);
}

static void
paths_that_cannot_be(void **state)
{
	struct world *w = *state;
	struct fetch_target target;
	char path[256];
	struct err err;

	(void) snprintf(path, sizeof(path), "%s/none/file", w->dir);
	assert_int_equal(fetch_target_open(&target, path, &err), ST_IO);
	(void) snprintf(path, sizeof(path), "%s/", w->dir);
	assert_int_equal(fetch_target_open(&target, path, &err), ST_CONFIG);
	/* A directory has the name. */
	assert_int_equal(mkdir(w->path, 0700), 0);
	assert_int_equal(fetch_target_write(&w->target, "x", 1, &err), ST_OK);
	assert_int_equal(fetch_target_publish(&w->target, &err), ST_IO);
	fetch_target_abort(&w->target);
	assert_int_equal(count_files(w->dir), 1);
	assert_int_equal(rmdir(w->path), 0);
}

int
main(void)
{
#define TARGET_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TARGET_TEST(nothing_is_seen_before),
		TARGET_TEST(aborted),
		TARGET_TEST(replaces),
		TARGET_TEST(first_bytes_in_pieces),
		TARGET_TEST(paths_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
