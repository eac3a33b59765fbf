/*
 * test_timeline.c - timeline history files
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/timeline.h"

static enum status
parse(uint32_t timeline, const char *text, struct timeline_history *h,
	  struct err *err)
{
	return timeline_history_parse(timeline, text, strlen(text), h, err);
}

static void
root_covers_everything(void **state)
{
	struct timeline_history h;
	struct err err;

	(void) state;
	assert_int_equal(timeline_history_root(1, &h, &err), ST_OK);
	assert_int_equal(h.timeline, 1);
	assert_int_equal(h.nentries, 1);
	assert_int_equal(h.entries[0].timeline, 1);
	assert_true(h.entries[0].begin == 0);
	assert_true(h.entries[0].end == UINT64_MAX);
	assert_ptr_equal(timeline_history_find(&h, 1), &h.entries[0]);
	assert_null(timeline_history_find(&h, 2));
	assert_ptr_equal(timeline_history_at(&h, 0), &h.entries[0]);
	timeline_history_free(&h);
	timeline_history_free(&h);
}

static void
file_of_a_real_server(void **state)
{
	struct timeline_history h;
	struct err err;

	(void) state;
	assert_int_equal(parse(4,
						   "1\t0/3000148\tno recovery target specified\n"
						   "\n"
						   "3\t16/B374D848\tbefore 2026-11-21 01:02:03+00\n",
						   &h, &err),
					 ST_OK);
	assert_int_equal(h.nentries, 3);
	assert_int_equal(h.entries[0].timeline, 1);
	assert_true(h.entries[0].begin == 0);
	assert_true(h.entries[0].end == 0x3000148);
	assert_int_equal(h.entries[1].timeline, 3);
	assert_true(h.entries[1].begin == 0x3000148);
	assert_true(h.entries[1].end == 0x16B374D848);
	assert_int_equal(h.entries[2].timeline, 4);
	assert_true(h.entries[2].begin == 0x16B374D848);
	assert_int_equal(timeline_history_at(&h, 0x3000147)->timeline, 1);
	assert_int_equal(timeline_history_at(&h, 0x3000148)->timeline, 3);
	assert_int_equal(timeline_history_at(&h, 0x16B374D848)->timeline, 4);
	assert_null(timeline_history_find(&h, 2));
	timeline_history_free(&h);
}

static void
grammar_of_the_server(void **state)
{
	static const char *const good[] = {
		"# comment\n1\t0/1\n",
		"  \t# comment\n  1  0/1\n",
		"1\t0/1",
		"1\t0/1\r\n",
		"1\t0/1\treason with 2\t3/4 in it",
		"\n\n1\t0/1\n\n",
		"00001\t00000000/00000001\n",
		"1\t0/a\n",
	};
	struct timeline_history h;
	struct err err;

	(void) state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		assert_int_equal(parse(2, good[i], &h, &err), ST_OK);
		assert_int_equal(h.nentries, 2);
		timeline_history_free(&h);
	}
}

static void
broken_files(void **state)
{
	static const struct
	{
		const char *text;
		const char *where;
	} cases[] = {
		{"x\n", "line 1:"},
		{"1\n", "line 1:"},
		{"1\t\n", "line 1:"},
		{"1\t0\n", "line 1:"},
		{"1\t0/\n", "line 1:"},
		{"1\t/0\n", "line 1:"},
		{"1 0/1x\n", "line 1:"},
		{"10/1\n", "line 1:"},
		{"-1\t0/1\n", "line 1:"},
		{"0\t0/1\n", "line 1:"},
		{"4294967297\t0/1\n", "line 1:"},
		{"1\t0/100000000\n", "line 1:"},
		{"1\t0/1\n1\t0/2\n", "line 2:"},
		{"2\t0/1\n\n1\t0/2\n", "line 3:"},
		{"1\t0/1\n5\t0/2\n", "line 2:"},
		{"6\t0/1\n", "line 1:"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct timeline_history h = {.nentries = 99};
		struct err err;

		assert_int_equal(parse(5, cases[i].text, &h, &err), ST_CORRUPT);
		assert_non_null(strstr(err.message, cases[i].where));
		assert_int_equal(h.nentries, 99);
	}
}

static void
bytes_that_are_no_text(void **state)
{
	static const char text[] = "1\t0/1\0\n";
	struct timeline_history h;
	struct err err;

	(void) state;
	assert_int_equal(
		timeline_history_parse(2, text, sizeof(text) - 1, &h, &err),
		ST_CORRUPT);
	/* A file cut within its last line's switch point is what it says. */
	assert_int_equal(timeline_history_parse(2, "1\t0/12", 5, &h, &err), ST_OK);
	assert_true(h.entries[0].end == 1);
	timeline_history_free(&h);
}

/*
 * A recovery towards timeline 2 that stopped before 2 began: the server
 * searches the newest first, so nothing belongs to 2.
 */
static void
switch_points_that_go_back(void **state)
{
	struct timeline_history h;
	struct err err;

	(void) state;
	assert_int_equal(parse(3, "1\t0/5000000\n2\t0/4000000\n", &h, &err),
					 ST_OK);
	assert_int_equal(timeline_history_at(&h, 0x3FFFFFF)->timeline, 1);
	assert_int_equal(timeline_history_at(&h, 0x4000000)->timeline, 3);
	assert_int_equal(timeline_history_at(&h, 0x5000000)->timeline, 3);
	for (size_t i = 1; i < h.nentries; i++)
	{
		assert_true(h.entries[i].begin == h.entries[i - 1].end);
		assert_true(h.entries[i].begin <= h.entries[i].end);
	}
	timeline_history_free(&h);
}

static void
number_of_ancestors_is_bounded(void **state)
{
	size_t room = (size_t) (TIMELINES_MAX + 1) * 24;
	char *text = malloc(room);
	size_t len = 0;
	size_t most = 0;
	struct timeline_history h;
	struct err err;

	(void) state;
	assert_non_null(text);
	for (int i = 1; i <= TIMELINES_MAX + 1; i++)
	{
		most = len;
		len += (size_t) snprintf(text + len, room - len, "%d\t0/%X\n", i, i);
	}
	assert_int_equal(timeline_history_parse(100000, text, len, &h, &err),
					 ST_CORRUPT);
	assert_int_equal(timeline_history_parse(100000, text, most, &h, &err),
					 ST_OK);
	assert_int_equal(h.nentries, TIMELINES_MAX + 1);
	timeline_history_free(&h);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_covers_everything),
		cmocka_unit_test(file_of_a_real_server),
		cmocka_unit_test(grammar_of_the_server),
		cmocka_unit_test(broken_files),
		cmocka_unit_test(bytes_that_are_no_text),
		cmocka_unit_test(switch_points_that_go_back),
		cmocka_unit_test(number_of_ancestors_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
