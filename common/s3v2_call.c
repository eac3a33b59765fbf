/*
 * s3v2_call.c - runs one request of libs3 and explains its answer
 *
 * libs3's own loop knows no deadline, so the loop is ours.
 */
#include "common/s3v2_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>

#define WHAT_SIZE   (STORE_KEY_MAX + 64)
#define WAIT_MAX_MS 200 /* so that the cancel flag is seen */

char *
s3v2_what(const struct s3v2_call *call, char *out, size_t size)
{
	(void) snprintf(out, size, call->is_key ? "%s \"%s\"" : "%s %s",
					call->verb, call->subject);
	return out;
}

char *
s3v2_name(const struct s3v2_store *store, const char *key)
{
	char *out;

	if (asprintf(&out, "%s%s", store->address.prefix, key) < 0)
		return NULL;
	return out;
}

/* --- what libs3 calls ----------------------------------------------------
 */

/* Copies what fits, without bytes that could disturb a log. */
static void
take_text(char *out, size_t size, const char *text)
{
	size_t i;

	for (i = 0; text != NULL && i < size - 1 && text[i] != '\0'; i++)
		out[i] = (char) (text[i] < ' ' || text[i] > '~' ? '?' : text[i]);
	out[i] = '\0';
}

static S3Status
on_properties(const S3ResponseProperties *properties, void *arg)
{
	struct s3v2_call *call = arg;

	call->moved_ms = clock_now_ms();
	call->content_length = properties->contentLength;
	take_text(call->request_id, sizeof call->request_id,
			  properties->requestId);
	return S3StatusOK;
}

static void
on_complete(S3Status status, const S3ErrorDetails *details, void *arg)
{
	struct s3v2_call *call = arg;

	call->result = status;
	if (details == NULL)
		return;
	take_text(call->message, sizeof call->message, details->message);
	for (int i = 0; i < details->extraDetailsCount; i++)
		if (strcmp(details->extraDetails[i].name, "Code") == 0)
			take_text(call->code, sizeof call->code,
					  details->extraDetails[i].value);
}

const S3ResponseHandler s3v2_response = {on_properties, on_complete};

/* --- running -------------------------------------------------------------
 */

enum status
s3v2_begin(struct s3v2_store *store, struct s3v2_call *call,
		   S3RequestContext **out, struct err *err)
{
	enum status status = deadline_check(&store->base.deadline, err);
	char what[WHAT_SIZE];

	if (status != ST_OK)
		return err_context(err, "could not %s",
						   s3v2_what(call, what, sizeof what));
	if (S3_create_request_context(out) != S3StatusOK)
		return err_set(err, ST_NOMEM, "out of memory");
	call->err = err;
	call->result = S3StatusInterrupted;
	call->moved_ms = clock_now_ms();
	store->base.requests++;
	return ST_OK;
}

/* Waits until a connection can go on, or for a moment. */
static bool
wait_for_bytes(S3RequestContext *context)
{
	fd_set reads;
	fd_set writes;
	fd_set others;
	int64_t wait_ms = S3_get_request_context_timeout(context);
	struct timeval wait;
	int max = -1;

	FD_ZERO(&reads);
	FD_ZERO(&writes);
	FD_ZERO(&others);
	if (S3_get_request_context_fdsets(context, &reads, &writes, &others,
									  &max) != S3StatusOK)
		return false;
	if (wait_ms < 0 || wait_ms > WAIT_MAX_MS)
		wait_ms = WAIT_MAX_MS;
	wait.tv_sec = 0;
	wait.tv_usec = (suseconds_t) (wait_ms * 1000);
	return select(max + 1, &reads, &writes, &others, &wait) >= 0 ||
		   errno == EINTR;
}

static enum status
check_time(const struct s3v2_store *store, const struct s3v2_call *call,
		   struct err *err)
{
	enum status status = deadline_check(&store->base.deadline, err);
	char what[WHAT_SIZE];

	(void) s3v2_what(call, what, sizeof what);
	if (status != ST_OK)
		return err_context(err, "could not %s", what);
	if (clock_now_ms() - call->moved_ms < store->stall_timeout_ms)
		return ST_OK;
	return err_set(err, ST_RETRY, "could not %s: no byte moved for %lld ms",
				   what, (long long) store->stall_timeout_ms);
}

