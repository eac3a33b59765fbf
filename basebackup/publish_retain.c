/*
 * publish_retain.c - locks of older objects that a new backup needs
 *
 * A lock ends so many days after the object was stored, but this backup is to
 * stay for as many days from now on.  It takes a request for each object, so
 * several threads share the work.
 */
#include "basebackup/publish_objects.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/cli.h"
#include "common/log.h"

struct work
{
	const struct publication *pub;
	_Atomic uint64_t next;  /* digest objects first, then packs */
	_Atomic uint64_t count; /* extended so far */
	atomic_bool failed;
	pthread_mutex_t lock;
	struct err error; /* the first one's */
};

struct worker
{
	struct work *work;
	pthread_t thread;
	struct repo repo;
	struct stored_object *object;
};

static enum status
extend(struct worker *w, enum pack_kind kind, uint32_t number, struct err *err)
{
	const struct publication *pub = w->work->pub;
	char name[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];
	enum status st;

	if (!publish_uses(pub, kind, number))
		return ST_OK;
	st = packlist_get(publish_older(pub, kind), number, w->object, err);
	if (st != ST_OK)
		return st;
	if (kind == PACK_DATA)
		repo_pack_name(name, w->object->backup, w->object->n);
	else
		repo_digest_name(name, w->object->backup, w->object->n);
	repo_key(key, w->repo.system_identifier, name);
	atomic_fetch_add(&w->work->count, 1);
	return store_extend(w->repo.store, key, err);
}

static void
fail(struct work *work, const struct err *err)
{
	(void) pthread_mutex_lock(&work->lock);
	if (!atomic_load(&work->failed))
		work->error = *err;
	atomic_store(&work->failed, true);
	(void) pthread_mutex_unlock(&work->lock);
}

static void *
run(void *arg)
{
	struct worker *w = arg;
	struct work *work = w->work;
	uint32_t ndigests = packlist_count(publish_older(work->pub, PACK_DIGEST));
	uint32_t npacks = packlist_count(publish_older(work->pub, PACK_DATA));

	while (!atomic_load(&work->failed))
	{
		uint64_t i = atomic_fetch_add(&work->next, 1);
		struct err err;
		enum status st;

		if (i >= (uint64_t) ndigests + npacks)
			break;
		if (i < ndigests)
			st = extend(w, PACK_DIGEST, (uint32_t) i, &err);
		else
			st = extend(w, PACK_DATA, (uint32_t) (i - ndigests), &err);
		if (st != ST_OK)
			fail(work, &err);
	}
	return NULL;
}

static enum status
start(struct worker *w, struct work *work, struct err *err)
{
	const struct repo *repo = work->pub->repo;
	sigset_t all, before;
	enum status st;
	int error;

	w->work = work;
	w->object = malloc(sizeof(*w->object));
	if (w->object == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	st = repo_open(&w->repo, repo->cfg, repo->ring, repo->system_identifier,
				   err);
	if (st != ST_OK)
		return st;
	store_set_timeout(w->repo.store, repo->cfg->command_timeout_ms,
					  cli_cancel());
	/* Signals are for the main thread. */
	(void) sigfillset(&all);
	(void) pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&w->thread, NULL, run, w);
	(void) pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		return ST_OK;
	repo_close(&w->repo);
	return err_set_errno(err, ST_IO, error, "could not start a thread");
}

enum status
publish_retain_objects(const struct publication *pub, struct err *err)
{
	const struct config *cfg = pub->repo->cfg;
	size_t nworkers = (size_t) cfg->backup_workers;
	struct work work = {.pub = pub};
	struct worker *workers;
	size_t started = 0;
	enum status st = ST_OK;

	if (cfg->s3_object_lock == NULL || pub->base == NULL)
		return ST_OK;
	workers = calloc(nworkers, sizeof(*workers));
	if (workers == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	(void) pthread_mutex_init(&work.lock, NULL);
	while (st == ST_OK && started < nworkers)
	{
		st = start(&workers[started], &work, err);
		if (st == ST_OK)
			started++;
		else
			fail(&work, err);
	}
	for (size_t i = 0; i < started; i++)
	{
		(void) pthread_join(workers[i].thread, NULL);
		repo_close(&workers[i].repo);
	}
	for (size_t i = 0; i < nworkers; i++)
		free(workers[i].object);
	free(workers);
	(void) pthread_mutex_destroy(&work.lock);
	if (atomic_load(&work.failed))
	{
		*err = work.error;
		return err_context(err, "locking what older backups hold");
	}
	log_info("%llu older objects are locked for longer",
			 (unsigned long long) atomic_load(&work.count));
	return ST_OK;
}
