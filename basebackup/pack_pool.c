/*
 * pack_pool.c - threads that seal packs and put them into the store
 */
#include "basebackup/pack_pool.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "basebackup/store_put_same.h"
#include "basebackup/tempfile.h"
#include "common/repo.h"

/* How often the producer looks at the cancel flag while it waits. */
#define WAIT_SLICE_MS 100

struct worker
{
	struct pack_pool *pool;
	pthread_t thread;
	bool started;
	struct repo repo;
	struct object_codec *codec;
	uint8_t *stored; /* room for a sealed pack */
	uint8_t *sealed; /* in it: where the pack begins */
};

struct pack_pool
{
	struct pack_target target;
	int nworkers;
	struct worker *workers;
	struct pack *packs; /* npacks of them */
	int npacks;
	FILE *records[PACK_KINDS];
	size_t stored_room;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* any of what follows */
	struct pack *empty;
	struct pack *filled_first;
	struct pack *filled_last;
	uint32_t count[PACK_KINDS]; /* packs handed over */
	uint32_t outstanding;       /* of them, not yet in the store */
	uint64_t stored_bytes[PACK_KINDS];
	bool closing;
	bool failed;
	struct err error; /* of the first that failed */

	volatile sig_atomic_t stop; /* the cancel flag of the workers' stores */
};

/* Room for the header and a table, in front of the data. */
static size_t
room_before_data(void)
{
	return OBJECT_HEADER_MAX + object_frame_bound(OBJECT_FRAME_SIZE);
}

/*
 * The frames of data, which come before the table is sealed: it tells their
 * lengths.
 */
static enum status
seal_data(struct worker *w, const struct object *obj, const struct pack *pack,
		  struct pack_record *record, struct err *err)
{
	uint8_t *out = w->stored + room_before_data();
	enum status status = ST_OK;

	record->nframes = 1;
	for (size_t at = 0; at < pack->data_len && status == ST_OK;)
	{
		size_t left = pack->data_len - at;
		size_t len = left < OBJECT_FRAME_SIZE ? left : OBJECT_FRAME_SIZE;
		size_t stored = 0;

		status = object_seal_frame(obj, w->codec, record->nframes, len == left,
								   pack->data + at, len, out, &stored, err);
		record->frames[record->nframes++] = (uint32_t) stored;
		record->stored_bytes += stored;
		out += stored;
		at += len;
	}
	return status;
}

/* How long the last line of the table is. */
static size_t
table_end_length(const struct pack *pack)
{
	size_t nframes =
		(pack->data_len + OBJECT_FRAME_SIZE - 1) / OBJECT_FRAME_SIZE;

	if (pack->kind != PACK_DATA)
		return 0;
	return strlen("{\"frames\":[]}\n") + nframes * 9 - (nframes > 0 ? 1 : 0);
}

/*
 * The last line of the table.  Each number takes 8 places, so that the length
 * of the content is known before the first frame is sealed.
 */
static void
end_table(struct pack *pack, const struct pack_record *record)
{
	char line[PACK_TABLE_END + 1];
	size_t len = (size_t) snprintf(line, sizeof(line), "{\"frames\":[");

	if (pack->kind != PACK_DATA)
		return;
	for (size_t i = 1; i < record->nframes; i++)
		len += (size_t) snprintf(line + len, sizeof(line) - len, "%s%8" PRIu32,
								 i > 1 ? "," : "", record->frames[i]);
	len += (size_t) snprintf(line + len, sizeof(line) - len, "]}\n");
	memcpy(pack->table + pack->table_len, line, len);
	pack->table_len += len;
}

/* Header and table, right in front of the data. */
static enum status
seal_table(struct worker *w, const struct object *obj, const struct pack *pack,
		   struct pack_record *record, struct err *err)
{
	uint8_t *data = w->stored + room_before_data();
	size_t stored = 0;
	enum status status =
		object_seal_frame(obj, w->codec, 0, pack->data_len == 0, pack->table,
						  pack->table_len, w->stored, &stored, err);

