/*
 * test_deadline.c - deadlines, sleeping and the waits between retries
 *
 * Nothing here depends on how quick the machine is: only lower bounds of
 * time are asserted, and what the functions return.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/deadline.h"

static void
test_never(void **state)
{
	struct deadline d = deadline_in(-1, NULL);
	struct err err;

	(void) state;
	assert_int_equal(d.at_ms, INT64_MAX);
	assert_int_equal(deadline_left_ms(&d), INT64_MAX);
	assert_int_equal(deadline_check(&d, &err), ST_OK);
	assert_int_equal(deadline_in(INT64_MAX, NULL).at_ms, INT64_MAX);
	assert_int_equal(deadline_in(INT64_MAX - 1, NULL).at_ms, INT64_MAX);
}

static void
test_passed(void **state)
{
	struct deadline d = deadline_in(0, NULL);
	struct err err;

	(void) state;
	assert_int_equal(deadline_left_ms(&d), 0);
	assert_int_equal(deadline_check(&d, &err), ST_DEADLINE);
	assert_int_equal(err.status, ST_DEADLINE);
	assert_int_equal(deadline_sleep(&d, 100000, &err), ST_DEADLINE);
}

static void
test_sooner(void **state)
{
	volatile sig_atomic_t flag = 0;
	struct deadline far = deadline_in(1000000, &flag);
	struct deadline near = deadline_sooner(far, 1000);
	struct deadline same = deadline_sooner(far, 2000000);

	(void) state;
	assert_true(near.at_ms < far.at_ms);
	assert_ptr_equal(near.cancel, &flag);
	assert_int_equal(same.at_ms, far.at_ms);
	assert_int_equal(deadline_sooner(far, -1).at_ms, far.at_ms);
}

static void
test_cancel(void **state)
{
	volatile sig_atomic_t flag = 1;
	struct deadline d = deadline_in(-1, &flag);
	struct err err;

	(void) state;
	assert_int_equal(deadline_check(&d, &err), ST_CANCELLED);
	assert_int_equal(deadline_sleep(&d, 1000000, &err), ST_CANCELLED);
}

static void
test_sleep(void **state)
{
	struct deadline d = deadline_in(60000, NULL);
	int64_t before = clock_now_ms();
	struct err err;

	(void) state;
	assert_int_equal(deadline_sleep(&d, 120, &err), ST_OK);
	assert_true(clock_now_ms() - before >= 120);
	assert_int_equal(deadline_sleep(&d, -5, &err), ST_OK);
}

static void
test_retry_gives_up_in_time(void **state)
{
	struct retry r;
	struct err err;

	(void) state;
	(void) err_set(&err, ST_RETRY, "store is down");
	retry_init(&r, deadline_in(1000, NULL), 1, 50);
	while (retry_wait(&r, &err))
		;
	assert_true(r.attempt > 0);
	assert_string_equal(err.message, "store is down");
	assert_int_equal(err.status, ST_RETRY);
}

static void
test_retry_honours_the_store(void **state)
{
	struct retry r;
	struct err err;
	int64_t before = clock_now_ms();

	(void) state;
	(void) err_set(&err, ST_RETRY, "slow down");
	err.retry_after_ms = 60;
	retry_init(&r, deadline_in(60000, NULL), 1, 1000);
	assert_true(retry_wait(&r, &err));
	assert_true(clock_now_ms() - before >= 60);

	/* Capped: an hour is asked for, 20 ms is waited. */
	err.retry_after_ms = 3600000;
	retry_init(&r, deadline_in(60000, NULL), 1, 20);
	assert_true(retry_wait(&r, &err));

	/* Longer than what is left: no try would be in time. */
	retry_init(&r, deadline_in(60000, NULL), 1, 3600000);
	assert_false(retry_wait(&r, &err));
	assert_int_equal(r.attempt, 0);
}

static void
test_retry_cancelled(void **state)
{
	volatile sig_atomic_t flag = 1;
	struct retry r;
	struct err err;

	(void) state;
	(void) err_set(&err, ST_RETRY, "again");
	retry_init(&r, deadline_in(-1, &flag), 100, 1000);
	assert_false(retry_wait(&r, &err));
}

static void
test_retry_never_overflows(void **state)
{
	struct retry r;
	struct err err;

	(void) state;
	(void) err_set(&err, ST_RETRY, "again");
	retry_init(&r, deadline_in(0, NULL), INT64_MAX / 2, INT64_MAX - 1);
	r.attempt = 1000;
	assert_false(retry_wait(&r, &err));
	assert_int_equal(r.attempt, 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_passed),
		cmocka_unit_test(test_sooner),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_sleep),
		cmocka_unit_test(test_retry_gives_up_in_time),
		cmocka_unit_test(test_retry_honours_the_store),
		cmocka_unit_test(test_retry_cancelled),
		cmocka_unit_test(test_retry_never_overflows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
