/*
 * test_repo_each.c - every item once, and no further one after a failure
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "basebackup/repo_each.h"
#include "common/config.h"
#include "common/key.h"

#define SYSID ((uint64_t) 7301234567890123456)
#define ITEMS 500

struct world
{
	char dir[64];
	char url[96];
	struct config cfg;
	struct keyring *ring;
	struct repo repo;

	size_t fail_from; /* items from here on fail */
	_Atomic int visits[ITEMS];
	_Atomic int foreign; /* visits by other handles than ours */
	_Atomic int failed;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err;

	assert_non_null(w);
	(void) strcpy(w->dir, "/tmp/test_repo_each.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void) snprintf(w->url, sizeof(w->url), "file://%s", w->dir);
	w->cfg.repository = w->url;
	w->cfg.command_timeout_ms = 60000;
	w->fail_from = ITEMS;
	assert_int_equal(keyring_none(&w->ring, &err), ST_OK);
	assert_int_equal(repo_open(&w->repo, &w->cfg, w->ring, SYSID, &err),
					 ST_OK);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	repo_close(&w->repo);
	keyring_free(w->ring);
	(void) rmdir(w->dir);
	free(w);
	return 0;
}

static enum status
visit(struct repo *repo, size_t i, void *arg, struct err *err)
{
	struct world *w = arg;

	w->visits[i]++;
	if (repo != &w->repo)
		w->foreign++;
	if (repo->system_identifier != SYSID || repo->ring != w->ring)
		return err_set(err, ST_IO, "another repository");
	(void) usleep(200);
	if (i < w->fail_from)
		return ST_OK;
	w->failed++;
	return err_set(err, ST_CORRUPT, "item %zu", i);
}

static void
test_all_once(void **state)
{
	struct world *w = *state;
	struct err err;

	assert_int_equal(repo_each(&w->repo, ITEMS, visit, w, &err), ST_OK);
	for (size_t i = 0; i < ITEMS; i++)
		assert_int_equal(w->visits[i], 1);
	assert_true(w->foreign > 0 && w->foreign < ITEMS);
}

/* No connection of its own is worth a few items. */
static void
test_few(void **state)
{
	struct world *w = *state;
	struct err err;

	assert_int_equal(repo_each(&w->repo, 0, visit, w, &err), ST_OK);
	assert_int_equal(repo_each(&w->repo, 5, visit, w, &err), ST_OK);
	assert_int_equal(w->visits[4], 1);
	assert_int_equal(w->visits[5], 0);
	assert_int_equal(w->foreign, 0);
}

static void
test_failure(void **state)
{
	struct world *w = *state;
	int visits = 0;
	struct err err;

	w->fail_from = 20;
	assert_int_equal(repo_each(&w->repo, ITEMS, visit, w, &err), ST_CORRUPT);
	assert_memory_equal(err.message, "item 2", 6);
	for (size_t i = 0; i < ITEMS; i++)
		visits += w->visits[i];
	assert_true(visits < 40);
	assert_true(w->failed >= 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_few, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failure, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
