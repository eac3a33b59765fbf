/*
 * fetch.c - threads that fetch packs
 */
#include "basebackup/fetch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basebackup/fetch_pack.h"

#define PROGRESS_NS 200000000L

/* What the workers share. */
struct fetch
{
	const struct fetch_job *job;
	_Atomic uint64_t done; /* bytes written */

	pthread_mutex_t mutex; /* guards all below */
	pthread_cond_t ended;  /* a worker has */
	const struct plan_extent *extents;
	size_t nextents;
	size_t next; /* the first extent that nobody has taken */
	int running;
	struct err err; /* the first failure */
};

struct worker
{
	struct fetch *fetch;
	struct pack_fetcher *fetcher;
	pthread_t thread;
};

/* The extents of the next pack; false if there is none or all is lost. */
static bool
take_pack(struct fetch *f, const struct plan_extent **extents, size_t *count)
{
	size_t first, end;

	pthread_mutex_lock(&f->mutex);
	first = end = f->next;
	if (f->err.status == ST_OK)
		while (end < f->nextents &&
			   f->extents[end].pack == f->extents[first].pack)
			end++;
	f->next = end;
	pthread_mutex_unlock(&f->mutex);
	*extents = f->extents + first;
	*count = end - first;
	return end > first;
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct fetch *f = w->fetch;
	const struct plan_extent *extents;
	struct err err;
	size_t count;
	enum status st = ST_OK;

	while (st == ST_OK && take_pack(f, &extents, &count))
		st = pack_fetcher_run(w->fetcher, extents, count, &f->done, &err);
	if (st == ST_OK)
		st = pack_fetcher_flush(w->fetcher, &err);
	pthread_mutex_lock(&f->mutex);
	if (st != ST_OK && f->err.status == ST_OK)
		f->err = err;
	f->running--;
	pthread_cond_signal(&f->ended);
	pthread_mutex_unlock(&f->mutex);
	return NULL;
}

/* Waits until all have ended, telling how far they are. */
static void
wait_for_workers(struct fetch *f)
{
	const struct fetch_job *job = f->job;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	pthread_mutex_lock(&f->mutex);
	while (f->running > 0)
	{
		until.tv_nsec += PROGRESS_NS;
		if (until.tv_nsec >= 1000000000)
		{
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		while (f->running > 0 &&
			   pthread_cond_timedwait(&f->ended, &f->mutex, &until) == 0)
			;
		if (job->progress == NULL)
			continue;
		pthread_mutex_unlock(&f->mutex);
		job->progress(job->progress_arg, atomic_load(&f->done),
					  job->plan->write_bytes);
		pthread_mutex_lock(&f->mutex);
	}
	pthread_mutex_unlock(&f->mutex);
}

static enum status
run_batch(struct fetch *f, struct worker *workers, int nworkers,
		  struct err *err)
{
	int started = 0;
	int error = 0;

	pthread_mutex_lock(&f->mutex);
	f->next = 0;
	while (started < nworkers && error == 0)
	{
		error = pthread_create(&workers[started].thread, NULL, work,
							   &workers[started]);
		if (error == 0)
			started++;
	}
	f->running = started;
	pthread_mutex_unlock(&f->mutex);
	if (started == 0)
		return err_set_errno(err, ST_IO, error, "could not start a thread");
	wait_for_workers(f);
	for (int i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	if (f->err.status == ST_OK)
		return ST_OK;
	*err = f->err;
	return err->status;
}

static enum status
run_batches(struct fetch *f, struct worker *workers, int nworkers,
			struct err *err)
{
	const struct plan *plan = f->job->plan;
	enum status st = ST_OK;

	for (int i = 0; st == ST_OK && i < nworkers; i++)
	{
		workers[i].fetch = f;
		st = pack_fetcher_new(f->job, &workers[i].fetcher, err);
	}
	for (size_t i = 0; st == ST_OK && i < plan->nbatches; i++)
	{
		struct plan_extent *extents;

		st = plan_get_batch(plan, i, &extents, &f->nextents, err);
		if (st != ST_OK)
			break;
		f->extents = extents;
		st = run_batch(f, workers, nworkers, err);
		free(extents);
	}
	return st;
}

enum status
fetch_run(const struct fetch_job *job, struct err *err)
{
	struct fetch f = {.job = job, .mutex = PTHREAD_MUTEX_INITIALIZER};
	int nworkers = job->cfg->restore_workers;
	struct worker *workers = calloc((size_t) nworkers, sizeof(*workers));
	pthread_condattr_t attr;
	enum status st;

	if (workers == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f.ended, &attr);
	pthread_condattr_destroy(&attr);
	st = run_batches(&f, workers, nworkers, err);
	for (int i = 0; i < nworkers; i++)
		pack_fetcher_free(workers[i].fetcher);
	free(workers);
	pthread_cond_destroy(&f.ended);
	pthread_mutex_destroy(&f.mutex);
	return st;
}
