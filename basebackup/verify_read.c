/*
 * verify_read.c - threads that fetch and authenticate stored objects
 */
#include "basebackup/verify_read.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/wal_history.h"
#include "common/walname.h"
#include "common/walpage.h"

#define QUEUE_LEN  256
#define SAMPLE_ALL 10000U

struct slot
{
	struct verify_object object;
	bool done;
};

struct worker
{
	struct verify_pool *pool;
	pthread_t thread;
	bool started;
	struct repo repo;
};

struct verify_pool
{
	const struct session *session;
	verify_failed failed;
	void *arg;
	int nworkers;
	struct worker *workers;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct slot queue[QUEUE_LEN];
	uint64_t added; /* objects handed over; the n-th is in slot n % LEN */
	uint64_t taken;
	uint64_t finished; /* all below are done */
	char mark[STORE_KEY_MAX];
	uint64_t objects;
	uint64_t bytes;
	bool closing;
	struct err broken; /* if not ST_OK: why a thread gave up */
};

bool
verify_drawn(const char *key, unsigned seed, uint32_t sample_bp)
{
	uint64_t hash = 0xcbf29ce484222325U ^ seed;

	for (const char *s = key; *s != '\0'; s++)
		hash = (hash ^ (unsigned char) *s) * 0x100000001b3U;
	return (hash >> 20) % SAMPLE_ALL < sample_bp;
}

/* What is looked at while an object's content passes by. */
struct content
{
	uint64_t len;
	uint8_t head[WAL_LONG_HEADER_BYTES];
};

static enum status
look(void *arg, const void *data, size_t len, struct err *err)
{
	struct content *c = arg;

	(void) err;
	if (c->len < sizeof(c->head))
	{
		size_t room = sizeof(c->head) - (size_t) c->len;

		memcpy(c->head + c->len, data, len < room ? len : room);
	}
	c->len += len;
	return ST_OK;
}

/* Is a segment what its name says?  As wal-fetch would ask. */
static enum status
check_segment(struct worker *w, const struct wal_name *name,
			  const struct content *content, struct err *err)
{
	struct timeline_history history = {0};
	struct wal_page page;
	size_t head = content->len < sizeof(content->head) ? (size_t) content->len
													   : sizeof(content->head);
	enum status status = wal_page_parse(&page, content->head, head, err);
	bool ancestor = status == ST_OK && page.timeline < name->timeline;

	if (ancestor)
		status = wal_history_get(&w->repo, name->timeline, &history, err);
	if (status == ST_OK)
		status = wal_page_check(&page, name, content->len,
								w->repo.system_identifier,
								ancestor ? &history : NULL, err);
	timeline_history_free(&history);
	return status;
}

static enum status
check_content(struct worker *w, const struct verify_object *object,
			  const struct object *header, const struct content *content,
			  struct err *err)
{
	const char *base = strrchr(object->key, '/') + 1;
	struct wal_name name;
	struct err ignored;

	if (object->has_sum &&
		memcmp(header->header + header->header_len - EXPECT_SUM_BYTES,
			   object->sum, EXPECT_SUM_BYTES) != 0)
		return err_set(err, ST_CORRUPT,
					   "it is not the one that the manifests refer to");
	if (object->kind != OBJECT_WAL ||
		wal_name_parse(&name, base, &ignored) != ST_OK)
		return ST_OK;
	if (name.kind == WAL_SEGMENT || name.kind == WAL_PARTIAL)
		return check_segment(w, &name, content, err);
	return ST_OK;
}

/* Bytes of an object came: from here on a failure is its own. */
struct feed
{
	struct object_reader *reader;
	bool fed;
};

static enum status
feed(void *arg, const void *data, size_t len, struct err *err)
{
	struct feed *f = arg;

	f->fed = true;
	return object_reader_feed(f->reader, data, len, err);
}

/*
 * Fetches one object and opens all of it.  *verdict: the outcome says
 * something about the object, and is no reason to stop altogether.
 */
static enum status
read_object(struct worker *w, const struct verify_object *object,
			bool *verdict, struct err *err)
{
	const struct object_id id = {object->kind, w->repo.system_identifier,
								 strchr(object->key, '/') + 1};
	struct content content = {.len = 0};
	struct feed f = {.fed = false};
	enum status status =
		object_reader_new(&id, w->repo.ring, look, &content, &f.reader, err);

	if (status == ST_OK)
		status = store_get(w->repo.store, object->key, 0, 0, feed, &f, err);
	if (status == ST_OK)
		status = object_reader_end(f.reader, err);
	if (status == ST_OK)
		status = check_content(w, object, object_reader_object(f.reader),
							   &content, err);
	object_reader_free(f.reader);

	/* A key that we lack is the object's; a refusal of the store's is not. */
	*verdict = status == ST_OK || status == ST_CORRUPT ||
			   status == ST_MISSING || (status == ST_AUTH && f.fed);
	return status;
}

