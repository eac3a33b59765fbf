/*
 * s3_store.h - inside the s3 module: the store and how it sends a request
 *
 * Only s3_store_open leaves the module (see store.h).  A store belongs to one
 * thread and keeps one connection.
 */
#ifndef COMMON_S3_STORE_H
#define COMMON_S3_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"
#include "common/s3_cred.h"
#include "common/s3_http.h"
#include "common/s3_options.h"
#include "common/s3_sign.h"
#include "common/s3_url.h"
#include "common/s3_xml.h"
#include "common/store.h"

#define S3_LISTING_MAX                                   \
	((size_t) 8 * 1024 * 1024) /* of a page of 1000 keys \
								*/

struct s3_store
{
	struct store base;
	struct s3_address address;
	struct s3_http *http;
	struct s3_cred_provider *provider;
	struct s3_cred *cred; /* of the latest request; NULL: none yet */
	struct s3_options options;
	bool moved;     /* to the region that the store named; once is enough */
	bool hash_body; /* the signature covers bodies, too */
	bool checksum;  /* the store has asked for one with every upload */
};

#define S3_CALL_HEADERS_MAX (2 + S3_OPTION_HEADERS_MAX)

/* A request, before it is addressed, signed and sent. */
struct s3_call
{
	const char *method;
	const char *verb;       /* for messages: "get" */
	const char *permission; /* for hints: "s3:GetObject" */
	const char *key;        /* NULL: the request is about the bucket */
	const char *subject;    /* for messages, where key is NULL: "bucket" */
	bool may_be_missing;    /* NoSuchKey is ST_MISSING */
	struct s3_param params[S3_PARAMS_MAX];
	size_t nparams;
	struct s3_header headers[S3_CALL_HEADERS_MAX];
	size_t nheaders;
	const void *body; /* NULL: none */
	size_t body_len;
	size_t answer_max;
	s3_http_begin begin; /* as in struct s3_request */
	store_sink sink;
	void *arg;
};

/*
 * Sends it once.  ST_OK: there is an answer, whatever its code; the caller
 * frees it in any case.
 */
extern enum status
s3_call_send(struct s3_store *store, const struct s3_call *call,
			 struct s3_answer *answer, struct err *err) ERR_CHECK;

/* Explains an answer that is no success to that call: see s3_error.h. */
extern enum status
s3_call_refused(const struct s3_store *store, const struct s3_call *call,
				const struct s3_answer *answer, struct err *err);

/* A body's checksum: what a header points to. */
struct s3_body_checksum
{
	char md5[S3_MD5_BASE64_SIZE];
	char crc32c[S3_CRC32C_BASE64_SIZE];
};

/* Adds the checksum that the store knows, as s3_put.c says. */
extern void
s3_call_add_checksum(const struct s3_store *store, struct s3_call *call,
					 struct s3_body_checksum *room);

/* For messages: get "key".  Returns out. */
extern char *s3_call_what(const struct s3_call *call, char *out, size_t size);

/* One page of the keys below prefix (relative); token continues an earlier. */
struct s3_list_request
{
	const char *prefix;
	const char *start_after; /* NULL: none */
	const char *token;       /* NULL: the first page */
	bool shallow;
	unsigned max_keys;
};

extern enum status
s3_list_fetch(struct s3_store *store, const struct s3_list_request *request,
			  struct s3_list_page *page, struct err *err) ERR_CHECK;

/* The operations; each one attempt, see store.h. */
extern enum status s3_head(struct store *base, const char *key,
						   struct store_stat *stat, struct err *err) ERR_CHECK;
extern enum status
s3_put(struct store *base, const char *key, const void *data, size_t len,
	   struct err *err) ERR_CHECK;
extern enum status
s3_list(struct store *base, const char *prefix, const char *start_after,
		bool shallow, store_lister lister, void *arg,
		struct err *err) ERR_CHECK;
extern enum status
s3_remove(struct store *base, const char *const *keys, size_t nkeys,
		  store_removed removed, void *arg, struct err *err) ERR_CHECK;
extern enum status s3_features(struct store *base, struct store_features *out,
							   struct err *err) ERR_CHECK;
extern enum status s3_thaw(struct store *base, const char *key, int days,
						   struct err *err) ERR_CHECK;
extern enum status
s3_extend(struct store *base, const char *key, struct err *err) ERR_CHECK;

/* The module's only symbol: STORE_S3_SYMBOL. */
__attribute__((visibility("default"))) extern enum status
s3_store_open(const struct config *cfg, struct store **out, struct err *err);

#endif
