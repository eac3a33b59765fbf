/*
 * test_budget.c - memory that several threads share
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "walship/budget.h"

#define TOTAL   100
#define THREADS 8
#define ROUNDS  500

static struct budget *budget;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t held;
static uint64_t most;

static void
in_turn(void **state)
{
	struct deadline now = deadline_in(0, NULL);
	struct deadline never = deadline_in(-1, NULL);
	struct err err;

	(void) state;
	assert_int_equal(budget_new(TOTAL, &budget, &err), ST_OK);
	assert_int_equal(budget_take(budget, 60, &now, &err), ST_OK);
	assert_int_equal(budget_take(budget, 40, &now, &err), ST_OK);
	assert_int_equal(budget_take(budget, 1, &now, &err), ST_DEADLINE);
	budget_give(budget, 40);
	assert_int_equal(budget_take(budget, 41, &now, &err), ST_DEADLINE);
	assert_int_equal(budget_take(budget, 40, &now, &err), ST_OK);
	budget_give(budget, 100);
	assert_true(budget_try(budget, 60));
	assert_false(budget_try(budget, 41));
	assert_true(budget_try(budget, 40));
	budget_give(budget, 100);
	/* More than there is, for whoever is alone. */
	assert_int_equal(budget_take(budget, 1000, &never, &err), ST_OK);
	assert_int_equal(budget_take(budget, 1, &now, &err), ST_DEADLINE);
	budget_give(budget, 1000);
	budget_free(budget);
	budget_free(NULL);
}

static void
cancelled(void **state)
{
	volatile sig_atomic_t cancel = 0;
	struct deadline d = deadline_in(-1, &cancel);
	struct err err;

	(void) state;
	assert_int_equal(budget_new(TOTAL, &budget, &err), ST_OK);
	assert_int_equal(budget_take(budget, TOTAL, &d, &err), ST_OK);
	cancel = 1;
	assert_int_equal(budget_take(budget, 1, &d, &err), ST_CANCELLED);
	budget_free(budget);
}

static void *
take_and_give(void *arg)
{
	uint64_t share = *(const uint64_t *) arg;
	struct deadline never = deadline_in(-1, NULL);
	struct err err;

	for (int i = 0; i < ROUNDS; i++)
	{
		if (budget_take(budget, share, &never, &err) != ST_OK)
			return NULL;
		(void) pthread_mutex_lock(&mutex);
		held += share;
		if (held > most && held != share)
			most = held;
		(void) pthread_mutex_unlock(&mutex);
		(void) sched_yield();
		(void) pthread_mutex_lock(&mutex);
		held -= share;
		(void) pthread_mutex_unlock(&mutex);
		budget_give(budget, share);
	}
	return arg;
}

/* Never more than there is, and everyone gets on, the greedy ones too. */
static void
together(void **state)
{
	static uint64_t shares[THREADS] = {1, 10, 30, 50, 70, 99, 100, 500};
	pthread_t threads[THREADS];
	struct err err;
	void *ended;

	(void) state;
	assert_int_equal(budget_new(TOTAL, &budget, &err), ST_OK);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, take_and_give, &shares[i]), 0);
	for (int i = 0; i < THREADS; i++)
	{
		assert_int_equal(pthread_join(threads[i], &ended), 0);
		assert_non_null(ended);
	}
	assert_true(most <= TOTAL);
	assert_true(held == 0);
	budget_free(budget);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_turn),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
