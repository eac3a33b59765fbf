/*
 * test_status_window.c - windows and gaps on small archives
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/status_window.h"

#define SIZE ((uint32_t) 16 << 20)

/* Timeline 2 forked off 1 within segment 20. */
static struct timeline_entry both[] = {{1, 0, 20ULL * SIZE + 0x100},
									   {2, 20ULL * SIZE + 0x100, UINT64_MAX}};
static struct timeline_entry alone = {1, 0, UINT64_MAX};
static const struct timeline_history on_1 = {1, 1, &alone};
static const struct timeline_history on_2 = {2, 2, both};

static struct backup_summary summaries[8];
static const struct backup_summary *backups[8];
static size_t nbackups;

/* A backup within one segment. */
static void
add_backup(uint32_t timeline, uint64_t segno)
{
	struct backup_summary *b = &summaries[nbackups];

	*b = (struct backup_summary){.timeline = timeline,
								 .start_lsn = segno * SIZE + 0x28,
								 .stop_lsn = segno * SIZE + 0x1000,
								 .stop_time = (int64_t) segno,
								 .wal_segment_size = SIZE};
	backups[nbackups++] = b;
}

static struct wal_line lines[2];
static const struct wal_map map = {
	.segment_size = SIZE, .nlines = 2, .lines = lines};

static void
add_wal(uint32_t timeline, uint64_t first, uint64_t last)
{
	struct err err;

	assert_int_equal(wal_line_add(&lines[timeline - 1], first, last,
								  1000 + (int64_t) last, &err),
					 ST_OK);
}

static int
begin(void **state)
{
	(void) state;
	nbackups = 0;
	lines[0] = (struct wal_line){.timeline = 1};
	lines[1] = (struct wal_line){.timeline = 2};
	return 0;
}

static int
end(void **state)
{
	(void) state;
	free(lines[0].stretches);
	free(lines[1].stretches);
	return 0;
}

/*
 * As text: "5-9(2)" is a window from the end of the backup in segment 5 up to
 * and with segment 9, with two backups; "!1:6-7" is a gap on timeline 1.
 */
static const char *
find(const struct timeline_history *history, uint64_t from_segno)
{
	static char text[512];
	struct timeline_windows w;
	struct err err;
	size_t at = 0;

	text[0] = '\0';
	assert_int_equal(timeline_windows_find(history, &map, backups, nbackups,
										   from_segno * SIZE, &w, &err),
					 ST_OK);
	for (size_t i = 0; i < w.nwindows; i++)
		at += (size_t) snprintf(
			text + at, sizeof(text) - at, "%s%d-%d(%zu)", at > 0 ? " " : "",
			(int) (w.windows[i].from_lsn / SIZE),
			(int) (w.windows[i].to_lsn / SIZE) - 1, w.windows[i].nbackups);
	for (size_t i = 0; i < w.ngaps; i++)
		at += (size_t) snprintf(text + at, sizeof(text) - at, "%s!%d:%d-%d",
								at > 0 ? " " : "", (int) w.gaps[i].timeline,
								(int) w.gaps[i].first, (int) w.gaps[i].last);
	assert_int_equal(w.gaps_found, w.ngaps);
	timeline_windows_free(&w);
	return text;
}

static void
test_whole(void **state)
{
	(void) state;
	assert_string_equal(find(&on_1, 0), "");
	add_wal(1, 3, 18);
	assert_string_equal(find(&on_1, 0), "");
	add_backup(1, 5);
	add_backup(1, 10);
	assert_string_equal(find(&on_1, 0), "5-18(2)");
	assert_string_equal(find(&on_1, 6), "10-18(1)");
	assert_string_equal(find(&on_1, 11), "");
}

static void
test_gaps(void **state)
{
	(void) state;
	add_backup(1, 5);
	add_backup(1, 12);
	add_wal(1, 5, 6);
	add_wal(1, 8, 9);
	add_wal(1, 11, 18);
	/* What lies between two gaps without a backup leads nowhere. */
	assert_string_equal(find(&on_1, 0), "5-6(1) 12-18(1) !1:7-7 !1:10-10");
	assert_string_equal(find(&on_1, 12), "12-18(1)");
}

/* A backup that lacks its own WAL is none, and its gap is still told. */
static void
test_backup_without_wal(void **state)
{
	(void) state;
	add_backup(1, 5);
	add_backup(1, 8);
	add_wal(1, 5, 7);
	add_wal(1, 9, 10);
	assert_false(window_backup_whole(&map, backups[1]));
	assert_string_equal(find(&on_1, 0), "5-7(1) !1:8-8");
	summaries[0].wal_segment_size = SIZE * 2;
	assert_string_equal(find(&on_1, 0), "");
}

