/*
 * test_fetch_gap.c - the end of the archive, or a gap
 *
 * Against a directory repository, with objects of no content where only
 * their names count.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/config.h"
#include "common/key.h"
#include "walship/fetch_gap.h"

#define MB16  ((uint32_t) 16 << 20)
#define SYSID ((uint64_t) 7301234567890123456)

struct world
{
	char dir[64];
	char url[96];
	struct config cfg;
	struct keyring *ring;
	struct repo repo;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err;

	assert_non_null(w);
	(void) strcpy(w->dir, "/tmp/test_fetch_gap.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void) snprintf(w->url, sizeof(w->url), "file://%s", w->dir);
	w->cfg.repository = w->url;
	w->cfg.encryption = ENCRYPTION_NONE;
	w->cfg.command_timeout_ms = 60000;
	assert_int_equal(keyring_none(&w->ring, &err), ST_OK);
	assert_int_equal(repo_open(&w->repo, &w->cfg, w->ring, SYSID, &err),
					 ST_OK);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;
	char command[128];

	repo_close(&w->repo);
	keyring_free(w->ring);
	(void) snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
	assert_int_equal(system(command), 0); /* NOLINT: our own directory */
	free(w);
	return 0;
}

static void
archive(struct world *w, uint32_t timeline, const char *file,
		const char *content)
{
	char name[OBJECT_NAME_MAX + 1];
	struct err err;

	(void) snprintf(name, sizeof(name), "wal/%08X/%s", timeline, file);
	assert_int_equal(repo_put_bytes(&w->repo, OBJECT_WAL, name, content,
									strlen(content), &err),
					 ST_OK);
}

static enum status
find(struct world *w, const char *segment, bool *gap, struct err *err)
{
	struct fetch_behind behind = {.gap = false};
	struct wal_name name;
	enum status status;

	assert_int_equal(wal_name_parse(&name, segment, err), ST_OK);
	status = fetch_gap_find(&w->repo, &name, MB16, &behind, err);
	*gap = behind.gap;
	return status;
}

static void
assert_gap(struct world *w, const char *segment, const char *because)
{
	struct err err;
	bool gap;

	assert_int_equal(find(w, segment, &gap, &err), ST_OK);
	assert_true(gap);
	assert_non_null(strstr(err.message, segment));
	assert_non_null(strstr(err.message, because));
}

static void
assert_end(struct world *w, const char *segment)
{
	struct err err;
	bool gap;

	assert_int_equal(find(w, segment, &gap, &err), ST_OK);
	assert_false(gap);
}

static void
same_timeline(void **state)
{
	struct world *w = *state;

	assert_end(w, "000000010000000000000005");
	archive(w, 1, "000000010000000000000004", "");
	assert_end(w, "000000010000000000000005");
	/* What belongs to the absent segment itself is not behind it. */
	archive(w, 1, "000000010000000000000005.partial", "");
	archive(w, 1, "000000010000000000000005.00000028.backup", "");
	archive(w, 1, "000000010000000000000005.0123456789abcdef", "");
	assert_end(w, "000000010000000000000005");
	archive(w, 1, "000000010000000000000007", "");
	assert_gap(w, "000000010000000000000005", "000000010000000000000007");
	assert_gap(w, "000000010000000000000006", "000000010000000000000007");
	assert_end(w, "000000010000000000000008");
}

static void
partial_of_the_segment(void **state)
{
	struct world *w = *state;
	struct fetch_behind behind;
	struct wal_name name;
	struct err err;

	assert_int_equal(wal_name_parse(&name, "000000010000000000000005", &err),
					 ST_OK);
	archive(w, 1, "000000010000000000000004.partial", "");
	archive(w, 1, "000000010000000000000005.partial.0123456789abcdef", "");
	assert_int_equal(fetch_gap_find(&w->repo, &name, MB16, &behind, &err),
					 ST_OK);
	assert_false(behind.gap || behind.partial);
	archive(w, 1, "000000010000000000000005.partial", "");
	assert_int_equal(fetch_gap_find(&w->repo, &name, MB16, &behind, &err),
					 ST_OK);
	assert_true(!behind.gap && behind.partial);
}

