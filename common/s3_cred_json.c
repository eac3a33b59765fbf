/*
 * s3_cred_json.c - credentials, or a failure, as a JSON document
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yajl/yajl_parse.h>

#include "common/s3_cred_internal.h"
#include "common/s3_time.h"
#include "common/secretfile.h"
#include "common/wipe.h"

enum field
{
	VERSION,
	ACCESS_KEY_ID,
	SECRET_ACCESS_KEY,
	TOKEN,
	SESSION_TOKEN,
	EXPIRATION,
	CODE,
	MESSAGE,
	ERROR_MESSAGE,
	NFIELDS
};

static const char *const names[NFIELDS] = {
	[VERSION] = "Version",
	[ACCESS_KEY_ID] = "AccessKeyId",
	[SECRET_ACCESS_KEY] = "SecretAccessKey",
	[TOKEN] = "Token",
	[SESSION_TOKEN] = "SessionToken",
	[EXPIRATION] = "Expiration",
	[CODE] = "Code",
	[MESSAGE] = "Message",
	[ERROR_MESSAGE] = "message",
};

/* In locked memory. */
struct document
{
	unsigned depth;
	int field; /* whose value comes; NFIELDS: of no interest */
	bool bad;
	bool seen[NFIELDS];
	char values[NFIELDS][S3_CRED_TOKEN_SIZE]; /* "" where it is null */
};

static int
take(struct document *doc, const void *text, size_t len)
{
	if (doc->depth == 0)
		doc->bad = true;
	if (doc->depth != 1 || doc->field == NFIELDS)
		return !doc->bad;
	if (doc->seen[doc->field] || len >= S3_CRED_TOKEN_SIZE ||
		memchr(text, '\0', len) != NULL)
		doc->bad = true;
	else
	{
		memcpy(doc->values[doc->field], text, len);
		doc->values[doc->field][len] = '\0';
		doc->seen[doc->field] = true;
	}
	return !doc->bad;
}

static int
on_null(void *arg)
{
	return take(arg, "", 0);
}

static int
on_boolean(void *arg, int value)
{
	(void) value;
	return take(arg, "", 0);
}

static int
on_number(void *arg, const char *text, size_t len)
{
	return take(arg, text, len);
}

static int
on_string(void *arg, const unsigned char *text, size_t len)
{
	return take(arg, text, len);
}

static int
on_key(void *arg, const unsigned char *text, size_t len)
{
	struct document *doc = arg;

	if (doc->depth != 1)
		return 1;
	for (doc->field = 0; doc->field < NFIELDS; doc->field++)
		if (strlen(names[doc->field]) == len &&
			memcmp(names[doc->field], text, len) == 0)
			break;
	return 1;
}

static int
on_open(void *arg)
{
	struct document *doc = arg;

	doc->depth++;
	return 1;
}

/* An array may not be the document, nor be where a text is expected. */
static int
on_open_array(void *arg)
{
	struct document *doc = arg;

	if (doc->depth == 0)
		return 0;
	return on_open(arg);
}

static int
on_close(void *arg)
{
	struct document *doc = arg;

	doc->depth--;
	return 1;
}

static void *
json_malloc(void *ctx, size_t size)
{
	(void) ctx;
	return malloc(size);
}

static void *
json_realloc(void *ctx, void *block, size_t size)
{
	(void) ctx;
	return wipe_realloc(block, size);
}

static void
json_free_wiped(void *ctx, void *block)
{
	(void) ctx;
	wipe_free(block);
}

/* *out is in locked memory.  ST_CORRUPT (err unset), ST_NOMEM. */
static enum status
parse(const char *text, size_t len, struct document **out, struct err *err)
{
	static const yajl_callbacks callbacks = {
		.yajl_null = on_null,
		.yajl_boolean = on_boolean,
		.yajl_number = on_number,
		.yajl_string = on_string,
		.yajl_start_map = on_open,
		.yajl_map_key = on_key,
		.yajl_end_map = on_close,
		.yajl_start_array = on_open_array,
		.yajl_end_array = on_close,
	};
	yajl_alloc_funcs memory = {json_malloc, json_realloc, json_free_wiped,
							   NULL};
	struct document *doc;
	void *block = NULL;
	yajl_handle handle;
	bool ok;
	enum status status = secret_alloc(sizeof *doc, &block, err);

	if (status != ST_OK)
		return status;
	doc = block;
	memset(doc, 0, sizeof *doc);
	doc->field = NFIELDS;
	handle = yajl_alloc(&callbacks, &memory, doc);
	if (handle == NULL)
	{
		secret_free(doc);
		(void) err_set(err, ST_NOMEM, "out of memory");
		return ST_NOMEM;
	}
	ok = yajl_parse(handle, (const unsigned char *) text, len) ==
			 yajl_status_ok &&
		 yajl_complete_parse(handle) == yajl_status_ok && !doc->bad;
	yajl_free(handle);
	if (!ok)
	{
		secret_free(doc);
		return ST_CORRUPT;
	}
	*out = doc;
	return ST_OK;
}

