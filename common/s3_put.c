/*
 * s3_put.c - storing an object, never over another one
 *
 * Over plain http the signature covers the body with SHA-256, which the store
 * compares (s3_call.c).  Beside that an upload carries a checksum where the
 * store is known to compare one that is nearly free (AWS: CRC-32C), and where
 * object lock makes S3 demand one: Content-MD5, which every store knows.
 */
#include "common/s3_store.h"

#include <string.h>
#include <time.h>

#include "common/s3_error.h"

/* What an upload's headers point to. */
struct upload
{
	struct s3_option_headers options;
	struct s3_body_checksum checksum;
};

static void
add_header(struct s3_call *call, const char *name, const char *value)
{
	call->headers[call->nheaders++] = (struct s3_header){name, value};
}

void
s3_call_add_checksum(const struct s3_store *store, struct s3_call *call,
					 struct s3_body_checksum *room)
{
	/* A libcrypto in FIPS mode has no MD5. */
	if (!store->address.aws &&
		s3_md5_base64(call->body, call->body_len, room->md5))
		add_header(call, "content-md5", room->md5);
	else
	{
		s3_crc32c_base64(call->body, call->body_len, room->crc32c);
		add_header(call, "x-amz-checksum-crc32c", room->crc32c);
	}
}

/* A bucket with a default retention wants one, which we cannot know before. */
static bool
asks_for_checksum(const struct s3_answer *answer)
{
	struct s3_xml_error error;

	return answer->code == 400 && answer->body_len > 0 &&
		   s3_xml_parse_error(answer->body, answer->body_len, &error) ==
			   ST_OK &&
		   strcasestr(error.message, "Content-MD5") != NULL &&
		   (strcmp(error.code, "InvalidRequest") == 0 ||
			strcmp(error.code, "MissingContentMD5") == 0);
}

/* How a put that was sent once went. */
enum outcome
{
	PUT_DONE, /* status and err say how */
	PUT_NOT_IMPLEMENTED,
	PUT_NEEDS_CHECKSUM
};

static enum outcome
judge_refusal(struct s3_store *store, const struct s3_answer *answer,
			  bool conditional)
{
	if (conditional && answer->code == 501)
		return PUT_NOT_IMPLEMENTED;
	if (!store->checksum && asks_for_checksum(answer))
		return PUT_NEEDS_CHECKSUM;
	return PUT_DONE;
}

static enum status
put_once(struct s3_store *store, const char *key, const void *data, size_t len,
		 bool conditional, enum outcome *outcome, struct err *err)
{
	struct s3_call call = {.method = "PUT",
						   .verb = "put",
						   .permission = "s3:PutObject",
						   .key = key,
						   .body = len > 0 ? data : "",
						   .body_len = len};
	struct upload upload;
	struct s3_answer answer;
	enum status status;

	s3_options_upload(&store->options, key, (int64_t) time(NULL),
					  &upload.options);
	for (size_t i = 0; i < upload.options.count; i++)
		call.headers[call.nheaders++] = upload.options.list[i];
	if (store->address.aws || store->checksum ||
		s3_options_locks(&store->options, key))
		s3_call_add_checksum(store, &call, &upload.checksum);
	if (conditional)
		add_header(&call, "if-none-match", "*");
	*outcome = PUT_DONE;
	status = s3_call_send(store, &call, &answer, err);
	if (status == ST_OK && answer.code != 200)
	{
		*outcome = judge_refusal(store, &answer, conditional);
		status = s3_call_refused(store, &call, &answer, err);
	}
	else if (status == ST_OK && !answer.headers.has_etag)
	{
		/* Every S3 server names what it stored; a captive portal does not. */
		status =
			err_set(err, ST_RETRY,
					"could not put \"%s\": HTTP 200 without an ETag", key);
		(void) err_hint(err, "Whatever answered may be no S3 server. Check "
							 "\"s3_endpoint\" and proxies.");
	}
	s3_answer_free(&answer);
	return status;
}

static enum status
put(struct s3_store *store, const char *key, const void *data, size_t len,
	bool conditional, enum outcome *outcome, struct err *err)
{
	enum status status =
		put_once(store, key, data, len, conditional, outcome, err);

	if (*outcome != PUT_NEEDS_CHECKSUM)
		return status;
	store->checksum = true;
	return put_once(store, key, data, len, conditional, outcome, err);
}

enum status
s3_put(struct store *base, const char *key, const void *data, size_t len,
	   struct err *err)
{
	struct s3_store *store = (struct s3_store *) base;
	struct store_stat stat;
	enum outcome outcome;
	enum status status;

	if (!base->asks_first)
	{
		status = put(store, key, data, len, true, &outcome, err);
		if (outcome != PUT_NOT_IMPLEMENTED)
			return status;
		base->asks_first = true;
	}
	status = s3_head(base, key, &stat, err);
	if (status == ST_OK)
		return err_set(err, ST_EXISTS, "object \"%s\" exists already", key);
	if (status != ST_MISSING)
		return status;
	return put(store, key, data, len, false, &outcome, err);
}
