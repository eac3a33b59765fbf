#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/keep.h"

#define DAY INT64_C(86400)
#define SEG ((uint32_t) 16 << 20)
#define MAX 800
#define T0  INT64_C(1735689600) /* 2025-01-01, a Wednesday */

static struct timeline_entry on_1[] = {{1, 0, UINT64_MAX}};
static struct timeline_entry on_2[] = {{1, 0, 50 * (uint64_t) SEG},
									   {2, 50 * (uint64_t) SEG, UINT64_MAX}};
static const struct timeline_history one[] = {{1, 1, on_1}};
static const struct timeline_history two[] = {{1, 1, on_1}, {2, 2, on_2}};
static const struct keep_timelines single = {1, one};
static const struct keep_timelines forked = {2, two};

static struct backup_summary summaries[MAX];
static struct keep_backup backups[MAX];

/* Backup i: segments 10 i to 10 i + 1, ended at that time. */
static void
make(size_t i, uint32_t timeline, uint64_t segno, int64_t stop_time)
{
	summaries[i] =
		(struct backup_summary){.timeline = timeline,
								.start_lsn = segno * SEG + 0x28,
								.stop_lsn = (segno + 1) * SEG + 0x100,
								.stop_time = stop_time,
								.wal_segment_size = SEG};
	backups[i] = (struct keep_backup){.summary = &summaries[i], .good = true};
}

/* One a day, at noon. */
static void
make_daily(size_t n)
{
	for (size_t i = 0; i < n; i++)
		make(i, 1, 10 * i, T0 + (int64_t) i * DAY + DAY / 2);
}

static int64_t
end_of(size_t n)
{
	return T0 + (int64_t) n * DAY;
}

static void
test_last(void **state)
{
	struct keep_rules rules = {.last = 3, .within_s = KEEP_WITHIN_ALL};

	(void) state;
	make_daily(10);
	backups[8].good = false;
	assert_int_equal(keep_backups(&rules, end_of(10), &single, backups, 10),
					 3);
	assert_int_equal(backups[9].reasons, KEEP_LAST | KEEP_NEWEST);
	assert_int_equal(backups[8].reasons, 0);
	assert_int_equal(backups[7].reasons, KEEP_LAST);
	assert_int_equal(backups[6].reasons, KEEP_LAST);
	assert_int_equal(backups[5].reasons, 0);
}

static void
test_calendar(void **state)
{
	struct keep_rules rules = {.daily = 2,
							   .weekly = 2,
							   .monthly = 3,
							   .yearly = 2,
							   .within_s = KEEP_WITHIN_ALL};

	(void) state;
	make_daily(400); /* up to 2026-02-04, a Wednesday */
	(void) keep_backups(&rules, end_of(400), &single, backups, 400);
	assert_int_equal(backups[399].reasons, KEEP_DAILY | KEEP_WEEKLY |
											   KEEP_MONTHLY | KEEP_YEARLY |
											   KEEP_NEWEST);
	assert_int_equal(backups[398].reasons, KEEP_DAILY);
	assert_int_equal(backups[397].reasons, 0);
	assert_int_equal(backups[396].reasons, KEEP_WEEKLY);  /* Sunday */
	assert_int_equal(backups[395].reasons, KEEP_MONTHLY); /* January 31 */
	assert_int_equal(backups[364].reasons, KEEP_MONTHLY | KEEP_YEARLY);
	assert_int_equal(backups[333].reasons, 0);
}

/* Two of a day: the newer by LSN, though its clock was set back. */
static void
test_clock_set_back(void **state)
{
	struct keep_rules rules = {.daily = 2, .within_s = KEEP_WITHIN_ALL};

	(void) state;
	make(0, 1, 0, T0 + 5);
	make(1, 1, 10, T0 + DAY);
	make(2, 1, 20, T0 + 3);
	make(3, 1, 30, T0 + DAY + 5);
	assert_int_equal(keep_backups(&rules, end_of(4), &single, backups, 4), 2);
	assert_int_equal(backups[3].reasons & KEEP_DAILY, KEEP_DAILY);
	assert_int_equal(backups[2].reasons & KEEP_DAILY, KEEP_DAILY);
}

static void
test_window(void **state)
{
	struct keep_rules rules = {.within_s = 3 * DAY};

	(void) state;
	make_daily(10);
	assert_int_equal(keep_backups(&rules, end_of(10), &single, backups, 10),
					 4);
	assert_int_equal(backups[6].reasons, KEEP_WINDOW);
	assert_int_equal(backups[7].reasons, KEEP_WITHIN);
	assert_true(keep_window_lsn(&rules, backups, 10) ==
				summaries[6].start_lsn);
}

