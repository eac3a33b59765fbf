/*
 * store.c - what every backend has in common: keys, retries, resumed reads
 */
#include "common/store.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/store_internal.h"

#define RETRY_BASE_MS 100
#define RETRY_CAP_MS  10000
#define PROBE_KEY     ".walship-probe-condition"
#define REMOVE_BATCH  1000
#define READ_ROOM     ((size_t) 64 * 1024)

/* A prefix is a key, nothing, or either with a '/' behind it. */
static bool
prefix_valid(const char *prefix)
{
	size_t len = strlen(prefix);
	char key[STORE_KEY_MAX];

	if (len == 0)
		return true;
	if (len >= sizeof(key))
		return false;
	memcpy(key, prefix, len + 1);
	if (key[len - 1] == '/')
		key[len - 1] = '\0';
	return store_key_valid(key);
}

static enum status
check_key(const char *key, struct err *err)
{
	if (store_key_valid(key))
		return ST_OK;
	return err_set(err, ST_CONFIG, "\"%.*s\" is not a valid object key",
				   STORE_KEY_MAX, key);
}

/* Once a process: a backup's workers would all say the same. */
static void
tell_user(const char *text)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&told))
		log_warning("%s", text);
}

enum status
store_open(const struct config *cfg, struct store **out, struct err *err)
{
	const char *url = cfg->repository;
	enum status rc;

	if (url == NULL || url[0] == '\0')
		rc = err_set(err, ST_CONFIG, "\"repository\" is not set");
	else if (strncmp(url, "file://", 7) == 0)
		rc = dirstore_open(url + 7, out, err);
	else if (strncmp(url, "s3://", 5) == 0)
		rc = store_open_module(cfg, out, err);
	else
		rc = err_set(err, ST_CONFIG,
					 "repository \"%s\" is neither an s3:// nor a file:// url",
					 url);
	if (rc != ST_OK)
		return rc;
	(*out)->tell = tell_user;
	store_set_timeout(*out, cfg->command_timeout_ms, NULL);
	return ST_OK;
}

void
store_free(struct store *store)
{
	if (store != NULL)
		store->ops->free(store);
}

void
store_set_deadline(struct store *store, struct deadline d)
{
	store->deadline = d;
	store->call_timeout_ms = 0;
}

void
store_set_timeout(struct store *store, int64_t timeout_ms,
				  const volatile sig_atomic_t *cancel)
{
	store->deadline = deadline_in(timeout_ms, cancel);
	store->call_timeout_ms = timeout_ms > 0 ? timeout_ms : 0;
}

/* The tries of one call. */
struct tries
{
	struct retry retry;
	char last[ERR_MESSAGE_MAX]; /* why the try before failed; empty: none */
};

/* Begins a call: its deadline, and its series of tries. */
static enum status
begin_call(struct store *store, struct tries *tries, struct err *err)
{
	tries->last[0] = '\0';
	if (store->call_timeout_ms > 0)
		store->deadline =
			deadline_in(store->call_timeout_ms, store->deadline.cancel);
	retry_init(&tries->retry, store->deadline, RETRY_BASE_MS, RETRY_CAP_MS);
	return deadline_check(&store->deadline, err);
}

/* Decides about another try after rc.  Where it ends, *rc is the outcome. */
static bool
try_again(struct tries *tries, enum status *rc, struct err *err)
{
	struct retry *retry = &tries->retry;
	const volatile sig_atomic_t *cancel = retry->deadline.cancel;

	/* The try that the deadline cut short does not know the cause. */
	if (*rc == ST_DEADLINE && tries->last[0] != '\0' && err->detail[0] == '\0')
		*rc = err_detail(err, "The try before failed: %.*s.",
						 (int) (ERR_DETAIL_MAX / 2), tries->last);
	if (*rc != ST_RETRY)
		return false;
	memcpy(tries->last, err->message, sizeof(tries->last));
	/* Whoever watches a long command learns why it does not go on. */
	if (retry->attempt >= 2 && (retry->attempt & (retry->attempt - 1)) == 0)
		log_info("%s; trying again", err->message);
	if (retry_wait(retry, err))
		return true;
	if (cancel != NULL && *cancel != 0)
		*rc = deadline_check(&retry->deadline, err);
	return false;
}