static enum status
explain_failure(const char *what, const struct document *doc, struct err *err)
{
	char code[64];
	char message[256];
	enum status status = ST_AUTH;

	/* The instance's service says so while it cannot reach its own source. */
	if (strcmp(doc->values[CODE], "AssumeRoleUnauthorizedAccess") != 0)
		status = ST_RETRY;
	s3_cred_printable(code, sizeof code, doc->values[CODE]);
	s3_cred_printable(message, sizeof message,
					  doc->values[MESSAGE][0] != '\0'
						  ? doc->values[MESSAGE]
						  : doc->values[ERROR_MESSAGE]);
	return err_set(err, status, "could not get %s: %s%s%s", what, code,
				   message[0] != '\0' ? ": " : "", message);
}

static enum status
take_expiration(const char *what, const struct document *doc, bool expires,
				int64_t *out, struct err *err)
{
	const char *text = doc->values[EXPIRATION];

	*out = S3_CRED_FOREVER;
	if (text[0] == '\0')
		return !expires ? ST_OK
						: err_set(err, ST_CORRUPT,
								  "%s do not say when they expire", what);
	if (!s3_time_parse_iso(text, out))
		return err_set(err, ST_CORRUPT,
					   "%s expire at a time that cannot be read", what);
	if (*out - (int64_t) time(NULL) > S3_CRED_LEAST_S)
		return ST_OK;
	(void) err_set(err, ST_RETRY, "%s have expired already", what);
	return err_hint(err, "See that this host's clock is right.");
}

static enum status
take_credentials(const char *what, const struct document *doc, bool expires,
				 struct s3_cred **out, struct err *err)
{
	const char *token = doc->values[TOKEN];
	int64_t expires_s;

	if (!doc->seen[ACCESS_KEY_ID] &&
		(doc->values[CODE][0] != '\0' || doc->seen[MESSAGE] ||
		 doc->seen[ERROR_MESSAGE]))
		return explain_failure(what, doc, err);
	if (doc->seen[CODE] && strcmp(doc->values[CODE], "Success") != 0)
		return explain_failure(what, doc, err);
	if (take_expiration(what, doc, expires, &expires_s, err) != ST_OK)
		return err->status;
	if (token[0] == '\0')
		token = doc->values[SESSION_TOKEN];
	if (s3_cred_new(doc->values[ACCESS_KEY_ID], doc->values[SECRET_ACCESS_KEY],
					token, expires_s, out, err) != ST_OK)
		return err_context(err, "%s", what);
	return ST_OK;
}

enum status
s3_cred_from_json(const char *what, const char *text, size_t len, bool expires,
				  struct s3_cred **out, struct err *err)
{
	struct document *doc;
	enum status status = parse(text, len, &doc, err);

	if (status == ST_CORRUPT)
		return err_set(err, ST_CORRUPT, "%s are not the JSON they should be",
					   what);
	if (status != ST_OK)
		return status;
	if (doc->seen[VERSION] && strcmp(doc->values[VERSION], "1") != 0)
		status = err_set(err, ST_CORRUPT, "%s are not of version 1", what);
	else
		status = take_credentials(what, doc, expires, out, err);
	secret_free(doc);
	return status;
}

void
s3_cred_json_message(const char *text, size_t len, char *out, size_t size)
{
	struct document *doc;
	struct err ignored;

	out[0] = '\0';
	if (parse(text, len, &doc, &ignored) != ST_OK)
		return;
	s3_cred_printable(out, size,
					  doc->seen[ERROR_MESSAGE] ? doc->values[ERROR_MESSAGE]
											   : doc->values[MESSAGE]);
	secret_free(doc);
}
