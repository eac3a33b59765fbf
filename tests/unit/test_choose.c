#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/choose.h"

#define MB 0x100000U

/*
 * Timeline 1 from the start, 2 forked off it at 0/5000000, 3 off 2 at
 * 0/8000000.  Backups: a and b on 1 before the fork, c on 1 behind it, d on
 * 2, e on 3.
 */
static struct timeline_entry entries[] = {
	{1, 0, 0x5000000}, {2, 0x5000000, 0x8000000}, {3, 0x8000000, UINT64_MAX}};
static struct timeline_entry first = {1, 0, UINT64_MAX};
static const struct timeline_history on_1 = {1, 1, &first};
static const struct timeline_history on_3 = {3, 3, entries};

static const struct backup_summary a = {.id = "a",
										.timeline = 1,
										.start_lsn = 0x2000000,
										.stop_lsn = 0x2000100,
										.start_time = 1000,
										.stop_time = 1010,
										.server_clock = true};
static const struct backup_summary b = {.id = "b",
										.timeline = 1,
										.start_lsn = 0x4000000,
										.stop_lsn = 0x4000100,
										.start_time = 2000,
										.stop_time = 2010,
										.server_clock = true};
static const struct backup_summary c = {.id = "c",
										.timeline = 1,
										.start_lsn = 0x4FFFF00,
										.stop_lsn = 0x5000100,
										.start_time = 3000,
										.stop_time = 3010,
										.server_clock = true};
static const struct backup_summary d = {.id = "d",
										.timeline = 2,
										.start_lsn = 0x6000000,
										.stop_lsn = 0x6000100,
										.start_time = 4000,
										.stop_time = 4010,
										.server_clock = true};
static const struct backup_summary e = {.id = "e",
										.timeline = 3,
										.start_lsn = 0x9000000,
										.stop_lsn = 0x9000100,
										.start_time = 5000,
										.stop_time = 5010,
										.server_clock = true};
static const struct backup_summary *const all[] = {&a, &b, &c, &d, &e};

static const struct recovery_target to_end = {.kind = TARGET_END};

static struct recovery_target
at_time(int64_t micros)
{
	return (struct recovery_target){.kind = TARGET_TIME, .time_us = micros};
}

static struct recovery_target
at_lsn(uint64_t lsn)
{
	return (struct recovery_target){.kind = TARGET_LSN, .lsn = lsn};
}

/* The id of the chosen one, or the error's message. */
static const char *
choose(const struct timeline_history *history, struct recovery_target target,
	   const char *id)
{
	static struct err err;
	size_t out = 99;

	memset(&err, 0, sizeof(err));
	if (choose_backup(all, 5, history, &target, id, &out, &err) == ST_OK)
		return all[out]->id;
	assert_int_equal(out, 99);
	assert_true(err.status == ST_CONFIG || err.status == ST_MISSING);
	assert_string_not_equal(err.hint, "");
	return err.message;
}

static void
test_newest(void **state)
{
	(void) state;
	assert_string_equal(choose(&on_3, to_end, NULL), "e");
	assert_string_equal(choose(&on_1, to_end, NULL), "c");
}

static void
test_time(void **state)
{
	(void) state;
	assert_string_equal(choose(&on_3, at_time(5010000000), NULL), "e");
	assert_string_equal(choose(&on_3, at_time(5009999999), NULL), "d");
	assert_string_equal(choose(&on_3, at_time(3500000000), NULL), "b");
	assert_string_equal(choose(&on_1, at_time(3500000000), NULL), "c");
	assert_string_equal(choose(&on_1, at_time(1010000000), NULL), "a");
	assert_string_equal(choose(&on_1, at_time(1009999999), NULL),
						"the target 1970-01-01 00:16:49.999999+00 lies "
						"before the end of every backup");
}

static void
test_lsn(void **state)
{
	(void) state;
	assert_string_equal(choose(&on_3, at_lsn(0x9000100), NULL), "e");
	assert_string_equal(choose(&on_3, at_lsn(0x90000FF), NULL), "d");
	assert_string_equal(choose(&on_3, at_lsn(0x5000200), NULL), "b");
	assert_string_equal(choose(&on_1, at_lsn(0x5000200), NULL), "c");
	assert_string_equal(choose(&on_1, at_lsn(0x2000000), NULL),
						"the target 0/2000000 lies before the end of every "
						"backup");
}

static void
test_named(void **state)
{
	(void) state;
	assert_string_equal(choose(&on_3, to_end, "a"), "a");
	assert_string_equal(choose(&on_3, at_lsn(0x9000100), "d"), "d");
	assert_string_equal(
		choose(&on_3, to_end, "c"),
		"backup c ended after the next timeline had forked off at 0/5000000");
	assert_string_equal(choose(&on_1, to_end, "d"),
						"backup d does not lead to timeline 1");
	assert_string_equal(
		choose(&on_3, at_lsn(0x3000000), "d"),
		"the target 0/3000000 lies before the end of backup d");
	assert_string_equal(choose(&on_3, to_end, "x"),
						"there is no backup \"x\"");
}