enum status
store_put(struct store *store, const char *key, const void *data, size_t len,
		  struct err *err)
{
	struct tries tries;
	enum status rc = check_key(key, err);

	if (rc == ST_OK)
		rc = begin_call(store, &tries, err);
	if (rc != ST_OK)
		return rc;
	do
		rc = store->ops->put(store, key, data, len, err);
	while (try_again(&tries, &rc, err));
	return rc;
}

/*
 * Between backend and caller: how far a transfer got, and whether it was the
 * caller who ended it, whose ST_RETRY is not ours to retry.
 */
struct relay
{
	store_sink sink;
	void *arg;
	uint64_t delivered;
	bool refused;
};

static enum status
relay_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	struct relay *relay = arg;
	enum status rc = relay->sink(relay->arg, data, len, err);

	if (rc == ST_OK)
		relay->delivered += len;
	else
		relay->refused = true;
	return rc;
}

enum status
store_get(struct store *store, const char *key, uint64_t offset,
		  uint64_t length, store_sink sink, void *arg, struct err *err)
{
	struct relay relay = {.sink = sink, .arg = arg};
	struct tries tries;
	enum status rc = check_key(key, err);

	if (rc == ST_OK && (offset > INT64_MAX || length > INT64_MAX - offset))
		rc = err_set(err, ST_CORRUPT,
					 "range beyond any object's end in \"%s\"", key);
	if (rc == ST_OK)
		rc = begin_call(store, &tries, err);
	if (rc != ST_OK)
		return rc;
	do
	{
		uint64_t before = relay.delivered;

		rc = store->ops->get(store, key, offset + before,
							 length > 0 ? length - before : 0, relay_bytes,
							 &relay, err);
		if (length > 0 && relay.delivered == length && !relay.refused &&
			rc == ST_RETRY)
			rc = ST_OK; /* it broke behind the last byte asked for */
		if (relay.delivered > before)
		{
			/* Progress: not the same failure again. */
			tries.retry.attempt = 0;
			tries.retry.deadline = store->deadline;
			tries.last[0] = '\0';
		}
	} while (!relay.refused && try_again(&tries, &rc, err));
	return rc;
}

struct memory
{
	const char *key;
	uint8_t *data;
	size_t len;
	size_t room;
	size_t max;
};

static enum status
append_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	struct memory *m = arg;

	if (len > m->max - m->len)
		return err_set(err, ST_CORRUPT,
					   "object \"%s\" is longer than %zu bytes", m->key,
					   m->max);
	if (len > m->room - m->len)
	{
		size_t room = m->len + len > READ_ROOM ? m->len + len : READ_ROOM;
		uint8_t *grown;

		if (room < m->max && room < 2 * m->room)
			room = 2 * m->room;
		grown = realloc(m->data, room);
		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		m->data = grown;
		m->room = room;
	}
	memcpy(m->data + m->len, data, len);
	m->len += len;
	return ST_OK;
}

