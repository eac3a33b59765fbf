/*
 * test_prefetch_plan.c - which files the server will ask for next
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/walname.h"
#include "walship/prefetch_plan.h"

#define MB16 ((uint32_t) 16 << 20)

/* 1 up to the middle of segment 5; 2 up to the beginning of 8; 4 within it. */
static struct timeline_history
make_history(void)
{
	static const char text[] = "1\t0/5800000\tx\n2\t0/8000000\tx\n"
							   "4\t0/8400000\tx\n";
	struct timeline_history history;
	struct err err;

	assert_int_equal(
		timeline_history_parse(6, text, sizeof(text) - 1, &history, &err),
		ST_OK);
	return history;
}

static void
assert_plan(const struct timeline_history *history, uint32_t reads,
			uint64_t segno, size_t n, const uint32_t wanted[])
{
	uint32_t timelines[PREFETCH_TIMELINES_MAX];

	assert_int_equal(
		prefetch_plan_timelines(history, reads, segno, MB16, timelines), n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(timelines[i], wanted[i]);
}

#define PLAN(reads, segno, ...)                                       \
	assert_plan(&history, (reads), (segno),                           \
				sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), \
				(uint32_t[]){__VA_ARGS__})

static void
along_a_history(void **state)
{
	struct timeline_history history = make_history();

	(void) state;
	PLAN(1, 1, 1);
	PLAN(1, 4, 1);
	/* A switch within a segment: the newest first. */
	PLAN(1, 5, 2, 1);
	PLAN(1, 6, 2);
	/* One at the beginning of a segment, and another within the same. */
	PLAN(1, 7, 2);
	PLAN(2, 8, 6, 4);
	PLAN(1, 9, 6);
	PLAN(6, UINT64_C(1) << 40, 6);
	/* Nothing older than what the server reads. */
	PLAN(2, 5, 2);
	PLAN(6, 8, 6);
	assert_plan(&history, 6, 7, 0, NULL);
	timeline_history_free(&history);
}

static void
without_a_history(void **state)
{
	static const uint32_t wanted[] = {3};

	(void) state;
	assert_plan(NULL, 3, 1, 1, wanted);
	assert_plan(NULL, 3, 1000, 1, wanted);
}

static void
a_server_that_goes_elsewhere(void **state)
{
	struct timeline_history history = make_history();
	struct timeline_history nothing = {.timeline = 9};

	(void) state;
	assert_true(prefetch_plan_follows(&history, 1, 5, MB16));
	assert_false(prefetch_plan_follows(&history, 1, 6, MB16));
	assert_true(prefetch_plan_follows(&history, 2, 5, MB16));
	assert_true(prefetch_plan_follows(&history, 2, 7, MB16));
	assert_false(prefetch_plan_follows(&history, 2, 8, MB16));
	assert_false(prefetch_plan_follows(&history, 3, 5, MB16));
	assert_true(prefetch_plan_follows(&history, 6, 8, MB16));
	assert_false(prefetch_plan_follows(&nothing, 1, 1, MB16));
	timeline_history_free(&history);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(along_a_history),
		cmocka_unit_test(without_a_history),
		cmocka_unit_test(a_server_that_goes_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
