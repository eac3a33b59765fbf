/*
 * test_push.c - the memory in which one file after the other is pushed
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "walship/push.h"

#define BUDGET ((uint64_t) 4 << 20)
#define SYSTEM 42

struct world
{
	char dir[64];
	char repository[80];
	struct config cfg;
	struct keyring *ring;
	struct repo repo;
	struct budget *budget;
	struct push_room room;
	enum status status;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct err err;

	assert_non_null(w);
	(void) strcpy(w->dir, "/tmp/test_push.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void) snprintf(w->repository, sizeof w->repository, "file://%s", w->dir);
	w->cfg.repository = w->repository;
	w->cfg.encryption = ENCRYPTION_NONE;
	assert_int_equal(keyring_load(&w->cfg, &w->ring, &err), ST_OK);
	assert_int_equal(repo_open(&w->repo, &w->cfg, w->ring, SYSTEM, &err),
					 ST_OK);
	store_set_deadline(w->repo.store, deadline_in(-1, NULL));
	assert_int_equal(budget_new(BUDGET, &w->budget, &err), ST_OK);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;
	char command[96];

	budget_free(w->budget);
	repo_close(&w->repo);
	keyring_free(w->ring);
	(void) snprintf(command, sizeof command, "rm -r %s", w->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
	free(w);
	return 0;
}

/* The history of that timeline; until the deadline it may wait for memory. */
static enum status
push(struct world *w, int timeline, struct deadline deadline, struct err *err)
{
	struct push_options options = {
		.budget = w->budget, .deadline = deadline, .room = &w->room};
	struct push_outcome outcome;
	struct wal_file file;
	char path[128];
	enum status status;
	FILE *f;

	(void) snprintf(path, sizeof path, "%s/%08X.history", w->dir, timeline);
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 1; i < timeline; i++)
		assert_true(fprintf(f, "%d\t0/%d000000\tno target\n", i, i) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(wal_file_open(&file, path, SYSTEM, err), ST_OK);
	status = push_file(&w->repo, &file, &options, &outcome, err);
	wal_file_close(&file);
	return status;
}

/* What a file leaves is part of the budget, and the next one's. */
static void
kept(void **state)
{
	struct world *w = *state;
	struct err err;

	assert_int_equal(push(w, 9, deadline_in(0, NULL), &err), ST_OK);
	assert_non_null(w->room.buf.data);
	assert_true(w->room.taken > 0);
	assert_int_equal(w->room.taken, w->room.buf.room);
	assert_false(budget_try(w->budget, BUDGET));
	assert_int_equal(push(w, 4, deadline_in(0, NULL), &err), ST_OK);
	assert_int_equal(w->room.taken, w->room.buf.room);
	push_room_release(&w->room, w->budget);
	assert_null(w->room.buf.data);
	assert_true(budget_try(w->budget, BUDGET));
}

static void *
push_another(void *arg)
{
	struct world *w = arg;
	struct err err;

	w->status = push(w, 3, deadline_in(-1, NULL), &err);
	return NULL;
}

/* Who has to wait for memory has given back all of it before. */
static void
given_back(void **state)
{
	struct world *w = *state;
	pthread_t thread;
	uint64_t others;
	struct err err;

	assert_int_equal(push(w, 2, deadline_in(0, NULL), &err), ST_OK);
	others = BUDGET - w->room.taken - 1;
	assert_true(budget_try(w->budget, others));
	assert_int_equal(pthread_create(&thread, NULL, push_another, w), 0);
	/* The last byte is nobody's until somebody waits. */
	while (budget_try(w->budget, 1))
	{
		budget_give(w->budget, 1);
		(void) usleep(1000);
	}
	assert_null(w->room.buf.data);
	assert_int_equal(w->room.taken, 0);
	budget_give(w->budget, others);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(w->status, ST_OK);
	push_room_release(&w->room, w->budget);
	assert_true(budget_try(w->budget, BUDGET));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(given_back, set_up, tear_down)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