/* The lock is held. */
static void
finish(struct verify_pool *pool, uint64_t number,
	   const struct verify_object *object)
{
	pool->objects++;
	pool->bytes += object->size_bytes;
	pool->queue[number % QUEUE_LEN].done = true;
	while (pool->finished < pool->taken &&
		   pool->queue[pool->finished % QUEUE_LEN].done)
	{
		struct slot *slot = &pool->queue[pool->finished++ % QUEUE_LEN];

		slot->done = false;
		memcpy(pool->mark, slot->object.key, sizeof(pool->mark));
	}
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct verify_pool *pool = w->pool;

	(void) pthread_mutex_lock(&pool->lock);
	while (pool->broken.status == ST_OK)
	{
		struct verify_object object;
		uint64_t number;
		struct err err;
		enum status status;
		bool verdict;

		if (pool->taken == pool->added && pool->closing)
			break;
		if (pool->taken == pool->added)
		{
			(void) pthread_cond_wait(&pool->changed, &pool->lock);
			continue;
		}
		number = pool->taken++;
		object = pool->queue[number % QUEUE_LEN].object;
		(void) pthread_mutex_unlock(&pool->lock);
		status = read_object(w, &object, &verdict, &err);
		(void) pthread_mutex_lock(&pool->lock);
		if (!verdict)
			pool->broken = err;
		else
		{
			if (status != ST_OK)
				pool->failed(pool->arg, &object, &err);
			finish(pool, number, &object);
		}
		(void) pthread_cond_broadcast(&pool->changed);
	}
	(void) pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static enum status
start(struct worker *w, struct err *err)
{
	const struct session *session = w->pool->session;
	enum status status = repo_open(&w->repo, session->cfg, session->ring,
								   session->repo.system_identifier, err);
	int error;

	if (status != ST_OK)
		return status;
	store_set_timeout(w->repo.store, session->cfg->command_timeout_ms,
					  cli_cancel());
	error = pthread_create(&w->thread, NULL, work, w);
	if (error != 0)
		return err_set_errno(err, ST_IO, error, "could not start a thread");
	w->started = true;
	return ST_OK;
}

enum status
verify_pool_new(const struct session *session, verify_failed failed, void *arg,
				struct verify_pool **out, struct err *err)
{
	struct verify_pool *pool = calloc(1, sizeof(*pool));
	enum status status = ST_OK;

	if (pool == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	(void) pthread_mutex_init(&pool->lock, NULL);
	(void) pthread_cond_init(&pool->changed, NULL);
	pool->session = session;
	pool->failed = failed;
	pool->arg = arg;
	pool->workers =
		calloc((size_t) session->cfg->restore_workers, sizeof(struct worker));
	if (pool->workers == NULL)
	{
		verify_pool_free(pool);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	pool->nworkers = session->cfg->restore_workers;
	for (int i = 0; i < pool->nworkers && status == ST_OK; i++)
	{
		pool->workers[i].pool = pool;
		status = start(&pool->workers[i], err);
	}
	if (status == ST_OK)
		*out = pool;
	else
		verify_pool_free(pool);
	return status;
}

void
verify_pool_free(struct verify_pool *pool)
{
	if (pool == NULL)
		return;
	(void) pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	pool->taken = pool->added;
	(void) pthread_cond_broadcast(&pool->changed);
	(void) pthread_mutex_unlock(&pool->lock);
	for (int i = 0; i < pool->nworkers; i++)
	{
		if (pool->workers[i].started)
			(void) pthread_join(pool->workers[i].thread, NULL);
		if (pool->workers[i].repo.store != NULL)
			repo_close(&pool->workers[i].repo);
	}
	free(pool->workers);
	(void) pthread_cond_destroy(&pool->changed);
	(void) pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* The lock is held. */
static enum status
broken(const struct verify_pool *pool, struct err *err)
{
	if (pool->broken.status != ST_OK)
		*err = pool->broken;
	return pool->broken.status;
}

enum status
verify_pool_add(struct verify_pool *pool, const struct verify_object *object,
				struct err *err)
{
	enum status status;

	(void) pthread_mutex_lock(&pool->lock);
	while (pool->broken.status == ST_OK &&
		   pool->added - pool->finished == QUEUE_LEN)
		(void) pthread_cond_wait(&pool->changed, &pool->lock);
	status = broken(pool, err);
	if (status == ST_OK)
	{
		pool->queue[pool->added++ % QUEUE_LEN].object = *object;
		(void) pthread_cond_broadcast(&pool->changed);
	}
	(void) pthread_mutex_unlock(&pool->lock);
	return status;
}

enum status
verify_pool_drain(struct verify_pool *pool, struct err *err)
{
	enum status status;

	(void) pthread_mutex_lock(&pool->lock);
	while (pool->broken.status == ST_OK && pool->finished < pool->added)
		(void) pthread_cond_wait(&pool->changed, &pool->lock);
	status = broken(pool, err);
	(void) pthread_mutex_unlock(&pool->lock);
	return status;
}

void
verify_pool_mark(struct verify_pool *pool, char key[STORE_KEY_MAX])
{
	(void) pthread_mutex_lock(&pool->lock);
	memcpy(key, pool->mark, sizeof(pool->mark));
	(void) pthread_mutex_unlock(&pool->lock);
}

void
verify_pool_count(struct verify_pool *pool, uint64_t *objects, uint64_t *bytes)
{
	(void) pthread_mutex_lock(&pool->lock);
	*objects = pool->objects;
	*bytes = pool->bytes;
	(void) pthread_mutex_unlock(&pool->lock);
}
