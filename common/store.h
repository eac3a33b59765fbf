/*
 * store.h - objects by key, in a directory or in an S3 bucket
 *
 * Keys are relative to the repository's url and consist of components of
 * [A-Za-z0-9._-] separated by '/'; no component is "." or "..", none is
 * empty, none begins with ".tmp-" (what a directory store is still writing).
 * A key is written once and never rewritten.  Strong consistency is
 * required of the store: what was put is found by get, head and list at once.
 *
 * The functions below retry transient failures (ST_RETRY) with jittered
 * backoff until the store's deadline, and return ST_RETRY when that did not
 * help.  A store handle belongs to one thread at a time; open one per thread.
 *
 * Backends: dirstore.c (file://) and the module s3 (s3://), loaded when a
 * repository needs it, so that a directory or a spool hit costs no network
 * library.
 */
#ifndef COMMON_STORE_H
#define COMMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/deadline.h"
#include "common/err.h"

#define STORE_KEY_MAX 512 /* bytes with the terminating zero */

struct store_stat
{
	uint64_t size_bytes;
	int64_t modified;       /* seconds since 1970 by the store's clock */
	bool archived;          /* in a storage class that must be thawed first */
	char storage_class[32]; /* empty where the store has none */
	char replication[16];   /* of a head: "PENDING", "COMPLETED", "FAILED",
							 * "REPLICA"; empty where the store does not tell */
};

struct store_entry
{
	const char *key;        /* relative to the url; ends in '/' for a prefix */
	bool is_prefix;         /* only in a shallow listing */
	struct store_stat stat; /* zero for a prefix */
};

/*
 * Receives the bytes of a get in order.  Any status but ST_OK ends the get
 * with that status and the err the sink has set.
 */
typedef enum status (*store_sink)(void *arg, const void *data, size_t len,
								  struct err *err);

/* Receives one listed entry, in byte order of keys.  As store_sink. */
typedef enum status (*store_lister)(void *arg, const struct store_entry *entry,
									struct err *err);

/* Receives the outcome of one delete: ST_OK (also if it was absent) or why. */
typedef void (*store_removed)(void *arg, const char *key,
							  const struct err *outcome);

/* What `walship check` tells about a store. */
struct store_features
{
	bool conditional_put; /* a second create-only put was refused */
	bool settings_known;  /* else the two below mean nothing */
	bool versioned;
	bool object_lock;
	bool lifecycle_known;    /* the rules could be read */
	bool lifecycle_touches;  /* an enabled rule covers the prefix */
	int lifecycle_min_days;  /* the earliest such expiry or transition */
	int64_t clock_offset_ms; /* store's clock minus ours */
	char endpoint[256];      /* where requests go */
};

struct store;

/*
 * What a backend implements: one attempt each, no retry, deadline honoured.
 * get delivers nothing before it knows that the request succeeded.
 */
struct store_ops
{
	enum status (*put)(struct store *store, const char *key, const void *data,
					   size_t len, struct err *err);
	enum status (*get)(struct store *store, const char *key, uint64_t offset,
					   uint64_t length, store_sink sink, void *arg,
					   struct err *err);
	enum status (*head)(struct store *store, const char *key,
						struct store_stat *stat, struct err *err);
	enum status (*list)(struct store *store, const char *prefix,
						const char *start_after, bool shallow,
						store_lister lister, void *arg, struct err *err);
	enum status (*remove)(struct store *store, const char *const *keys,
						  size_t nkeys, store_removed removed, void *arg,
						  struct err *err);
	enum status (*features)(struct store *store, struct store_features *out,
							struct err *err);
	enum status (*thaw)(struct store *store, const char *key, int days,
						struct err *err); /* NULL: nothing is ever archived */
	enum status (*extend)(struct store *store, const char *key,
						  struct err *err); /* NULL: nothing is locked */
	void (*free)(struct store *store);
};

/* The head of every backend's own struct. */
struct store
{
	const struct store_ops *ops;
	struct deadline deadline; /* of the call that runs */
	int64_t call_timeout_ms;  /* above 0: each call gets a new deadline */
	uint64_t requests;        /* sent so far, for reports and tests */
	void (*tell)(const char *text); /* NULL, or hears what a user should
									 * know although the call succeeded */
	int64_t answered_s; /* the store's clock at its latest answer, in
						 * seconds since 1970; 0: it told none */
	bool asks_first;    /* a put looks for the object before it writes: the
						 * store does not honour a condition */
};

