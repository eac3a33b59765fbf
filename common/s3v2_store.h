/*
 * s3v2_store.h - inside the s3v2 module: objects by libs3, signed with SigV2
 *
 * For stores that know nothing newer.  A module of its own, so that nobody
 * else loads libs3 and its libraries.  What libs3 2.0 lacks is refused when
 * the store is opened (s3v2_store.c), or stated in README: no conditional
 * header, so that every put asks first; no session token; no authority of
 * one's own; no headers but those it knows; nothing about the bucket; neither
 * storage classes nor the store's clock.
 */
#ifndef COMMON_S3V2_STORE_H
#define COMMON_S3V2_STORE_H

#include <libs3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"
#include "common/s3_error.h"
#include "common/s3_url.h"
#include "common/store.h"

struct s3v2_store
{
	struct store base;
	struct s3_address address;
	char *access_key_id;
	char *secret_access_key; /* wiped when the store is freed */
	S3BucketContext bucket;  /* points to the above */
	int64_t stall_timeout_ms;
};

/*
 * One request under way.  Every operation's own struct begins with it, since
 * libs3 gives its callbacks one pointer.
 */
struct s3v2_call
{
	const char *verb;       /* for messages: "get" */
	const char *subject;    /* a key, or what else the request is about */
	const char *permission; /* for hints: "s3:GetObject" */
	bool is_key;            /* subject is one */
	bool may_be_missing;    /* NoSuchKey is ST_MISSING */

	/* Set by the callbacks. */
	enum status status; /* why a callback of ours ended it, with err */
	struct err *err;
	S3Status result;
	char message[256]; /* the store's own */
	char code[64];     /* of an error that libs3 does not know */
	char request_id[128];
	uint64_t content_length; /* 0: none, or none told */
	int64_t moved_ms;        /* when a byte was last seen */
};

/* For messages: get "key".  At most size bytes. */
extern char *s3v2_what(const struct s3v2_call *call, char *out, size_t size);

/* libs3's handler for what every answer has. */
extern const S3ResponseHandler s3v2_response;

/*
 * Runs what was added to a context that s3v2_begin made: until the answer is
 * complete, the deadline or the stall time-out.  ST_OK: call->result is the
 * answer; s3v2_explain tells what another one than S3StatusOK means.
 */
extern enum status
s3v2_begin(struct s3v2_store *store, struct s3v2_call *call,
		   S3RequestContext **out, struct err *err) ERR_CHECK;
extern enum status
s3v2_finish(struct s3v2_store *store, struct s3v2_call *call,
			S3RequestContext *context, struct err *err) ERR_CHECK;

/* Fills err from an answer that is no success, and returns its status. */
extern enum status s3v2_explain(const struct s3v2_store *store,
								const struct s3v2_call *call, struct err *err);

/* prefix and key as the store knows them.  NULL: out of memory. */
extern char *s3v2_name(const struct s3v2_store *store, const char *key);

/* The operation of that name, see store.h. */
extern enum status
s3v2_list(struct store *base, const char *prefix, const char *start_after,
		  bool shallow, store_lister lister, void *arg,
		  struct err *err) ERR_CHECK;

/* The module's only symbol: STORE_S3V2_SYMBOL. */
__attribute__((visibility("default"))) extern enum status
s3v2_store_open(const struct config *cfg, struct store **out, struct err *err);

#endif
