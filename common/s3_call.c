/*
 * s3_call.c - addresses, signs and sends one request
 *
 * Over plain http the signature covers the body, since nothing else does.
 * Over TLS, which protects it already, hashing it would only cost time (a
 * tenth of what sealing costs), so the body is left out; unless the server's
 * certificate is not verified, when TLS protects nothing from a forger.
 */
#include "common/s3_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/s3_error.h"
#include "common/s3_pace.h"
#include "common/s3_region.h"

#define WHAT_SIZE (STORE_KEY_MAX + 64)

/* The bytes of the strings that a signed request is made of. */
struct signing
{
	char *path;
	char *query;
	char *url;
	char amz_date[S3_AMZ_DATE_SIZE];
	char hash[S3_SHA256_HEX_SIZE];
	char authorization[S3_AUTHORIZATION_SIZE];
	struct s3_header headers[S3_SIGN_HEADERS_MAX];
	size_t nheaders;
};

char *
s3_call_what(const struct s3_call *call, char *out, size_t size)
{
	if (call->key != NULL)
		(void) snprintf(out, size, "%s \"%s\"", call->verb, call->key);
	else
		(void) snprintf(out, size, "%s %s", call->verb, call->subject);
	return out;
}

static void
add_header(struct signing *s, const char *name, const char *value)
{
	s->headers[s->nheaders].name = name;
	s->headers[s->nheaders].value = value;
	s->nheaders++;
}

static bool
hash_payload(const struct s3_store *store, const struct s3_call *call,
			 struct signing *s)
{
	if (call->body == NULL || call->body_len == 0)
		memcpy(s->hash, S3_EMPTY_SHA256, sizeof S3_EMPTY_SHA256);
	else if (!store->hash_body && strcmp(call->method, "PUT") == 0)
		memcpy(s->hash, S3_UNSIGNED_PAYLOAD, sizeof S3_UNSIGNED_PAYLOAD);
	else
		return s3_sha256_hex(call->body, call->body_len, s->hash);
	return true;
}

static enum status
sign_call(const struct s3_store *store, const struct s3_call *call,
		  struct signing *s, struct err *err)
{
	const struct s3_credentials *keys = s3_cred_keys(store->cred);
	struct s3_option_headers options;
	struct s3_sign_input input;

	if (!s3_time_format_amz((int64_t) time(NULL), s->amz_date))
		return err_set(err, ST_CONFIG, "this host's clock is not set");
	if (!hash_payload(store, call, s))
		return err_set(err, ST_IO, "libcrypto cannot compute SHA-256");
	add_header(s, "host", store->address.host);
	add_header(s, "x-amz-content-sha256", s->hash);
	add_header(s, "x-amz-date", s->amz_date);
	if (keys->session_token != NULL)
		add_header(s, "x-amz-security-token", keys->session_token);
	if (call->body != NULL)
		add_header(s, "content-type", "application/octet-stream");
	s3_options_request(&store->options, &options);
	for (size_t i = 0; i < options.count; i++)
		add_header(s, options.list[i].name, options.list[i].value);
	for (size_t i = 0; i < call->nheaders; i++)
		add_header(s, call->headers[i].name, call->headers[i].value);

	input = (struct s3_sign_input){.method = call->method,
								   .path = s->path,
								   .query = s->query,
								   .headers = s->headers,
								   .nheaders = s->nheaders,
								   .payload_hash = s->hash,
								   .amz_date = s->amz_date,
								   .region = store->address.region};
	if (!s3_sign(&input, keys, s->authorization, sizeof s->authorization))
		return err_set(err, ST_IO, "libcrypto cannot sign a request");
	add_header(s, "authorization", s->authorization);
	return ST_OK;
}

static enum status
prepare(const struct s3_store *store, const struct s3_call *call,
		struct signing *s, struct err *err)
{
	s->path = s3_address_path(&store->address, call->key);
	s->query = s3_query_build(call->params, call->nparams);
	if (s->path == NULL || s->query == NULL ||
		asprintf(&s->url, "%s://%s%s%s%s",
				 store->address.https ? "https" : "http", store->address.host,
				 s->path, s->query[0] != '\0' ? "?" : "", s->query) < 0)
	{
		s->url = NULL;
		return err_set(err, ST_NOMEM, "out of memory");
	}
	return sign_call(store, call, s, err);
}

/* Of this process; a process has one store. */
static pthread_mutex_t pace_lock = PTHREAD_MUTEX_INITIALIZER;
static struct s3_pace pace;