/*
 * Opens the store that cfg->repository names.  No request is sent.  *out is
 * freed with store_free.  ST_CONFIG: bad url, missing setting, module absent.
 */
extern enum status store_open(const struct config *cfg, struct store **out,
							  struct err *err) ERR_CHECK;
extern void store_free(struct store *store);

/*
 * How long calls on this handle may take, retries included: all later calls
 * until one point in time, or each of them for so long.  After store_open it
 * is command_timeout_ms for each call, without a cancel flag.
 */
extern void store_set_deadline(struct store *store, struct deadline d);
extern void store_set_timeout(struct store *store, int64_t timeout_ms,
							  const volatile sig_atomic_t *cancel);

/*
 * Creates key with these bytes, durably, or fails.  ST_EXISTS: an object of
 * that name is there and was not touched.  After a lost answer a retry may
 * meet the object that this very call stored: the caller tells by comparing.
 */
extern enum status
store_put(struct store *store, const char *key, const void *data, size_t len,
		  struct err *err) ERR_CHECK;

/*
 * Delivers length bytes from offset on; length 0: up to the end.  A transfer
 * that breaks is continued where it stopped.  A sink may set a new deadline
 * where bytes that arrive make it worth waiting for more.  ST_MISSING only
 * when the store says in clear words that no object of that name exists; a
 * deleted one (delete marker), a missing bucket or a refusal is ST_AUTH or
 * ST_CONFIG.  ST_CORRUPT: the object ends before offset + length.
 */
extern enum status store_get(struct store *store, const char *key,
							 uint64_t offset, uint64_t length, store_sink sink,
							 void *arg, struct err *err) ERR_CHECK;

/* Reads a whole object of at most max bytes into *out, freed by free(). */
extern enum status
store_read(struct store *store, const char *key, size_t max, uint8_t **out,
		   size_t *out_len, struct err *err) ERR_CHECK;

extern enum status
store_head(struct store *store, const char *key, struct store_stat *stat,
		   struct err *err) ERR_CHECK;

/*
 * Lists keys that begin with prefix and are greater than start_after (NULL:
 * all), in byte order.  shallow: what lies behind the next '/' after prefix
 * is one entry with is_prefix.  An absent prefix lists nothing.
 */
extern enum status
store_list(struct store *store, const char *prefix, const char *start_after,
		   bool shallow, store_lister lister, void *arg,
		   struct err *err) ERR_CHECK;

/*
 * Deletes keys, batched as the backend likes, telling the outcome of each.
 * Returns ST_OK only if every one is gone; otherwise the first failure.
 */
extern enum status
store_remove(struct store *store, const char *const *keys, size_t nkeys,
			 store_removed removed, void *arg, struct err *err) ERR_CHECK;

/*
 * Finds out whether the store honours create-only puts, by one try to create
 * an object that stays, and is never created twice where it does; needs no
 * permission but to put.  *honoured is false where a put asks first already.
 */
extern enum status store_probe_condition(struct store *store, bool *honoured,
										 struct err *err) ERR_CHECK;

/* Looks at the store for `walship check`; puts and deletes a probe object. */
extern enum status
store_features(struct store *store, struct store_features *out,
			   struct err *err) ERR_CHECK;

/*
 * Asks for a readable copy of an object in an archived storage class, to be
 * kept for so many days; that it is there is told by store_head.  Asking
 * again does no harm.  ST_CONFIG: the store, or the class, has no such thing.
 */
extern enum status store_thaw(struct store *store, const char *key, int days,
							  struct err *err) ERR_CHECK;

/*
 * Locks an object for as long as one that were put now, by s3_object_lock;
 * nothing to do where that is not set, and where it is locked for longer.
 * ST_MISSING and what a put may return.
 */
extern enum status
store_extend(struct store *store, const char *key, struct err *err) ERR_CHECK;

/* The backends. */
extern enum status
dirstore_open(const char *path, struct store **out, struct err *err) ERR_CHECK;

/*
 * The only symbol of the s3 module, and of that for SigV2.  Between handles a
 * module keeps the libraries' initialisation, the credentials in use, and how
 * fast the store lets requests come; all of it is safe from any thread.
 */
#define STORE_S3_SYMBOL   "s3_store_open"
#define STORE_S3V2_SYMBOL "s3v2_store_open" /* of the module s3v2 */
typedef enum status (*s3_store_open_fn)(const struct config *cfg,
										struct store **out, struct err *err);

/* True if key obeys the grammar above. */
extern bool store_key_valid(const char *key);

#endif
