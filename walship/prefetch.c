/*
 * prefetch.c - fetches the segments that the server will ask for
 */
#include "walship/prefetch.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "common/key.h"
#include "common/repo.h"
#include "common/wal_history.h"
#include "walship/datadir.h"
#include "walship/fetch_segment.h"
#include "walship/fetch_spool.h"
#include "walship/prefetch_plan.h"
#include "walship/worker.h"

/* Each takes up to 5 MiB, and its connection. */
#define THREADS_MAX 4

/* Without a byte: then the call that needs the segment asks by itself. */
#define ALLOWANCE_MS 10000

/* How often the worker looks at the note: often while the server moves. */
#define TICK_MS      10
#define TICK_IDLE_MS 200
#define QUICK_MS     3000

/* How often it looks whether the server is there, and in recovery. */
#define CHECK_MS 250
#define IDLE_MS  60000

/* Inside a call. */
#define SOME_SEGMENTS 8
#define SOME_MS       2000

/* One of the threads. */
struct fetcher
{
	struct prefetch *p;
	uint64_t *busy; /* its own */
	pthread_t thread;
};

struct prefetch
{
	const struct prefetch_job *job;
	const struct keyring *ring;
	uint32_t segment_size;
	bool once;                    /* the window does not move */
	volatile sig_atomic_t cancel; /* what the stores' deadlines look at */

	pthread_mutex_t lock; /* for all below */
	pthread_cond_t changed;
	bool done;                  /* no thread takes another segment */
	bool failed;                /* one could not be had */
	unsigned active;            /* threads that have not ended */
	uint32_t reads;             /* the timeline the server reads from */
	uint64_t base;              /* the segment it asked for last */
	uint64_t next;              /* the first one that no thread has taken */
	uint64_t window;            /* segments behind base */
	uint64_t busy[THREADS_MAX]; /* the segment each thread fetches; or 0 */
	bool follows;               /* the history below */
	struct timeline_history history;
};

/* --- threads ---------------------------------------------------------------
 */

/* True if another thread is at it: after a server has gone elsewhere. */
static bool
is_busy(const struct prefetch *p, uint64_t segno)
{
	for (size_t i = 0; i < THREADS_MAX; i++)
		if (p->busy[i] == segno)
			return true;
	return false;
}

/* The next segment, and the timelines to try for it; false to end. */
static bool
take_next(struct fetcher *f, uint64_t *segno, uint32_t timelines[],
		  size_t *ntimelines)
{
	struct prefetch *p = f->p;
	bool taken = false;

	(void) pthread_mutex_lock(&p->lock);
	*f->busy = 0;
	for (;;)
	{
		while (is_busy(p, p->next))
			p->next++;
		if (p->done || p->once || p->next <= p->base + p->window)
			break;
		(void) pthread_cond_wait(&p->changed, &p->lock);
	}
	if (!p->done && p->next <= p->base + p->window)
	{
		*segno = *f->busy = p->next++;
		*ntimelines =
			prefetch_plan_timelines(p->follows ? &p->history : NULL, p->reads,
									*segno, p->segment_size, timelines);
		taken = *ntimelines > 0;
	}
	(void) pthread_mutex_unlock(&p->lock);
	return taken;
}

static enum status
fetch_one(struct prefetch *p, struct repo *repo, const struct wal_name *name,
		  struct err *err)
{
	struct spool *spool = p->job->spool;
	char path[PATH_MAX];
	struct fetch_segment get = {.repo = repo,
								.name = name,
								.path = path,
								.allowance_ms = ALLOWANCE_MS,
								.cancel = &p->cancel};
	enum status status;
	int n = snprintf(path, sizeof(path), "%s/%s", spool->path, name->text);

	if (n < 0 || (size_t) n >= sizeof(path))
		return err_set(err, ST_CONFIG, "path of the spool is too long");
	if (fetch_spool_has(spool, name))
		return ST_OK;
	fetch_spool_coming(spool, name);
	status = fetch_segment_get(&get, NULL, err);
	fetch_spool_came(spool, name);
	return status;
}

/* The segment on the newest timeline that has it. */
static enum status
fetch_newest(struct prefetch *p, struct repo *repo, uint64_t segno,
			 const uint32_t timelines[], size_t ntimelines, struct err *err)
{
	enum status status = ST_MISSING;

	for (size_t i = 0; i < ntimelines && status == ST_MISSING; i++)
	{
		struct wal_name name;

		wal_name_segment(&name, timelines[i], segno, p->segment_size);
		status = fetch_one(p, repo, &name, err);
	}
	return status;
}