/* The window's first moments were spent on timeline 2, forked off at 50. */
static void
test_window_on_timelines(void **state)
{
	struct keep_rules rules = {.within_s = 2 * DAY};

	(void) state;
	make(0, 1, 40, T0);            /* before the fork */
	make(1, 1, 60, T0 + 1 * DAY);  /* abandoned */
	make(2, 2, 55, T0 + 10 * DAY); /* in the window */
	(void) keep_backups(&rules, T0 + 11 * DAY, &forked, backups, 3);
	assert_int_equal(backups[0].reasons, KEEP_WINDOW);
	assert_int_equal(backups[1].reasons, KEEP_WINDOW);

	/* Later nobody can want timeline 1 any more. */
	(void) keep_backups(&rules, T0 + 13 * DAY, &forked, backups, 3);
	assert_int_equal(backups[0].reasons, 0);
	assert_int_equal(backups[1].reasons, 0);
	assert_int_equal(backups[2].reasons, KEEP_WINDOW | KEEP_NEWEST);
}

static void
test_never_none(void **state)
{
	struct keep_rules rules = {.within_s = KEEP_WITHIN_ALL};

	(void) state;
	make_daily(3);
	backups[2].good = false;
	assert_int_equal(keep_backups(&rules, end_of(3), &single, backups, 3), 1);
	assert_int_equal(backups[1].reasons, KEEP_NEWEST);
	rules.none_left = true;
	assert_int_equal(keep_backups(&rules, end_of(3), &single, backups, 3), 0);
}

/* The newest holds its WAL even where no history leads anywhere from it. */
static void
test_newest_has_a_window(void **state)
{
	struct keep_rules rules = {.within_s = DAY};

	(void) state;
	make(0, 1, 40, T0);
	make(1, 2, 60, T0 + DAY); /* the history of 2 is lost */
	(void) keep_backups(&rules, T0 + 9 * DAY, &single, backups, 1);
	(void) keep_backups(&rules, T0 + 9 * DAY, &single, backups + 1, 1);
	assert_int_equal(backups[0].reasons, KEEP_WINDOW | KEEP_NEWEST);
	assert_int_equal(backups[1].reasons, KEEP_NEWEST);
	assert_true(keep_window_lsn(&rules, backups + 1, 1) ==
				summaries[1].start_lsn);
}

static bool
needed(const struct keep_wal *wal, const char *text)
{
	struct wal_name name;
	struct err err;

	assert_int_equal(wal_name_parse(&name, text, &err), ST_OK);
	return keep_wal_needed(wal, &name);
}

static void
test_wal(void **state)
{
	struct keep_rules rules = {.last = 1, .within_s = 1};
	struct keep_wal wal = {
		.backups = backups, .nbackups = 5, .segment_size = SEG};

	(void) state;
	make_daily(5);
	backups[1].pinned = true;
	(void) keep_backups(&rules, end_of(5), &single, backups, 5);
	wal.window_lsn = keep_window_lsn(&rules, backups, 5);
	assert_true(wal.window_lsn == summaries[4].start_lsn);
	assert_false(needed(&wal, "000000010000000000000009"));
	assert_true(needed(&wal, "00000001000000000000000A"));
	assert_true(needed(&wal, "00000001000000000000000A.00000028.backup"));
	assert_true(needed(&wal, "00000001000000000000000B"));
	assert_false(needed(&wal, "00000002000000000000000B"));
	assert_false(needed(&wal, "00000001000000000000000C"));
	assert_false(needed(&wal, "00000001000000000000000C.partial"));
	assert_false(needed(&wal, "000000010000000000000027"));
	assert_true(needed(&wal, "000000010000000000000028"));
	assert_true(needed(&wal, "000000020000000000000028"));
	assert_true(needed(&wal, "000000010000000100000000"));
	assert_true(needed(&wal, "00000002.history"));
}

/* A pin alone does not hold the WAL behind it. */
static void
test_pin_has_no_window(void **state)
{
	struct keep_rules rules = {.last = 2, .within_s = KEEP_WITHIN_ALL};

	(void) state;
	make_daily(5);
	backups[0].pinned = true;
	(void) keep_backups(&rules, end_of(5), &single, backups, 5);
	assert_int_equal(backups[0].reasons, KEEP_PINNED);
	assert_true(keep_window_lsn(&rules, backups, 5) == summaries[3].start_lsn);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last),
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_clock_set_back),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_window_on_timelines),
		cmocka_unit_test(test_never_none),
		cmocka_unit_test(test_newest_has_a_window),
		cmocka_unit_test(test_wal),
		cmocka_unit_test(test_pin_has_no_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