	if (status != ST_OK)
		return status;
	w->sealed = data - stored - obj->header_len;
	memmove(data - stored, w->stored, stored);
	memcpy(w->sealed, obj->header, obj->header_len);
	record->frames[0] = (uint32_t) stored;
	record->stored_bytes += stored + obj->header_len;
	record->header_len = (uint16_t) obj->header_len;
	memcpy(record->header, obj->header, obj->header_len);
	return ST_OK;
}

/* Seals a whole pack; w->sealed is where it begins. */
static enum status
seal_pack(struct worker *w, struct pack *pack, const char *name,
		  struct pack_record *record, struct err *err)
{
	const struct pack_target *t = &w->pool->target;
	struct object_id id = {pack->kind == PACK_DATA ? OBJECT_PACK
												   : OBJECT_DIGEST,
						   t->system_identifier, name};
	struct object obj;
	enum status status = object_begin(
		&obj, &id, pack->table_len + table_end_length(pack) + pack->data_len,
		OBJECT_FRAME_SIZE, t->ring, err);

	if (status != ST_OK)
		return status;
	memset(record, 0, sizeof(*record));
	record->data_len = (uint32_t) pack->data_len;
	status = seal_data(w, &obj, pack, record, err);
	if (status == ST_OK)
	{
		end_table(pack, record);
		status = seal_table(w, &obj, pack, record, err);
	}
	object_wipe(&obj);
	return status;
}

static void
fail(struct pack_pool *pool, const struct err *err)
{
	(void) pthread_mutex_lock(&pool->lock);
	if (!pool->failed)
	{
		pool->failed = true;
		pool->error = *err;
	}
	pool->stop = 1;
	(void) pthread_cond_broadcast(&pool->changed);
	(void) pthread_mutex_unlock(&pool->lock);
}

/* Waits for a filled pack; NULL: there will be none. */
static struct pack *
next_filled(struct pack_pool *pool)
{
	struct pack *pack;

	(void) pthread_mutex_lock(&pool->lock);
	while (pool->filled_first == NULL && !pool->closing && !pool->failed)
		(void) pthread_cond_wait(&pool->changed, &pool->lock);
	pack = pool->closing || pool->failed ? NULL : pool->filled_first;
	if (pack != NULL)
		pool->filled_first = pack->next;
	(void) pthread_mutex_unlock(&pool->lock);
	return pack;
}

static void
give_back(struct pack_pool *pool, struct pack *pack)
{
	(void) pthread_mutex_lock(&pool->lock);
	pack->next = pool->empty;
	pool->empty = pack;
	(void) pthread_cond_broadcast(&pool->changed);
	(void) pthread_mutex_unlock(&pool->lock);
}

static enum status
keep_record(struct pack_pool *pool, enum pack_kind kind, uint32_t n,
			const struct pack_record *record, struct err *err)
{
	ssize_t done = pwrite(fileno(pool->records[kind]), record, sizeof(*record),
						  (off_t) n * (off_t) sizeof(*record));

	if (done == (ssize_t) sizeof(*record))
		return ST_OK;
	if (done >= 0)
		errno = ENOSPC;
	return tempfile_failed("write", errno, err);
}

static enum status
store_pack(struct worker *w, struct pack *pack, struct err *err)
{
	struct pack_pool *pool = w->pool;
	enum pack_kind kind = pack->kind;
	uint32_t n = pack->n;
	struct pack_record record;
	char name[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];
	enum status status;

	if (kind == PACK_DATA)
		repo_pack_name(name, pool->target.backup_id, n);
	else
		repo_digest_name(name, pool->target.backup_id, n);
	status = seal_pack(w, pack, name, &record, err);
	give_back(pool, pack);
	if (status != ST_OK)
		return status;
	repo_key(key, pool->target.system_identifier, name);
	store_set_timeout(w->repo.store, pool->target.cfg->command_timeout_ms,
					  &pool->stop);
	status = store_put_same(w->repo.store, key, w->sealed,
							(size_t) record.stored_bytes, err);
	if (status == ST_OK)
		status = keep_record(pool, kind, n, &record, err);
	if (status != ST_OK)
		return status;
	(void) pthread_mutex_lock(&pool->lock);
	pool->stored_bytes[kind] += record.stored_bytes;
	pool->outstanding--;
	(void) pthread_cond_broadcast(&pool->changed);
	(void) pthread_mutex_unlock(&pool->lock);
	return ST_OK;
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct pack *pack;

	while ((pack = next_filled(w->pool)) != NULL)
	{
		struct err err;

		if (store_pack(w, pack, &err) != ST_OK)
		{
			fail(w->pool, &err);
			break;
		}
	}
	return NULL;
}