enum status
store_read(struct store *store, const char *key, size_t max, uint8_t **out,
		   size_t *out_len, struct err *err)
{
	struct memory m = {.key = key, .max = max};
	enum status rc;

	/* So that an empty object, too, is memory to free. */
	m.data = malloc(1);
	if (m.data == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	m.room = 1;
	rc = store_get(store, key, 0, 0, append_bytes, &m, err);
	if (rc != ST_OK)
	{
		free(m.data);
		return rc;
	}
	*out = m.data;
	*out_len = m.len;
	return ST_OK;
}

enum status
store_head(struct store *store, const char *key, struct store_stat *stat,
		   struct err *err)
{
	struct tries tries;
	enum status rc = check_key(key, err);

	if (rc == ST_OK)
		rc = begin_call(store, &tries, err);
	if (rc != ST_OK)
		return rc;
	do
		rc = store->ops->head(store, key, stat, err);
	while (try_again(&tries, &rc, err));
	return rc;
}

enum status
store_thaw(struct store *store, const char *key, int days, struct err *err)
{
	struct tries tries;
	enum status rc = check_key(key, err);

	if (rc == ST_OK && store->ops->thaw == NULL)
		return err_set(err, ST_CONFIG,
					   "cannot thaw \"%s\": the store has no archived storage "
					   "classes",
					   key);
	if (rc == ST_OK)
		rc = begin_call(store, &tries, err);
	if (rc != ST_OK)
		return rc;
	do
		rc = store->ops->thaw(store, key, days, err);
	while (try_again(&tries, &rc, err));
	return rc;
}

enum status
store_extend(struct store *store, const char *key, struct err *err)
{
	struct tries tries;
	enum status rc = check_key(key, err);

	if (rc != ST_OK || store->ops->extend == NULL)
		return rc;
	rc = begin_call(store, &tries, err);
	if (rc != ST_OK)
		return rc;
	do
		rc = store->ops->extend(store, key, err);
	while (try_again(&tries, &rc, err));
	return rc;
}

/* As struct relay; last is the greatest key delivered or to be skipped. */
struct list_relay
{
	store_lister lister;
	void *arg;
	bool any; /* last holds something */
	char last[STORE_KEY_MAX];
	bool refused;
};

/*
 * Holds backends to one meaning of start_after (S3's own answers differ where
 * it meets a common prefix) and to the order that callers rely on.
 */
static enum status
relay_entry(void *arg, const struct store_entry *entry, struct err *err)
{
	struct list_relay *relay = arg;
	size_t len = strlen(entry->key);
	enum status rc;

	if (len >= sizeof(relay->last))
		return ST_OK; /* nothing of ours */
	if (relay->any && strcmp(entry->key, relay->last) <= 0)
		return ST_OK;
	rc = relay->lister(relay->arg, entry, err);
	if (rc != ST_OK)
		relay->refused = true;
	memcpy(relay->last, entry->key, len + 1);
	relay->any = true;
	return rc;
}

enum status
store_list(struct store *store, const char *prefix, const char *start_after,
		   bool shallow, store_lister lister, void *arg, struct err *err)
{
	struct list_relay relay = {.lister = lister, .arg = arg};
	struct tries tries;
	enum status rc;

	if (!prefix_valid(prefix) ||
		(start_after != NULL && strlen(start_after) >= STORE_KEY_MAX))
		return err_set(err, ST_CONFIG,
					   "\"%.*s\" is not a valid prefix to list", STORE_KEY_MAX,
					   prefix);
	if (start_after != NULL)
	{
		memcpy(relay.last, start_after, strlen(start_after) + 1);
		relay.any = true;
	}
	rc = begin_call(store, &tries, err);
	if (rc != ST_OK)
		return rc;
	do
		rc = store->ops->list(store, prefix, relay.any ? relay.last : NULL,
							  shallow, relay_entry, &relay, err);
	while (!relay.refused && try_again(&tries, &rc, err));
	return rc;
}

/* One batch of keys to delete. */
struct removal
{
	store_removed removed;
	void *arg;
	const char *keys[REMOVE_BATCH]; /* still to be deleted */
	bool told[REMOVE_BATCH];        /* the backend told how it went */
	bool again[REMOVE_BATCH];       /* ... that a retry may help */
	size_t nkeys;
	enum status first;    /* of the failures, ST_OK: none */
	struct err first_err; /* its explanation */
	struct err transient; /* the last failure that may be retried */
};

static void
settle_key(struct removal *r, const char *key, const struct err *outcome)
{
	if (outcome->status != ST_OK && r->first == ST_OK)
	{
		r->first = outcome->status;
		r->first_err = *outcome;
	}
	if (r->removed != NULL)
		r->removed(r->arg, key, outcome);
}

static void
note_removed(void *arg, const char *key, const struct err *outcome)
{
	struct removal *r = arg;

	for (size_t i = 0; i < r->nkeys; i++)
	{
		if (r->told[i] || strcmp(r->keys[i], key) != 0)
			continue;
		r->told[i] = true;
		if (outcome->status == ST_RETRY)
		{
			r->again[i] = true;
			r->transient = *outcome;
		}
		else
			settle_key(r, r->keys[i], outcome);
		return;
	}
}

/* After one try: settles what is known, keeps what is to be tried again. */
static void
keep_transient(struct removal *r, enum status rc, const struct err *err)
{
	static const struct err fine = {.status = ST_OK};
	size_t kept = 0;

	for (size_t i = 0; i < r->nkeys; i++)
	{
		if (!r->told[i] && rc == ST_RETRY)
		{
			r->again[i] = true;
			r->transient = *err;
		}
		else if (!r->told[i])
			settle_key(r, r->keys[i], rc == ST_OK ? &fine : err);
		if (r->again[i])
			r->keys[kept++] = r->keys[i];
	}
	r->nkeys = kept;
	memset(r->told, 0, sizeof(r->told));
	memset(r->again, 0, sizeof(r->again));
}

static void
remove_batch(struct store *store, struct removal *r, struct tries *tries)
{
	struct err err;
	enum status rc;

	do
	{
		rc = store->ops->remove(store, r->keys, r->nkeys, note_removed, r,
								&err);
		keep_transient(r, rc, &err);
		rc = r->nkeys > 0 ? ST_RETRY : ST_OK;
	} while (try_again(tries, &rc, &r->transient));

	for (size_t i = 0; i < r->nkeys; i++)
	{
		err_set(&err, rc, "could not delete object \"%s\"", r->keys[i]);
		err_detail(&err, "The last failure was: %s", r->transient.message);
		settle_key(r, r->keys[i], &err);
	}
}

enum status
store_remove(struct store *store, const char *const *keys, size_t nkeys,
			 store_removed removed, void *arg, struct err *err)
{
	struct removal *r;
	struct tries tries;
	enum status rc = ST_OK;

	for (size_t i = 0; i < nkeys && rc == ST_OK; i++)
		rc = check_key(keys[i], err);
	if (rc == ST_OK)
		rc = begin_call(store, &tries, err);
	if (rc != ST_OK)
		return rc;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	r->removed = removed;
	r->arg = arg;
	for (size_t done = 0; done < nkeys; done += REMOVE_BATCH)
	{
		r->nkeys = nkeys - done < REMOVE_BATCH ? nkeys - done : REMOVE_BATCH;
		memcpy(r->keys, keys + done, r->nkeys * sizeof(*keys));
		tries.retry.attempt = 0;
		remove_batch(store, r, &tries);
	}
	rc = r->first;
	if (rc != ST_OK)
		*err = r->first_err;
	free(r);
	return rc;
}

enum status
store_features(struct store *store, struct store_features *out,
			   struct err *err)
{
	struct tries tries;
	enum status rc = begin_call(store, &tries, err);

	if (rc != ST_OK)
		return rc;
	do
		rc = store->ops->features(store, out, err);
	while (try_again(&tries, &rc, err));
	return rc;
}

enum status
store_probe_condition(struct store *store, bool *honoured, struct err *err)
{
	enum status rc = ST_OK;

	/* The first may be the one that creates it. */
	for (int i = 0; i < 2 && rc == ST_OK && !store->asks_first; i++)
		rc = store->ops->put(store, PROBE_KEY, "", 0, err);
	if (rc != ST_OK && rc != ST_EXISTS)
		return rc;
	*honoured = rc == ST_EXISTS && !store->asks_first;
	return ST_OK;
}
