#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/archive_wait.h"

#define MB(n) ((uint64_t) (n) << 20)

static void
expect_segments(const struct wal_range *ranges, size_t n, size_t i,
				uint64_t first, uint64_t last)
{
	uint64_t got_first;
	uint64_t got_last;

	assert_true(
		wal_range_segments(ranges, n, i, MB(16), &got_first, &got_last));
	assert_true(got_first == first);
	assert_true(got_last == last);
}

static void
test_one_timeline(void **state)
{
	const struct wal_range within = {1, MB(32) + 40, MB(32) + 300};
	const struct wal_range to_boundary = {1, MB(32) + 40, MB(48)};
	const struct wal_range across = {1, MB(32) + 40, MB(64) + 1};

	(void) state;
	expect_segments(&within, 1, 0, 2, 2);
	expect_segments(&to_boundary, 1, 0, 2, 2);
	expect_segments(&across, 1, 0, 2, 4);
}

/* The segment of the switch is the newer timeline's. */
static void
test_timeline_switch(void **state)
{
	const struct wal_range ranges[] = {{1, MB(32) + 40, MB(64) + 100},
									   {2, MB(64) + 100, MB(80) + 7}};
	const struct wal_range soon[] = {{1, MB(64) + 40, MB(64) + 100},
									 {2, MB(64) + 100, MB(64) + 700}};
	const struct wal_range boundary[] = {{1, MB(32) + 40, MB(64)},
										 {2, MB(64), MB(64) + 700}};
	uint64_t first;
	uint64_t last;

	(void) state;
	expect_segments(ranges, 2, 0, 2, 3);
	expect_segments(ranges, 2, 1, 4, 5);
	assert_false(wal_range_segments(soon, 2, 0, MB(16), &first, &last));
	expect_segments(soon, 2, 1, 4, 4);
	expect_segments(boundary, 2, 0, 2, 3);
	expect_segments(boundary, 2, 1, 4, 4);
}

/* A store that only lists, and forgets one key until the third time. */
struct listing
{
	struct store base;
	const char *const *keys;
	const char *late;
	unsigned lists;
};

static enum status
list(struct store *store, const char *prefix, const char *start_after,
	 bool shallow, store_lister lister, void *arg, struct err *err)
{
	struct listing *l = (struct listing *) store;
	enum status status = ST_OK;

	assert_false(shallow);
	l->lists++;
	for (size_t i = 0; l->keys[i] != NULL && status == ST_OK; i++)
	{
		struct store_entry entry = {.key = l->keys[i]};

		if (strncmp(entry.key, prefix, strlen(prefix)) != 0 ||
			(start_after != NULL && strcmp(entry.key, start_after) <= 0) ||
			(l->late != NULL && strcmp(entry.key, l->late) == 0 &&
			 l->lists < 3))
			continue;
		status = lister(arg, &entry, err);
	}
	return status;
}

static const struct store_ops list_ops = {.list = list};

static enum status
wait_with(struct listing *l, int64_t timeout_ms, struct err *err)
{
	static const struct wal_range ranges[] = {{1, MB(32) + 40, MB(64) + 100},
											  {2, MB(64) + 100, MB(80) + 7}};
	struct repo repo = {.store = &l->base, .system_identifier = 7};
	const struct archive_wait wait = {.ranges = ranges,
									  .nranges = 2,
									  .segment_size = MB(16),
									  .timeout_ms = timeout_ms};

	l->base.ops = &list_ops;
	store_set_deadline(&l->base, deadline_in(-1, NULL));
	return archive_wait(&repo, &wait, err);
}

static void
test_all_there(void **state)
{
	static const char *const keys[] = {
		"7/wal/00000001/000000010000000000000001",
		"7/wal/00000001/000000010000000000000002",
		"7/wal/00000001/000000010000000000000002.00000028.backup",
		"7/wal/00000001/000000010000000000000003",
		"7/wal/00000001/000000010000000000000004.partial",
		"7/wal/00000002/000000020000000000000004",
		"7/wal/00000002/000000020000000000000005",
		"7/wal/00000002/00000002.history",
		NULL};
	struct listing l = {.keys = keys};
	struct err err;

	(void) state;
	assert_int_equal(wait_with(&l, 0, &err), ST_OK);
	assert_int_equal(l.lists, 2);
}

static void
test_waits_for_late_segment(void **state)
{
	static const char *const keys[] = {
		"7/wal/00000001/000000010000000000000002",
		"7/wal/00000001/000000010000000000000003",
		"7/wal/00000002/000000020000000000000004",
		"7/wal/00000002/000000020000000000000005", NULL};
	struct listing l = {.keys = keys, .late = keys[1]};
	struct err err;

	(void) state;
	assert_int_equal(wait_with(&l, 60000, &err), ST_OK);
	assert_int_equal(l.lists, 4);
}

static void
test_gap_is_named(void **state)
{
	static const char *const gap[] = {
		"7/wal/00000001/000000010000000000000002",
		"7/wal/00000001/000000010000000000000003.partial",
		"7/wal/00000001/000000010000000000000004", NULL};
	static const char *const none[] = {NULL};
	static const char *const end[] = {
		"7/wal/00000001/000000010000000000000002",
		"7/wal/00000001/000000010000000000000003",
		"7/wal/00000002/000000020000000000000004",
		"7/wal/00000002/000000020000000000000006", NULL};
	struct listing l = {.keys = gap};
	struct err err;

	(void) state;
	assert_int_equal(wait_with(&l, 0, &err), ST_DEADLINE);
	assert_non_null(strstr(err.message, "000000010000000000000003 "));
	assert_non_null(strstr(err.detail, "000000010000000000000003.partial"));
	l = (struct listing){.keys = none};
	assert_int_equal(wait_with(&l, 0, &err), ST_DEADLINE);
	assert_non_null(strstr(err.message, "000000010000000000000002 "));
	l = (struct listing){.keys = end};
	assert_int_equal(wait_with(&l, 0, &err), ST_DEADLINE);
	assert_non_null(strstr(err.message, "000000020000000000000005 "));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_timeline),
		cmocka_unit_test(test_timeline_switch),
		cmocka_unit_test(test_all_there),
		cmocka_unit_test(test_waits_for_late_segment),
		cmocka_unit_test(test_gap_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
