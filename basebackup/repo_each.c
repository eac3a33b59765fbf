/*
 * repo_each.c - many small requests to a repository, several at a time
 */
#include "basebackup/repo_each.h"

#include <pthread.h>

#include "common/cli.h"

/* More connections than that gain little and may be too many for a store. */
#define THREADS_MAX 8

/* A new connection costs as much as some items. */
#define ITEMS_PER_THREAD 3

struct each
{
	struct repo *repo; /* the caller's */
	size_t count;
	repo_visitor visit;
	void *arg;

	pthread_mutex_t mutex; /* guards what follows */
	size_t next;
	struct err err; /* the first failure */
};

/* The next item; false: there is none, or all is lost. */
static bool
take_item(struct each *e, size_t *i)
{
	bool any;

	pthread_mutex_lock(&e->mutex);
	*i = e->next;
	any = e->err.status == ST_OK && e->next < e->count;
	if (any)
		e->next++;
	pthread_mutex_unlock(&e->mutex);
	return any;
}

static void
visit_items(struct each *e, struct repo *repo)
{
	struct err err;
	size_t i;

	while (take_item(e, &i))
	{
		if (e->visit(repo, i, e->arg, &err) == ST_OK)
			continue;
		pthread_mutex_lock(&e->mutex);
		if (e->err.status == ST_OK)
			e->err = err;
		pthread_mutex_unlock(&e->mutex);
	}
}

/* Without a handle of its own it leaves the items to the others. */
static void *
work(void *arg)
{
	struct each *e = arg;
	struct repo repo;
	struct err err;

	if (repo_open(&repo, e->repo->cfg, e->repo->ring,
				  e->repo->system_identifier, &err) != ST_OK)
		return NULL;
	store_set_timeout(repo.store, repo.cfg->command_timeout_ms, cli_cancel());
	visit_items(e, &repo);
	repo_close(&repo);
	return NULL;
}

enum status
repo_each(struct repo *repo, size_t count, repo_visitor visit, void *arg,
		  struct err *err)
{
	struct each e = {.repo = repo,
					 .count = count,
					 .visit = visit,
					 .arg = arg,
					 .mutex = PTHREAD_MUTEX_INITIALIZER};
	pthread_t threads[THREADS_MAX - 1];
	size_t wanted = count / ITEMS_PER_THREAD, started = 0;

	if (wanted > THREADS_MAX)
		wanted = THREADS_MAX;
	while (started + 1 < wanted &&
		   pthread_create(&threads[started], NULL, work, &e) == 0)
		started++;
	visit_items(&e, repo);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&e.mutex);
	if (e.err.status == ST_OK)
		return ST_OK;
	*err = e.err;
	return err->status;
}