static void
stop(struct prefetch *p)
{
	(void) pthread_mutex_lock(&p->lock);
	p->done = true;
	(void) pthread_cond_broadcast(&p->changed);
	(void) pthread_mutex_unlock(&p->lock);
}

static void *
fetch_ahead(void *arg)
{
	struct fetcher *f = arg;
	struct prefetch *p = f->p;
	struct repo repo = {.store = NULL};
	uint32_t timelines[PREFETCH_TIMELINES_MAX];
	size_t ntimelines;
	uint64_t segno;
	struct err err;
	enum status status = repo_open(&repo, p->job->cfg, p->ring,
								   p->job->system_identifier, &err);

	while (status == ST_OK && take_next(f, &segno, timelines, &ntimelines))
		status = fetch_newest(p, &repo, segno, timelines, ntimelines, &err);
	repo_close(&repo);
	/* The others end what they have begun, and take nothing more. */
	stop(p);
	(void) pthread_mutex_lock(&p->lock);
	if (status != ST_OK && status != ST_MISSING && status != ST_CANCELLED)
		p->failed = true;
	*f->busy = 0;
	p->active--;
	(void) pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* --- the server's position -------------------------------------------------
 */

/* A timeline's history; none of its entries where it cannot be had. */
static struct timeline_history
get_history(struct prefetch *p, uint32_t timeline)
{
	struct timeline_history history = {.timeline = timeline};
	struct timeline_history got;
	struct repo repo;
	struct err err;

	if (repo_open(&repo, p->job->cfg, p->ring, p->job->system_identifier,
				  &err) != ST_OK)
		return history;
	fetch_segment_allow(&repo, ALLOWANCE_MS, &p->cancel);
	if (wal_history_get(&repo, timeline, &got, &err) == ST_OK)
		history = got;
	repo_close(&repo);
	return history;
}

/* Would the threads have tried that timeline for that segment? */
static bool
expected(const struct prefetch *p, uint32_t timeline, uint64_t segno)
{
	uint32_t timelines[PREFETCH_TIMELINES_MAX];
	size_t n = p->reads == 0
				   ? 0
				   : prefetch_plan_timelines(p->follows ? &p->history : NULL,
											 p->reads, segno, p->segment_size,
											 timelines);

	for (size_t i = 0; i < n; i++)
		if (timelines[i] == timeline)
			return true;
	return false;
}

/* Takes a note in. */
static void
follow(struct prefetch *p, const struct fetch_note *note)
{
	uint32_t reads = note->name.timeline;
	struct timeline_history old = {.timeline = 0};
	uint64_t segno;
	bool follows;
	bool elsewhere;

	if (!note->named || !wal_name_segno(&note->name, p->segment_size, &segno))
		return;
	/* The threads look at all this, but only this one changes it. */
	elsewhere = !expected(p, reads, segno);
	if (note->target > reads && note->target != p->history.timeline)
	{
		struct timeline_history fresh = get_history(p, note->target);

		(void) pthread_mutex_lock(&p->lock);
		old = p->history;
		p->history = fresh;
	}
	else
		(void) pthread_mutex_lock(&p->lock);
	follows =
		note->target > reads &&
		prefetch_plan_follows(&p->history, reads, segno, p->segment_size);
	/* A server that goes back, or elsewhere, needs what lies there. */
	if (segno + 1 < p->base || elsewhere || (follows && !p->follows) ||
		p->next <= segno)
		p->next = segno + 1;
	p->base = segno;
	p->reads = reads;
	p->follows = follows;
	(void) pthread_cond_broadcast(&p->changed);
	(void) pthread_mutex_unlock(&p->lock);
	timeline_history_free(&old);
	fetch_spool_pass(p->job->spool,
					 note->outcome == NOTE_FOUND ? segno + 1 : segno,
					 p->segment_size);
}

/* --- running ---------------------------------------------------------------
 */

static bool
in_recovery(const char *datadir)
{
	return datadir_has(datadir, "recovery.signal") ||
		   datadir_has(datadir, "standby.signal");
}

static unsigned
active(struct prefetch *p)
{
	unsigned n;

	(void) pthread_mutex_lock(&p->lock);
	n = p->active;
	(void) pthread_mutex_unlock(&p->lock);
	return n;
}

static void
pause_ms(long ms)
{
	struct timespec pause = {.tv_sec = ms / 1000,
							 .tv_nsec = ms % 1000 * 1000000};

	(void) nanosleep(&pause, NULL);
}

/* Follows the server until it is of no use any more. */
static void
attend(struct prefetch *p, const struct worker *worker)
{
	struct fetch_note note = p->job->note;
	struct fetch_note now;
	int64_t moved_ms = clock_now_ms();
	int64_t checked_ms = moved_ms;

	while (active(p) > 0)
	{
		int64_t at_ms = clock_now_ms();

		fetch_note_load(&now, p->job->spool);
		if (now.named &&
			(strcmp(now.name.text, note.name.text) != 0 ||
			 now.outcome != note.outcome || now.target != note.target))
		{
			follow(p, &now);
			note = now;
			moved_ms = at_ms;
		}
		if (at_ms - checked_ms >= CHECK_MS)
		{
			if (!worker_wanted(worker) || !in_recovery(p->job->datadir) ||
				at_ms - moved_ms > IDLE_MS)
				break;
			checked_ms = at_ms;
		}
		pause_ms(at_ms - moved_ms < QUICK_MS ? TICK_MS : TICK_IDLE_MS);
	}
}

/* Inside a call: until the threads are done, or time is up. */
static void
attend_some(struct prefetch *p)
{
	struct deadline deadline = deadline_in(SOME_MS, cli_cancel());
	struct err ignored;

	while (active(p) > 0 && deadline_check(&deadline, &ignored) == ST_OK)
		pause_ms(TICK_MS);
}

static void
run(struct prefetch *p, const struct worker *worker)
{
	struct fetcher fetchers[THREADS_MAX];
	unsigned wanted = p->window < THREADS_MAX ? (unsigned) p->window
											  : (unsigned) THREADS_MAX;
	unsigned started = 0;

	follow(p, &p->job->note);
	/* All are counted before the first can end. */
	p->active = wanted;
	for (; started < wanted; started++)
	{
		struct fetcher *f = &fetchers[started];

		*f = (struct fetcher){.p = p, .busy = &p->busy[started]};
		if (pthread_create(&f->thread, NULL, fetch_ahead, f) != 0)
			break;
	}
	(void) pthread_mutex_lock(&p->lock);
	p->active -= wanted - started;
	(void) pthread_mutex_unlock(&p->lock);
	if (worker != NULL)
		attend(p, worker);
	else
		attend_some(p);
	p->cancel = 1;
	stop(p);
	for (unsigned i = 0; i < started; i++)
		(void) pthread_join(fetchers[i].thread, NULL);
}

/* Everything around the threads; worker NULL: inside a call. */
static int
prefetch(const struct prefetch_job *job, const struct worker *worker)
{
	uint32_t segment_size = job->note.segment_size;
	uint64_t budget = (uint64_t) job->cfg->fetch_ahead_bytes;
	struct prefetch p = {.job = job,
						 .segment_size = segment_size,
						 .once = worker == NULL,
						 .window = budget / segment_size,
						 .lock = PTHREAD_MUTEX_INITIALIZER,
						 .changed = PTHREAD_COND_INITIALIZER};
	struct keyring *ring;
	struct err err;

	if (worker == NULL && p.window > SOME_SEGMENTS)
		p.window = SOME_SEGMENTS;
	if (keyring_load(job->cfg, &ring, &err) != ST_OK)
		return 1;
	p.ring = ring;
	/* The marks of a worker that was killed are worth nothing. */
	fetch_spool_clean(job->spool, false);
	fetch_spool_clean_others(job->spool);
	run(&p, worker);
	if (p.failed)
		fetch_spool_pause(job->spool);
	if (!in_recovery(job->datadir) ||
		(worker != NULL && !worker_wanted(worker)))
		fetch_spool_clean(job->spool, true);
	timeline_history_free(&p.history);
	keyring_free(ring);
	return 0;
}

static int
be_worker(const struct worker *worker, void *arg)
{
	struct prefetch_job job = *(const struct prefetch_job *) arg;

	job.datadir = "."; /* the worker's working directory */
	return prefetch(&job, worker);
}

bool
prefetch_start(const struct prefetch_job *job)
{
	struct prefetch_job copy = *job;
	struct worker_job worker = {.spool = job->spool,
								.datadir = job->datadir,
								.title = "wal-fetch: fetching ahead",
								.run = be_worker,
								.arg = &copy};

	return worker_start(&worker) != WORKER_FORBIDDEN;
}

void
prefetch_some(const struct prefetch_job *job)
{
	int lock = worker_lock(job->spool);

	if (lock < 0)
		return;
	(void) prefetch(job, NULL);
	(void) close(lock);
}