/* More than a page of a newer timeline hides nothing behind it. */
static void
more_than_a_page(void **state)
{
	struct world *w = *state;

	archive(w, 2, "00000002.history", "1\t0/3800000\treason\n");
	for (unsigned i = 0; i < 1100; i++)
	{
		char path[160];
		FILE *file;

		(void) snprintf(path, sizeof(path),
						"%s/%" PRIu64 "/wal/00000002/%08X%08X%08X", w->dir,
						SYSID, 2U, i / 256, i % 256);
		file = fopen(path, "w");
		assert_non_null(file);
		assert_int_equal(fclose(file), 0);
	}
	assert_end(w, "000000010000000000000003");
	archive(w, 7, "00000007.history", "1\t0/9000000\treason\n");
	assert_gap(w, "000000010000000000000003", "timeline 7");
}

static void
later_in_another_group(void **state)
{
	struct world *w = *state;

	archive(w, 1, "000000010000000100000000.partial", "");
	assert_gap(w, "0000000100000000000000FE", "000000010000000100000000");
	assert_end(w, "000000010000000100000000");
}

/* The directory of a timeline also holds its history, which comes first. */
static void
own_history_is_not_later(void **state)
{
	struct world *w = *state;

	archive(w, 2, "00000002.history", "1\t0/5800000\treason\n");
	assert_end(w, "000000020000000000000005");
}

static void
fork_behind(void **state)
{
	struct world *w = *state;

	archive(w, 2, "00000002.history", "1\t0/5800000\treason\n");
	assert_gap(w, "000000010000000000000004", "timeline 2");
	/* Segment 5 of timeline 1 goes on as segment 5 of timeline 2. */
	assert_end(w, "000000010000000000000005");
	assert_end(w, "000000010000000000000006");
}

static void
fork_at_the_boundary(void **state)
{
	struct world *w = *state;

	archive(w, 2, "00000002.history", "1\t0/6000000\treason\n");
	assert_gap(w, "000000010000000000000005", "timeline 2");
	assert_end(w, "000000010000000000000006");
}

static void
fork_of_a_grandchild(void **state)
{
	struct world *w = *state;

	archive(w, 2, "00000002.history", "1\t0/3800000\treason\n");
	archive(w, 5, "00000005.history",
			"1\t0/3800000\treason\n2\t0/7800000\treason\n");
	assert_gap(w, "000000020000000000000006", "timeline 5");
	assert_end(w, "000000020000000000000007");
	assert_gap(w, "000000010000000000000002", "timeline 2");
	assert_end(w, "000000010000000000000003");
	/* Timeline 3 is nobody's ancestor. */
	assert_end(w, "000000030000000000000001");
}

static void
history_that_cannot_be_read(void **state)
{
	struct world *w = *state;
	struct err err;
	bool gap;

	archive(w, 2, "000000020000000000000006", "");
	assert_int_equal(find(w, "000000010000000000000004", &gap, &err),
					 ST_CONFIG);
	archive(w, 2, "00000002.history", "what is this\n");
	assert_int_equal(find(w, "000000010000000000000004", &gap, &err),
					 ST_CORRUPT);
	/* An older timeline cannot have forked off this one. */
	assert_end(w, "000000030000000000000004");
}

static void
segment_size_of_a_directory(void **state)
{
	struct world *w = *state;
	char path[160];
	int (*const cut)(const char *, off_t) = truncate;
	FILE *file;

	assert_int_equal(fetch_gap_segment_size("/nonexistent"),
					 WAL_SEGMENT_SIZE_MIN);
	assert_int_equal(fetch_gap_segment_size(w->dir), WAL_SEGMENT_SIZE_MIN);
	(void) snprintf(path, sizeof(path), "%s/RECOVERYXLOG", w->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(cut(path, 8192), 0);
	assert_int_equal(fetch_gap_segment_size(w->dir), WAL_SEGMENT_SIZE_MIN);
	(void) snprintf(path, sizeof(path), "%s/000000010000000000000003", w->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(fetch_gap_segment_size(w->dir), WAL_SEGMENT_SIZE_MIN);
	assert_int_equal(cut(path, MB16), 0);
	assert_int_equal(fetch_gap_segment_size(w->dir), MB16);
}

int
main(void)
{
#define GAP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		GAP_TEST(same_timeline),
		GAP_TEST(partial_of_the_segment),
		GAP_TEST(more_than_a_page),
		GAP_TEST(later_in_another_group),
		GAP_TEST(own_history_is_not_later),
		GAP_TEST(fork_behind),
		GAP_TEST(fork_at_the_boundary),
		GAP_TEST(fork_of_a_grandchild),
		GAP_TEST(history_that_cannot_be_read),
		GAP_TEST(segment_size_of_a_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