static void
test_none(void **state)
{
	static const struct backup_summary *const only_e[] = {&e};
	struct err err;
	size_t out;

	(void) state;
	assert_int_equal(choose_backup(NULL, 0, &on_1, &to_end, NULL, &out, &err),
					 ST_MISSING);
	assert_int_equal(
		choose_backup(only_e, 1, &on_1, &to_end, NULL, &out, &err), ST_CONFIG);
	assert_string_equal(err.message, "no backup leads to timeline 1");
}

/* The nearest possible target is named. */
static void
test_hint(void **state)
{
	struct recovery_target early = at_time(0), low = at_lsn(1);
	struct err err;
	size_t out;

	(void) state;
	assert_int_equal(choose_backup(all, 5, &on_3, &early, NULL, &out, &err),
					 ST_CONFIG);
	assert_string_equal(err.hint, "The earliest possible is 1970-01-01 "
								  "00:16:50+00, with backup a.");
	assert_int_equal(choose_backup(all, 5, &on_3, &low, NULL, &out, &err),
					 ST_CONFIG);
	assert_string_equal(err.hint,
						"The earliest possible is 0/2000100, with backup a.");
}

static void
test_limit(void **state)
{
	struct recovery_target t = at_time(2500000000);
	struct backup_summary other = d;
	const struct backup_summary *const client[] = {&a, &b, &other};

	(void) state;
	assert_true(choose_limit(all, 5, &on_3, &t) == 0x6000100);
	assert_true(choose_limit(all, 5, &on_1, &t) == 0x5000100);
	t = at_time(3999000000);
	assert_true(choose_limit(all, 5, &on_3, &t) == 0x9000100);
	t = at_time(3998999999);
	assert_true(choose_limit(all, 5, &on_3, &t) == 0x6000100);
	t = at_time(9000000000);
	assert_true(choose_limit(all, 5, &on_3, &t) == UINT64_MAX);
	t = at_lsn(0x7000000);
	assert_true(choose_limit(all, 5, &on_3, &t) == 0x7000000);
	assert_true(choose_limit(all, 5, &on_3, &to_end) == UINT64_MAX);

	/* The client's clock says nothing about the server's. */
	other.server_clock = false;
	t = at_time(2500000000);
	assert_true(choose_limit(client, 3, &on_3, &t) == UINT64_MAX);
}

static void
check_spans(const struct timeline_history *history, uint32_t timeline,
			uint64_t start, uint64_t end, const char *expected)
{
	struct wal_span spans[3];
	char text[256] = "";
	size_t len = 0;
	size_t n = choose_spans(history, timeline, start, end, MB, spans);

	for (size_t i = 0; i < n; i++)
		len += (size_t) snprintf(text + len, sizeof(text) - len,
								 "%u:%llx-%llx ", spans[i].timeline,
								 (unsigned long long) spans[i].first,
								 (unsigned long long) spans[i].last);
	assert_string_equal(text, expected);
}

static void
test_spans(void **state)
{
	static struct timeline_entry inside[] = {{1, 0, 0x5080000},
											 {2, 0x5080000, 0x5090000},
											 {3, 0x5090000, UINT64_MAX}};
	static const struct timeline_history within = {3, 3, inside};

	(void) state;
	check_spans(&on_1, 1, 0x2000028, 0x2000100, "1:20-20 ");
	check_spans(&on_1, 1, 0x2000028, 0x2FFFFFF, "1:20-2f ");
	check_spans(&on_1, 1, 0x2000028, 0x3000000, "1:20-30 ");
	check_spans(&on_1, 1, 0x2000028, UINT64_MAX, "1:20-ffffffffffffffff ");
	check_spans(&on_3, 1, 0x2000028, UINT64_MAX,
				"1:20-4f 2:50-7f 3:80-ffffffffffffffff ");
	check_spans(&on_3, 1, 0x2000028, 0x6000000, "1:20-4f 2:50-60 ");
	check_spans(&on_3, 1, 0x2000028, 0x4F00000, "1:20-4f ");
	check_spans(&on_3, 2, 0x6000028, 0x6000100, "2:60-60 ");

	/* Forks within a segment: it is the newest timeline's. */
	check_spans(&within, 1, 0x4000028, UINT64_MAX,
				"1:40-4f 3:50-ffffffffffffffff ");
	check_spans(&within, 1, 0x5000028, 0x5040000, "3:50-50 ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest), cmocka_unit_test(test_time),
		cmocka_unit_test(test_lsn),    cmocka_unit_test(test_named),
		cmocka_unit_test(test_none),   cmocka_unit_test(test_hint),
		cmocka_unit_test(test_limit),  cmocka_unit_test(test_spans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
