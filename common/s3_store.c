/*
 * s3_store.c - objects in an S3 bucket: open, get, head
 */
#include "common/s3_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct s3_store *
of(struct store *base)
{
	return (struct s3_store *) base;
}

/* --- get ----------------------------------------------------------------- */

struct get
{
	const char *key;
	uint64_t offset;
	uint64_t length; /* 0: to the end */
	store_sink sink;
	void *arg;
};

static enum status
explain_range(const struct get *get, struct err *err)
{
	(void) err_set(err, ST_CONFIG,
				   "cannot get a range of \"%s\": the store answers with "
				   "another one",
				   get->key);
	return err_hint(err, "A proxy in between, or the store, does not honour "
						 "requests for a range.");
}

static enum status
explain_short(const struct get *get, struct err *err)
{
	return err_set(err, ST_CORRUPT, "object \"%s\" ends before byte %" PRIu64,
				   get->key, get->offset + get->length);
}

/* 206: the range must be the one that was asked for. */
static enum status
check_range(const struct get *get, const struct s3_headers *headers,
			uint64_t *expected, struct err *err)
{
	uint64_t got = headers->range_last - headers->range_first + 1;
	bool to_end = headers->range_last + 1 == headers->range_total;

	if (!headers->has_range || headers->range_first != get->offset ||
		(get->length > 0 && got > get->length))
		return explain_range(get, err);
	if (get->length > 0 && got < get->length)
		return to_end ? explain_short(get, err) : explain_range(get, err);
	if (get->length == 0 && !to_end)
		return explain_range(get, err);
	if (headers->content_length >= 0 &&
		(uint64_t) headers->content_length != got)
		return err_set(err, ST_RETRY,
					   "could not get \"%s\": the answer's length is not "
					   "that of its range",
					   get->key);
	*expected = got;
	return ST_OK;
}

/* 200: the whole object, which a range may happen to be. */
static enum status
check_whole(const struct get *get, const struct s3_headers *headers,
			uint64_t *expected, struct err *err)
{
	if (headers->content_length < 0)
	{
		if (headers->chunked && get->offset == 0 && get->length == 0)
			return ST_OK; /* its coding tells the end */
		return err_set(err, ST_RETRY,
					   "could not get \"%s\": the answer has no length",
					   get->key);
	}
	*expected = (uint64_t) headers->content_length;
	if (get->offset > 0 || (get->length > 0 && *expected > get->length))
		return explain_range(get, err);
	if (get->length > *expected)
		return explain_short(get, err);
	return ST_OK;
}

static enum status
get_begin(void *arg, const struct s3_answer *answer, uint64_t *expected,
		  struct err *err)
{
	const struct get *get = arg;

	if (!answer->headers.has_etag)
	{
		(void) err_set(err, ST_RETRY,
					   "could not get \"%s\": HTTP %ld without an ETag",
					   get->key, answer->code);
		return err_hint(err, "Whatever answered may be no S3 server. Check "
							 "\"s3_endpoint\" and proxies.");
	}
	if (answer->code == 206)
		return check_range(get, &answer->headers, expected, err);
	if (answer->code == 200)
		return check_whole(get, &answer->headers, expected, err);
	return err_set(err, ST_RETRY, "could not get \"%s\": HTTP %ld", get->key,
				   answer->code);
}

static enum status
get_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	const struct get *get = arg;

	return get->sink(get->arg, data, len, err);
}

/*
 * 416: the range begins at the object's end or behind it.  At its end there
 * is nothing more to deliver, which is how a resumed read may begin.
 */
static enum status
get_behind_end(struct store *base, const struct get *get, struct err *err)
{
	struct store_stat stat = {.size_bytes = 0};
	enum status status;

	if (get->length > 0)
		return explain_short(get, err);
	status = s3_head(base, get->key, &stat, err);
	if (status == ST_OK && stat.size_bytes != get->offset)
		return explain_short(get, err);
	return status;
}

static enum status
s3_get(struct store *base, const char *key, uint64_t offset, uint64_t length,
	   store_sink sink, void *arg, struct err *err)
{
	struct get get = {.key = key,
					  .offset = offset,
					  .length = length,
					  .sink = sink,
					  .arg = arg};
	struct s3_call call = {.method = "GET",
						   .verb = "get",
						   .permission = "s3:GetObject",
						   .key = key,
						   .may_be_missing = true,
						   .begin = get_begin,
						   .sink = get_bytes,
						   .arg = &get};
	struct s3_answer answer;
	char range[64];
	enum status status;

	if (length > 0)
		(void) snprintf(range, sizeof range, "bytes=%" PRIu64 "-%" PRIu64,
						offset, offset + length - 1);
	else
		(void) snprintf(range, sizeof range, "bytes=%" PRIu64 "-", offset);
	if (offset > 0 || length > 0)
		call.headers[call.nheaders++] = (struct s3_header){"range", range};

	status = s3_call_send(of(base), &call, &answer, err);
	if (status == ST_OK && answer.code == 416)
		status = get_behind_end(base, &get, err);
	else if (status == ST_OK && answer.code / 100 != 2)
		status = s3_call_refused(of(base), &call, &answer, err);
	s3_answer_free(&answer);
	return status;
}

