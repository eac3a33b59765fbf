/*
 * test_connections.c - store handles that several threads take in turn
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>

#include <cmocka.h>

#include "walship/connections.h"

#define MAX     3
#define THREADS 8
#define ROUNDS  200

static char nowhere[] = "file:///nowhere";
static char unknown[] = "what://ever";
static const struct spool no_spool = {.fd = -1};
static struct connections *connections;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct store *taken[THREADS]; /* by each thread; NULL: none */
static unsigned most;
static bool shared; /* one handle, by two at a time */

static void
set_up(struct config *cfg)
{
	struct err err;

	memset(cfg, 0, sizeof(*cfg));
	cfg->repository = nowhere;
	assert_int_equal(connections_new(cfg, &no_spool, MAX, &connections, &err),
					 ST_OK);
}

static void
in_turn(void **state)
{
	struct deadline now = deadline_in(0, NULL);
	struct store *stores[MAX];
	struct store *store;
	struct config cfg;
	struct err err;

	(void) state;
	set_up(&cfg);
	for (int i = 0; i < MAX; i++)
		assert_int_equal(connections_take(connections, &now, &stores[i], &err),
						 ST_OK);
	assert_ptr_not_equal(stores[0], stores[1]);
	assert_int_equal(connections_take(connections, &now, &store, &err),
					 ST_DEADLINE);
	/* The one that was used last. */
	for (int i = 0; i < MAX; i++)
		connections_give(connections, stores[i]);
	assert_int_equal(connections_take(connections, &now, &store, &err), ST_OK);
	assert_ptr_equal(store, stores[MAX - 1]);
	connections_give(connections, store);
	connections_free(connections);
	connections_free(NULL);
}

/* A store that cannot be opened does not cost its place. */
static void
unopened(void **state)
{
	struct deadline now = deadline_in(0, NULL);
	struct store *store;
	struct config cfg;
	struct err err;

	(void) state;
	set_up(&cfg);
	cfg.repository = unknown;
	for (int i = 0; i < MAX + 1; i++)
		assert_int_equal(connections_take(connections, &now, &store, &err),
						 ST_CONFIG);
	cfg.repository = nowhere;
	assert_int_equal(connections_take(connections, &now, &store, &err), ST_OK);
	connections_give(connections, store);
	connections_free(connections);
}

static void
note_taken(struct store **mine, struct store *store)
{
	unsigned count = 0;

	(void) pthread_mutex_lock(&mutex);
	for (int i = 0; i < THREADS; i++)
	{
		if (store != NULL && taken[i] == store)
			shared = true;
		count += taken[i] != NULL;
	}
	*mine = store;
	if (store != NULL && count + 1 > most)
		most = count + 1;
	(void) pthread_mutex_unlock(&mutex);
}

static void *
take_and_give(void *arg)
{
	struct deadline never = deadline_in(-1, NULL);
	struct store **mine = arg;
	struct store *store;
	struct err err;

	for (int i = 0; i < ROUNDS; i++)
	{
		if (connections_take(connections, &never, &store, &err) != ST_OK)
			return NULL;
		note_taken(mine, store);
		(void) sched_yield();
		note_taken(mine, NULL);
		connections_give(connections, store);
	}
	return arg;
}

static void
by_many(void **state)
{
	pthread_t threads[THREADS];
	struct config cfg;
	void *result;

	(void) state;
	set_up(&cfg);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, take_and_give, &taken[i]), 0);
	for (int i = 0; i < THREADS; i++)
	{
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_non_null(result);
	}
	assert_false(shared);
	assert_in_range(most, 1, MAX);
	connections_free(connections);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_turn),
		cmocka_unit_test(unopened),
		cmocka_unit_test(by_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