static void
test_fork(void **state)
{
	(void) state;
	add_backup(1, 5);
	add_backup(2, 22);
	add_wal(1, 5, 25);
	add_wal(2, 20, 30);
	assert_string_equal(find(&on_1, 0), "5-25(1)");
	assert_string_equal(find(&on_2, 0), "5-30(2)");
}

/* The segment of the fork is whole on the new timeline only. */
static void
test_gap_at_the_fork(void **state)
{
	(void) state;
	add_backup(1, 5);
	add_wal(1, 5, 25);
	add_wal(2, 21, 30);
	assert_string_equal(find(&on_2, 0), "5-19(1) !2:20-20");
}

static void
test_gap_before_the_fork(void **state)
{
	(void) state;
	add_backup(1, 5);
	add_wal(1, 5, 17);
	add_wal(2, 20, 30);
	assert_string_equal(find(&on_1, 0), "5-17(1)");
	assert_string_equal(find(&on_2, 0), "5-17(1) !1:18-19");
}

/* A timeline that has begun, and has no segment yet. */
static void
test_new_timeline(void **state)
{
	(void) state;
	add_backup(1, 5);
	add_wal(1, 5, 20);
	assert_string_equal(find(&on_2, 0), "5-19(1)");
}

/* When the last segment was stored is known of whole stretches only. */
static void
test_times(void **state)
{
	struct timeline_windows w;
	struct err err;

	(void) state;
	add_backup(1, 5);
	add_wal(1, 5, 25);
	assert_int_equal(
		timeline_windows_find(&on_1, &map, backups, nbackups, 0, &w, &err),
		ST_OK);
	assert_int_equal(w.windows[0].from_s, 5);
	assert_int_equal(w.windows[0].to_s, 1025);
	timeline_windows_free(&w);
	assert_int_equal(
		timeline_windows_find(&on_2, &map, backups, nbackups, 0, &w, &err),
		ST_OK);
	assert_int_equal(w.windows[0].to_s, 0);
	timeline_windows_free(&w);

	summaries[0].stop_time = 2000;
	assert_int_equal(
		timeline_windows_find(&on_1, &map, backups, nbackups, 0, &w, &err),
		ST_OK);
	assert_int_equal(w.windows[0].from_s, 2000);
	assert_int_equal(w.windows[0].to_s, 2000);
	timeline_windows_free(&w);
}

static const char *
draw(const struct timeline_history *history, char *out, size_t width)
{
	struct timeline_windows w;
	struct err err;

	assert_int_equal(
		timeline_windows_find(history, &map, backups, nbackups, 0, &w, &err),
		ST_OK);
	window_draw(&w, history, backups, nbackups, SIZE, out, width);
	timeline_windows_free(&w);
	return out;
}

static void
test_picture(void **state)
{
	char out[64];

	(void) state;
	assert_string_equal(draw(&on_1, out, 10), "          ");
	add_backup(1, 0);
	add_backup(1, 10);
	add_wal(1, 0, 19);
	assert_string_equal(draw(&on_1, out, 21), "B=========B==========");
	assert_int_equal(end(state) + begin(state), 0);
	add_backup(1, 0);
	add_backup(1, 12);
	add_wal(1, 0, 4);
	add_wal(1, 8, 19);
	assert_string_equal(draw(&on_1, out, 21), "B====xxx    B========");
	/* Also a gap that is much smaller than a character. */
	assert_int_equal(end(state) + begin(state), 0);
	add_backup(1, 0);
	add_backup(1, 1000);
	add_wal(1, 0, 499);
	add_wal(1, 501, 1999);
	assert_non_null(strchr(draw(&on_1, out, 5), 'x'));
	/* And one behind which no backup begins another window. */
	assert_int_equal(end(state) + begin(state), 0);
	add_backup(1, 0);
	add_wal(1, 0, 9);
	add_wal(1, 11, 19);
	assert_string_equal(draw(&on_1, out, 10), "B========x");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, begin, end),
		cmocka_unit_test_setup_teardown(test_gaps, begin, end),
		cmocka_unit_test_setup_teardown(test_backup_without_wal, begin, end),
		cmocka_unit_test_setup_teardown(test_fork, begin, end),
		cmocka_unit_test_setup_teardown(test_gap_at_the_fork, begin, end),
		cmocka_unit_test_setup_teardown(test_gap_before_the_fork, begin, end),
		cmocka_unit_test_setup_teardown(test_new_timeline, begin, end),
		cmocka_unit_test_setup_teardown(test_times, begin, end),
		cmocka_unit_test_setup_teardown(test_picture, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