/* --- head ---------------------------------------------------------------- */

/*
 * HEAD has no body that could say NoSuchKey, and a load balancer in front of a
 * store that is down says 404, too.  So absence counts only when a listing
 * agrees.
 */
static enum status
confirm_missing(struct s3_store *store, const char *key, struct err *err)
{
	struct s3_list_request request = {.prefix = key, .max_keys = 1};
	struct s3_list_page page;
	const char *found = NULL;
	enum status status = s3_list_fetch(store, &request, &page, err);

	if (status != ST_OK)
		return status;
	if (page.nentries > 0)
		found = s3_address_relative(&store->address, page.entries[0].name);
	if (found != NULL && strcmp(found, key) == 0)
		status = err_set(err, ST_RETRY,
						 "could not look up \"%s\": the store lists it, but "
						 "says HTTP 404",
						 key);
	else
		status = err_set(err, ST_MISSING, "object \"%s\" does not exist", key);
	s3_list_page_free(&page);
	return status;
}

static enum status
take_head(const char *key, const struct s3_headers *headers,
		  struct store_stat *stat, struct err *err)
{
	struct store_stat result = {.modified = headers->modified_s};

	if (headers->content_length < 0 || headers->modified_s < 0 ||
		!headers->has_etag)
	{
		(void) err_set(err, ST_RETRY,
					   "could not look up \"%s\": the answer lacks length, "
					   "time or ETag",
					   key);
		return err_hint(err, "Whatever answered may be no S3 server. Check "
							 "\"s3_endpoint\" and proxies.");
	}
	result.size_bytes = (uint64_t) headers->content_length;
	memcpy(result.storage_class, headers->storage_class,
		   sizeof result.storage_class);
	memcpy(result.replication, headers->replication,
		   sizeof result.replication);

	/* S3 leaves the header out for its usual class. */
	if (result.storage_class[0] == '\0')
		memcpy(result.storage_class, "STANDARD", sizeof "STANDARD");
	result.archived =
		s3_class_archived(result.storage_class) && !headers->restored;
	*stat = result;
	return ST_OK;
}

enum status
s3_head(struct store *base, const char *key, struct store_stat *stat,
		struct err *err)
{
	struct s3_call call = {.method = "HEAD",
						   .verb = "look up",
						   .permission = "s3:GetObject",
						   .key = key,
						   .may_be_missing = true};
	struct s3_answer answer;
	enum status status = s3_call_send(of(base), &call, &answer, err);

	if (status != ST_OK)
		;
	else if (answer.code == 200)
		status = take_head(key, &answer.headers, stat, err);
	else if (answer.code == 404 && !answer.headers.delete_marker)
		status = confirm_missing(of(base), key, err);
	else
		status = s3_call_refused(of(base), &call, &answer, err);
	s3_answer_free(&answer);
	return status;
}

/* --- open and free ------------------------------------------------------- */

static void
s3_free(struct store *base)
{
	struct s3_store *store = of(base);

	s3_http_free(store->http);
	s3_cred_release(store->cred);
	s3_cred_close(store->provider);
	free(store);
}

static const struct store_ops s3_ops = {.put = s3_put,
										.get = s3_get,
										.head = s3_head,
										.list = s3_list,
										.remove = s3_remove,
										.features = s3_features,
										.thaw = s3_thaw,
										.extend = s3_extend,
										.free = s3_free};

enum status
s3_store_open(const struct config *cfg, struct store **out, struct err *err)
{
	struct s3_http_options options = {
		.ca_file = cfg->s3_ca_file,
		.client_cert = cfg->s3_client_cert,
		.tls_1_3 = cfg->s3_tls == TLS_1_3,
		.tls_verify = cfg->s3_tls != TLS_UNVERIFIED,
		.connect_timeout_ms = cfg->connect_timeout_ms,
		.stall_timeout_ms = cfg->stall_timeout_ms};
	struct s3_store *store = calloc(1, sizeof *store);
	enum status status;

	if (store == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	store->base.ops = &s3_ops;
	store->base.deadline = deadline_in(-1, NULL);
	store->base.asks_first = !cfg->s3_conditional_put;
	status =
		s3_address_parse(cfg->repository, cfg->s3_endpoint, cfg->s3_region,
						 cfg->s3_addressing, &store->address, err);
	if (status == ST_OK)
		status = s3_options_init(cfg, &store->options, err);
	store->hash_body = !store->address.https || cfg->s3_tls == TLS_UNVERIFIED;
	if (status == ST_OK)
		status = s3_cred_open(cfg, &store->provider, err);
	if (status == ST_OK)
		status = s3_http_new(&options, &store->http, err);
	if (status == ST_OK)
		*out = &store->base;
	else
		s3_free(&store->base);
	return status;
}