static int64_t
now_us(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static enum status
wait_for_turn(const struct deadline *d, struct err *err)
{
	int64_t wait_us;

	(void) pthread_mutex_lock(&pace_lock);
	wait_us = s3_pace_start(&pace, now_us());
	(void) pthread_mutex_unlock(&pace_lock);
	return wait_us < 1000 ? ST_OK : deadline_sleep(d, wait_us / 1000, err);
}

static void
note_answer(const struct s3_answer *answer)
{
	(void) pthread_mutex_lock(&pace_lock);
	if (answer->code == 503 || answer->code == 429)
		s3_pace_refused(&pace, now_us());
	else if (answer->code / 100 == 2)
		s3_pace_served(&pace);
	(void) pthread_mutex_unlock(&pace_lock);
}

static enum status
send_once(struct s3_store *store, const struct s3_call *call,
		  struct s3_answer *answer, struct err *err)
{
	struct signing s = {.path = NULL};
	char what[WHAT_SIZE];
	enum status status;

	status = prepare(store, call, &s, err);
	if (status == ST_OK)
	{
		struct s3_request request = {
			.what = s3_call_what(call, what, sizeof what),
			.method = call->method,
			.url = s.url,
			.headers = s.headers,
			.nheaders = s.nheaders,
			.body = call->body,
			.body_len = call->body_len,
			.answer_max =
				call->answer_max > 0 ? call->answer_max : S3_ERROR_MAX,
			.begin = call->begin,
			.sink = call->sink,
			.arg = call->arg};

		store->base.requests++;
		status = s3_http_perform(store->http, &store->base.deadline, &request,
								 answer, err);
		if (status == ST_OK)
			note_answer(answer);
		if (answer->headers.date_s > 0)
			store->base.answered_s = answer->headers.date_s;
	}
	free(s.path);
	free(s.query);
	free(s.url);
	return status;
}

/* Whether other credentials might do; a HEAD's answer does not say. */
static bool
refuses_credentials(const struct s3_answer *answer)
{
	static const char *const codes[] = {"ExpiredToken", "InvalidToken",
										"TokenRefreshRequired",
										"InvalidAccessKeyId"};

	if (answer->code != 400 && answer->code != 401 && answer->code != 403)
		return false;
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (s3_error_is(answer, codes[i]))
			return true;
	return answer->body_len == 0;
}

/*
 * Credentials may be withdrawn before they end, or replaced in their file:
 * then one more try, with new ones.
 */
static enum status
send_with_credentials(struct s3_store *store, const struct s3_call *call,
					  struct s3_answer *answer, struct err *err)
{
	char what[WHAT_SIZE];
	enum status status;
	bool again = false;

	memset(answer, 0, sizeof *answer);
	do
	{
		struct s3_cred *cred;

		s3_answer_free(answer);
		status = s3_cred_acquire(store->provider, &store->base.deadline, &cred,
								 err);
		if (status != ST_OK)
			return err_context(err, "%s",
							   s3_call_what(call, what, sizeof what));
		s3_cred_release(store->cred);
		store->cred = cred;
		status = wait_for_turn(&store->base.deadline, err);
		if (status != ST_OK)
			return err_context(err, "could not %s",
							   s3_call_what(call, what, sizeof what));
		status = send_once(store, call, answer, err);
		again = !again && status == ST_OK && refuses_credentials(answer) &&
				s3_cred_refused(store->provider, cred);
	} while (again);
	return status;
}

/* Where the store says that the bucket lives elsewhere, believes it once. */
static bool
move(struct s3_store *store, const struct s3_answer *answer)
{
	char region[S3_REGION_SIZE];
	char text[2 * S3_REGION_SIZE + S3_BUCKET_SIZE + 128];

	if (store->moved || !s3_region_told(&store->address, answer, region))
		return false;
	(void) snprintf(text, sizeof text,
					"bucket \"%s\" is in region \"%s\", not in \"%s\": "
					"every start costs a request until \"s3_region\" says so",
					store->address.bucket, region, store->address.region);
	s3_address_move(&store->address, region);
	store->moved = true;
	if (store->base.tell != NULL)
		store->base.tell(text);
	return true;
}

enum status
s3_call_send(struct s3_store *store, const struct s3_call *call,
			 struct s3_answer *answer, struct err *err)
{
	enum status status = send_with_credentials(store, call, answer, err);

	if (status != ST_OK || !move(store, answer))
		return status;
	s3_answer_free(answer);
	return send_with_credentials(store, call, answer, err);
}

enum status
s3_call_refused(const struct s3_store *store, const struct s3_call *call,
				const struct s3_answer *answer, struct err *err)
{
	char what[WHAT_SIZE];
	struct s3_question question = {.what =
									   s3_call_what(call, what, sizeof what),
								   .permission = call->permission,
								   .may_be_missing = call->may_be_missing,
								   .now_s = (int64_t) time(NULL)};

	return s3_error_explain(&store->address, s3_cred_keys(store->cred),
							&question, answer, err);
}