enum status
s3v2_finish(struct s3v2_store *store, struct s3v2_call *call,
			S3RequestContext *context, struct err *err)
{
	enum status status = ST_OK;
	int remaining = 1;

	while (status == ST_OK)
	{
		S3Status ran = S3_runonce_request_context(context, &remaining);

		if (ran == S3StatusOutOfMemory)
			status = err_set(err, ST_NOMEM, "out of memory");
		else if (ran != S3StatusOK)
			status = err_set(err, ST_RETRY, "libs3 cannot go on: %s",
							 S3_get_status_name(ran));
		if (status != ST_OK || remaining == 0)
			break;
		status = check_time(store, call, err);
		if (status == ST_OK && !wait_for_bytes(context))
			status = err_set_errno(err, ST_IO, errno, "could not wait");
	}

	/* What is not complete ends here, with its callback. */
	S3_destroy_request_context(context);
	if (call->status != ST_OK)
		return call->status;
	return status;
}

/* --- explaining ----------------------------------------------------------
 */

/* What has no code of S3's. */
static const struct
{
	S3Status result;
	enum status status;
	const char *hint; /* NULL: none */
} meanings[] = {
	{S3StatusOutOfMemory, ST_NOMEM, NULL},
	{S3StatusNameLookupError, ST_RETRY, NULL},
	{S3StatusFailedToConnect, ST_RETRY, NULL},
	{S3StatusConnectionFailed, ST_RETRY, NULL},
	{S3StatusServerFailedVerification, ST_CONFIG,
	 "libs3 knows the system's authorities only."},
	{S3StatusInternalError, ST_RETRY, NULL},
	{S3StatusInterrupted, ST_RETRY, NULL},
	{S3StatusXmlParseFailure, ST_RETRY,
	 "Whatever answered may be no S3 server. Check \"s3_endpoint\" and "
	 "proxies."},
	{S3StatusErrorUnknown, ST_RETRY, NULL},
	{S3StatusHttpErrorMovedTemporarily, ST_CONFIG, "Check \"s3_endpoint\"."},
	{S3StatusHttpErrorBadRequest, ST_CONFIG, NULL},
	{S3StatusHttpErrorForbidden, ST_AUTH,
	 "The credentials are wrong, or lack the permission for this."},
	{S3StatusHttpErrorNotFound, ST_RETRY,
	 "Whatever answered may be no S3 server. Check \"s3_endpoint\" and "
	 "proxies."},
	{S3StatusHttpErrorConflict, ST_RETRY, NULL},
	{S3StatusHttpErrorUnknown, ST_RETRY, NULL},
};

static enum status
explain_result(const struct s3v2_call *call, const char *what, struct err *err)
{
	enum status status = ST_CONFIG;
	const char *hint = NULL;

	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if (meanings[i].result == call->result)
		{
			status = meanings[i].status;
			hint = meanings[i].hint;
		}
	(void) err_set(err, status, "%s %s: libs3 says %s%s%s",
				   status == ST_RETRY ? "could not" : "cannot", what,
				   S3_get_status_name(call->result),
				   call->message[0] != '\0' ? ": " : "", call->message);
	return hint != NULL ? err_hint(err, "%s", hint) : status;
}

enum status
s3v2_explain(const struct s3v2_store *store, const struct s3v2_call *call,
			 struct err *err)
{
	static const char of_s3[] = "Error"; /* "ErrorNoSuchKey" */
	const char *name = S3_get_status_name(call->result);
	const char *code = call->code;
	char where[S3_HOST_SIZE + S3_BUCKET_SIZE + 16];
	char what[WHAT_SIZE];
	struct s3_question question = {.what = s3v2_what(call, what, sizeof what),
								   .permission = call->permission,
								   .may_be_missing = call->may_be_missing,
								   .now_s = (int64_t) time(NULL)};

	if (call->result != S3StatusErrorUnknown &&
		strncmp(name, of_s3, strlen(of_s3)) == 0)
		code = name + strlen(of_s3);
	if (code[0] != '\0')
		(void) s3_error_explain_code(&question, code, call->message, err);
	else
		(void) explain_result(call, what, err);
	if (call->result == S3StatusErrorNoSuchKey && call->may_be_missing)
		err->status = ST_MISSING;
	s3_address_text(&store->address, where, sizeof where);
	(void) err_detail(err, "Asked %s%s%s.", where,
					  call->request_id[0] != '\0' ? ", request id " : "",
					  call->request_id);
	return err->status;
}
