/*
 * test_s3_pace.c - the rate that a busy store gets, on a clock of our own
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/s3_pace.h"

#define SECOND INT64_C(1000000)

static void
nothing_waits_without_a_refusal(void **state)
{
	struct s3_pace pace = {.rate = 0};
	int64_t now = 5 * SECOND;

	(void) state;
	for (int i = 0; i < 10000; i++)
	{
		assert_int_equal(s3_pace_start(&pace, now), 0);
		s3_pace_served(&pace);
		now += 100;
	}
}

/* A hundred a second until then: seventy from then on, and no two at once. */
static void
a_refusal_cuts_the_rate(void **state)
{
	struct s3_pace pace = {.rate = 0};
	int64_t now = 5 * SECOND;

	(void) state;
	for (int i = 0; i < 200; i++, now += SECOND / 100)
		assert_int_equal(s3_pace_start(&pace, now), 0);
	s3_pace_refused(&pace, now);
	assert_in_range((uintmax_t) (pace.rate * 10), 680, 720);
	assert_int_equal(s3_pace_start(&pace, now), 0);
	assert_in_range(s3_pace_start(&pace, now), SECOND / 72, SECOND / 68);
	assert_in_range(s3_pace_start(&pace, now), SECOND / 36, SECOND / 34);

	/* The other threads were refused at the same moment. */
	for (int i = 0; i < 8; i++)
		s3_pace_refused(&pace, now + (int64_t) i * 1000);
	assert_in_range((uintmax_t) (pace.rate * 10), 680, 720);
	s3_pace_refused(&pace, now + SECOND);
	assert_in_range((uintmax_t) (pace.rate * 10), 470, 510);
}

static void
one_refused_request_hardly_slows_a_short_process(void **state)
{
	struct s3_pace pace = {.rate = 0};

	(void) state;
	assert_int_equal(s3_pace_start(&pace, 9 * SECOND), 0);
	s3_pace_refused(&pace, 9 * SECOND + 4000);
	assert_int_equal(s3_pace_start(&pace, 9 * SECOND + 4000), 0);
	assert_in_range(s3_pace_start(&pace, 9 * SECOND + 4000), 1, SECOND / 10);
}

static void
it_never_stops_and_comes_back(void **state)
{
	struct s3_pace pace = {.rate = 0};
	int64_t now = 5 * SECOND;

	(void) state;
	assert_int_equal(s3_pace_start(&pace, now), 0);
	for (int i = 0; i < 100; i++, now += SECOND)
		s3_pace_refused(&pace, now);
	(void) s3_pace_start(&pace, now);
	assert_in_range(s3_pace_start(&pace, now), SECOND, 2 * SECOND);

	/* Thirty seconds of service: about one a second more each second. */
	for (int64_t end = now + 30 * SECOND; now < end;)
	{
		now += s3_pace_start(&pace, now) + 1;
		s3_pace_served(&pace);
	}
	assert_in_range((uintmax_t) pace.rate, 20, 40);

	now += 61 * SECOND;
	assert_int_equal(s3_pace_start(&pace, now), 0);
	assert_int_equal(s3_pace_start(&pace, now), 0);
}

/* A store that serves fifty a second gets little more, and is kept busy. */
static void
a_store_of_limited_rate(void **state)
{
	struct s3_pace pace = {.rate = 0};
	int64_t now = 100 * SECOND;
	int64_t second = now;
	int left = 50;
	unsigned served = 0;
	unsigned refused = 0;

	(void) state;
	while (now < 160 * SECOND)
	{
		now += s3_pace_start(&pace, now) + SECOND / 500;
		if (now - second >= SECOND)
		{
			second = now;
			left = 50;
		}
		if (left-- > 0)
		{
			served++;
			s3_pace_served(&pace);
		}
		else
		{
			refused++;
			s3_pace_refused(&pace, now);
		}
	}
	assert_in_range(served, 60 * 35, 60 * 50);
	assert_in_range(refused, 1, served / 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_waits_without_a_refusal),
		cmocka_unit_test(a_refusal_cuts_the_rate),
		cmocka_unit_test(one_refused_request_hardly_slows_a_short_process),
		cmocka_unit_test(it_never_stops_and_comes_back),
		cmocka_unit_test(a_store_of_limited_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