static enum status
worker_start(struct worker *w, struct pack_pool *pool, struct err *err)
{
	const struct pack_target *t = &pool->target;
	sigset_t all;
	sigset_t before;
	enum status status;
	int error;

	w->pool = pool;
	status = repo_open(&w->repo, t->cfg, t->ring, t->system_identifier, err);
	if (status == ST_OK)
		status = object_codec_new(&w->codec, err);
	if (status != ST_OK)
		return status;
	w->stored = malloc(pool->stored_room);
	if (w->stored == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	/* Signals are for the thread that waits for the server. */
	(void) sigfillset(&all);
	(void) pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&w->thread, NULL, work, w);
	(void) pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return err_set_errno(err, ST_IO, error, "could not start a thread");
	w->started = true;
	return ST_OK;
}

static enum status
packs_new(struct pack_pool *pool, struct err *err)
{
	pool->packs =
		calloc((size_t) pool->nworkers + PACK_KINDS, sizeof(*pool->packs));
	if (pool->packs == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	pool->npacks = pool->nworkers + PACK_KINDS;
	for (int i = 0; i < pool->npacks; i++)
	{
		struct pack *pack = &pool->packs[i];

		pack->table = malloc(OBJECT_FRAME_SIZE);
		pack->data = malloc(PACK_DATA_MAX);
		if (pack->table == NULL || pack->data == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		pack->next = pool->empty;
		pool->empty = pack;
	}
	return ST_OK;
}

static void
init_locks(struct pack_pool *pool)
{
	pthread_condattr_t attr;

	(void) pthread_mutex_init(&pool->lock, NULL);
	(void) pthread_condattr_init(&attr);
	(void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void) pthread_cond_init(&pool->changed, &attr);
	(void) pthread_condattr_destroy(&attr);
}

enum status
pack_pool_new(const struct pack_target *target, struct pack_pool **out,
			  struct err *err)
{
	struct pack_pool *pool = calloc(1, sizeof(*pool));
	enum status status;

	if (pool == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	pool->target = *target;
	init_locks(pool);
	pool->nworkers = target->cfg->backup_workers;
	pool->stored_room =
		room_before_data() +
		(PACK_FRAMES_MAX - 1) * object_frame_bound(OBJECT_FRAME_SIZE);
	pool->workers = calloc((size_t) pool->nworkers, sizeof(*pool->workers));
	if (pool->workers == NULL)
		status = err_set(err, ST_NOMEM, "out of memory");
	else
		status = packs_new(pool, err);
	for (int i = 0; i < PACK_KINDS && status == ST_OK; i++)
		status = tempfile_open(&pool->records[i], err);
	for (int i = 0; i < pool->nworkers && status == ST_OK; i++)
		status = worker_start(&pool->workers[i], pool, err);
	if (status != ST_OK)
	{
		pack_pool_free(pool);
		return status;
	}
	*out = pool;
	return ST_OK;
}

static void
workers_free(struct pack_pool *pool)
{
	for (int i = 0; i < pool->nworkers && pool->workers != NULL; i++)
	{
		struct worker *w = &pool->workers[i];

		if (w->started)
			(void) pthread_join(w->thread, NULL);
		free(w->stored);
		object_codec_free(w->codec);
		if (w->repo.store != NULL)
			repo_close(&w->repo);
	}
	free(pool->workers);
	pool->workers = NULL;
}

/* Ends the workers; stop: also what they are doing. */
static void
close_workers(struct pack_pool *pool, bool stop)
{
	(void) pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	if (stop)
		pool->stop = 1;
	(void) pthread_cond_broadcast(&pool->changed);
	(void) pthread_mutex_unlock(&pool->lock);
	workers_free(pool);
	for (int i = 0; i < pool->npacks; i++)
	{
		free(pool->packs[i].table);
		free(pool->packs[i].data);
	}
	free(pool->packs);
	pool->packs = NULL;
	pool->npacks = 0;
	pool->empty = NULL;
}

void
pack_pool_free(struct pack_pool *pool)
{
	if (pool == NULL)
		return;
	close_workers(pool, true);
	for (int i = 0; i < PACK_KINDS; i++)
	{
		if (pool->records[i] != NULL)
			(void) fclose(pool->records[i]);
	}
	(void) pthread_cond_destroy(&pool->changed);
	(void) pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* With the lock held: waits a while, then looks at errors and signals. */
static enum status
wait_a_while(struct pack_pool *pool, struct err *err)
{
	struct timespec until;

	(void) clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long) WAIT_SLICE_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void) pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
	if (pool->failed)
	{
		*err = pool->error;
		return err->status;
	}
	if (pool->target.cancel != NULL && *pool->target.cancel != 0)
		return err_set(err, ST_CANCELLED, "cancelled by a signal");
	return ST_OK;
}

enum status
pack_pool_check(struct pack_pool *pool, struct err *err)
{
	enum status status = ST_OK;

	(void) pthread_mutex_lock(&pool->lock);
	if (pool->failed)
	{
		*err = pool->error;
		status = err->status;
	}
	(void) pthread_mutex_unlock(&pool->lock);
	return status;
}

enum status
pack_pool_take(struct pack_pool *pool, enum pack_kind kind, struct pack **out,
			   struct err *err)
{
	enum status status = pack_pool_check(pool, err);

	(void) pthread_mutex_lock(&pool->lock);
	while (status == ST_OK && pool->empty == NULL)
		status = wait_a_while(pool, err);
	if (status == ST_OK)
	{
		*out = pool->empty;
		pool->empty = (*out)->next;
		(*out)->kind = kind;
		(*out)->n = pool->count[kind];
		(*out)->table_len = 0;
		(*out)->data_len = 0;
		(*out)->next = NULL;
	}
	(void) pthread_mutex_unlock(&pool->lock);
	return status;
}

enum status
pack_pool_put(struct pack_pool *pool, struct pack *pack, struct err *err)
{
	enum status status = pack_pool_check(pool, err);

	if (status != ST_OK)
	{
		give_back(pool, pack);
		return status;
	}
	(void) pthread_mutex_lock(&pool->lock);
	pack->n = pool->count[pack->kind]++;
	pool->outstanding++;
	pack->next = NULL;
	if (pool->filled_first == NULL)
		pool->filled_first = pack;
	else
		pool->filled_last->next = pack;
	pool->filled_last = pack;
	(void) pthread_cond_broadcast(&pool->changed);
	(void) pthread_mutex_unlock(&pool->lock);
	return ST_OK;
}

enum status
pack_pool_drain(struct pack_pool *pool, struct err *err)
{
	enum status status = pack_pool_check(pool, err);

	(void) pthread_mutex_lock(&pool->lock);
	while (status == ST_OK && pool->outstanding > 0)
		status = wait_a_while(pool, err);
	(void) pthread_mutex_unlock(&pool->lock);
	if (status == ST_OK)
		close_workers(pool, false);
	return status;
}

const char *
pack_pool_backup_id(const struct pack_pool *pool)
{
	return pool->target.backup_id;
}

uint32_t
pack_pool_count(const struct pack_pool *pool, enum pack_kind kind)
{
	return pool->count[kind];
}

uint64_t
pack_pool_stored_bytes(const struct pack_pool *pool, enum pack_kind kind)
{
	return pool->stored_bytes[kind];
}

enum status
pack_pool_record(const struct pack_pool *pool, enum pack_kind kind, uint32_t n,
				 struct pack_record *out, struct err *err)
{
	ssize_t done = pread(fileno(pool->records[kind]), out, sizeof(*out),
						 (off_t) n * (off_t) sizeof(*out));

	if (done == (ssize_t) sizeof(*out))
		return ST_OK;
	return tempfile_failed("read", done < 0 ? errno : EIO, err);
}
