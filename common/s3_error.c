/*
 * s3_error.c - what an S3 server's refusal means to us
 */
#include "common/s3_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/s3_error_codes.h"
#include "common/s3_xml.h"

#define CLOCK_SKEW_S    240
#define PERMISSION_SIZE 64

/* What is left to go by where the code is unknown. */
static enum status
status_of_http(long http)
{
	switch (http)
	{
		case 401:
		case 403:
			return ST_AUTH;
		case 408:
		case 409:
		case 425:
		case 429:
			return ST_RETRY;
		case 501:
		case 505:
			return ST_CONFIG;
		default:
			return http >= 500 || http < 300 ? ST_RETRY : ST_CONFIG;
	}
}

/* An answer in no way S3's: from a web server, a proxy, a load balancer. */
static enum status
status_of_stranger(long http)
{
	/* An ingress says 404 while the store behind it restarts. */
	if (http == 404)
		return ST_RETRY;
	return status_of_http(http);
}

static void
hint_region(const struct s3_xml_error *error, const struct s3_answer *answer,
			struct err *err)
{
	const char *region = answer->headers.bucket_region;

	if (region[0] == '\0')
		region = error->region;
	if (region[0] != '\0')
		(void) err_hint(err,
						"The bucket is in region \"%s\": set "
						"\"s3_region\" to it.",
						region);
	else if (error->endpoint[0] != '\0')
		(void) err_hint(err,
						"The store wants to be addressed as \"%s\": "
						"check \"s3_region\" and \"s3_endpoint\".",
						error->endpoint);
	else
		(void) err_hint(err, "Check \"s3_region\" and \"s3_endpoint\".");
}

static void
hint_clock(const struct s3_question *question, const struct s3_answer *answer,
		   struct err *err)
{
	long long offset;

	if (answer->headers.date_s < 0)
	{
		(void) err_hint(err, "This host's clock and the store's differ too "
							 "much: synchronise this host's clock.");
		return;
	}
	offset = (long long) (question->now_s - answer->headers.date_s);
	(void) err_hint(err,
					"This host's clock is %lld s %s the store's: "
					"synchronise this host's clock.",
					offset < 0 ? -offset : offset,
					offset < 0 ? "behind" : "ahead of");
}

/* What to say where there is nothing to look at. */
static const char *const plain_hints[] = {
	[S3_HINT_KEYS] = "Check the credentials (README's section "
					 "\"Credentials\" tells where they come from) and "
					 "\"s3_endpoint\".",
	[S3_HINT_TOKEN] = "The temporary credentials have ended or do not belong "
					  "together: get new ones.",
	[S3_HINT_BUCKET] = "Create the bucket, or correct \"repository\", "
					   "\"s3_endpoint\" or \"s3_addressing\".",
	[S3_HINT_ADDRESSING] = "The store may want the bucket elsewhere in the "
						   "URL: try \"s3_addressing\" path or virtual, and "
						   "check \"s3_endpoint\".",
	[S3_HINT_SIGNATURE] = "The store wants another version of signatures.",
	[S3_HINT_PROXY] = "Something between here and the store may have changed "
					  "the request: check proxies and \"s3_endpoint\".",
	[S3_HINT_ACCOUNT] = "The store's provider tells what is wrong with the "
						"account, or who has to pay.",
	[S3_HINT_ARCHIVED] = "The object is in an archive storage class: have "
						 "the store restore it first.",
	[S3_HINT_CLASS] = "The store does not have the storage class of "
					  "\"s3_storage_class\".",
	[S3_HINT_KMS] = "Check that the KMS key exists, is enabled, and is in the "
					"bucket's region.",
	[S3_HINT_SIZE] = "The store takes no object of that size in one request.",
	[S3_HINT_QUOTA] = "Raise the quota of the user or the bucket.",
};

/*
 * The action that an answer says is missing, which may be another one than
 * the request's: writing with a KMS key needs kms:GenerateDataKey.
 */
static const char *
missing_permission(const struct s3_question *question, const char *message,
				   char out[PERMISSION_SIZE])
{
	static const char lead[] = "to perform: ";
	const char *told = strstr(message, lead);
	size_t len;

	if (told == NULL)
		return question->permission;
	told += strlen(lead);
	len = strspn(told, "abcdefghijklmnopqrstuvwxyz"
					   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-");
	if (len == 0 || len >= PERMISSION_SIZE)
		return question->permission;
	memcpy(out, told, len);
	out[len] = '\0';
	return out;
}

static void
give_hint(enum s3_hint hint, const struct s3_question *question,
		  const struct s3_xml_error *error, const struct s3_answer *answer,
		  struct err *err)
{
	char permission[PERMISSION_SIZE];

	switch (hint)
	{
		case S3_HINT_NONE:
			break;
		case S3_HINT_PERMISSION:
			(void) err_hint(
				err, "The credentials need %s.%s",
				missing_permission(question, error->message, permission),
				question->may_be_missing
					? " Without s3:ListBucket a store says this "
					  "also of an object that does not exist."
					: "");
			break;
		case S3_HINT_REFUSED:
			(void) err_hint(err,
							"The credentials are wrong or lack %s. Without "
							"s3:ListBucket a store says this also of an "
							"object that does not exist.",
							question->permission);
			break;
		case S3_HINT_CLOCK:
			hint_clock(question, answer, err);
			break;
		case S3_HINT_REGION:
			hint_region(error, answer, err);
			break;
		default:
			(void) err_hint(err, "%s", plain_hints[hint]);
			break;
	}
}

/* "cannot" if another try cannot help. */
static const char *
verb_of(enum status status)
{
	return status == ST_RETRY ? "could not" : "cannot";
}

static bool
repeats(const char *text, const char *secret)
{
	return secret != NULL && secret[0] != '\0' && strstr(text, secret) != NULL;
}

/* A server under a debugger echoes what it got. */
static const char *
harmless(const char *message, const struct s3_credentials *credentials)
{
	if (strstr(message, "AWS4-HMAC") != NULL ||
		strstr(message, "Signature=") != NULL ||
		repeats(message, credentials->secret_access_key) ||
		repeats(message, credentials->session_token))
		return "(withheld, since it repeats credentials)";
	return message;
}

static enum status
explain_stranger(const struct s3_question *question,
				 const struct s3_answer *answer, struct err *err)
{
	enum status status = status_of_stranger(answer->code);
	const char *type = answer->headers.content_type;

	(void) err_set(err, status, "%s %s: HTTP %ld without an S3 error",
				   verb_of(status), question->what, answer->code);
	(void) err_hint(err,
					"Whatever answered may be no S3 server: it sent %zu "
					"bytes of type \"%s\". Check \"s3_endpoint\" and "
					"proxies.",
					answer->body_len, type[0] != '\0' ? type : "unknown");
	return status;
}

static enum status
explain_proxy(const struct s3_question *question, struct err *err)
{
	(void) err_set(err, ST_CONFIG, "cannot %s: HTTP 407 from a proxy",
				   question->what);
	return err_hint(err, "Put the proxy's user and password into the "
						 "variable http_proxy, as "
						 "http://user:password@host:port.");
}

/* A HEAD has no body to say more. */
static bool
is_bare(const struct s3_answer *answer)
{
	return answer->body_len == 0 &&
		   (answer->headers.request_id[0] != '\0' || answer->code != 404);
}

/* By more than S3 forgives, which is 15 minutes; some stores less. */
static bool
clocks_differ(const struct s3_question *question,
			  const struct s3_answer *answer)
{
	int64_t store_s = answer->headers.date_s;

	return store_s >= 0 && (question->now_s > store_s + CLOCK_SKEW_S ||
							question->now_s < store_s - CLOCK_SKEW_S);
}

static enum status
explain_bare(const struct s3_question *question,
			 const struct s3_answer *answer, struct err *err)
{
	static const struct s3_xml_error none;
	enum status status = status_of_http(answer->code);

	(void) err_set(err, status, "%s %s: HTTP %ld", verb_of(status),
				   question->what, answer->code);
	if (answer->code == 403 && clocks_differ(question, answer))
		give_hint(S3_HINT_CLOCK, question, &none, answer, err);
	else if (answer->code == 403)
		give_hint(S3_HINT_REFUSED, question, &none, answer, err);
	else if (answer->code / 100 == 3 || answer->code == 400)
		hint_region(&none, answer, err);
	return status;
}

static enum status
explain_document(const struct s3_credentials *credentials,
				 const struct s3_question *question,
				 const struct s3_answer *answer,
				 const struct s3_xml_error *error, struct err *err)
{
	const struct s3_error_meaning *meaning = s3_error_meaning(error->code);
	enum status status =
		meaning != NULL ? meaning->status : status_of_http(answer->code);
	const char *message = harmless(error->message, credentials);

	if (question->may_be_missing && answer->code == 404 &&
		strcmp(error->code, "NoSuchKey") == 0)
		status = ST_MISSING;
	(void) err_set(err, status, "%s %s: HTTP %ld %s%s%s", verb_of(status),
				   question->what, answer->code,
				   harmless(error->code, credentials),
				   message[0] != '\0' ? ": " : "", message);
	if (meaning != NULL && meaning->hint == S3_HINT_KEYS &&
		clocks_differ(question, answer))
		give_hint(S3_HINT_CLOCK, question, error, answer, err);
	else if (meaning != NULL)
		give_hint(meaning->hint, question, error, answer, err);
	else if (answer->code / 100 == 3)
		hint_region(error, answer, err);
	else if (status == ST_AUTH)
		give_hint(S3_HINT_PERMISSION, question, error, answer, err);
	return status;
}

enum status
s3_error_explain(const struct s3_address *address,
				 const struct s3_credentials *credentials,
				 const struct s3_question *question,
				 const struct s3_answer *answer, struct err *err)
{
	struct s3_xml_error error = {.code = ""};
	char where[S3_HOST_SIZE + S3_BUCKET_SIZE + 16];
	const char *id;
	bool document =
		answer->body_len > 0 && !answer->body_cut &&
		s3_xml_parse_error(answer->body, answer->body_len, &error) == ST_OK;

	if (answer->code == 404 && answer->headers.delete_marker)
	{
		(void) err_set(err, ST_CONFIG,
					   "cannot %s: the object was deleted (HTTP 404 with a "
					   "delete marker)",
					   question->what);
		(void) err_hint(err, "The bucket keeps versions: an earlier one may "
							 "be brought back there.");
	}
	else if (answer->code == 407)
		(void) explain_proxy(question, err);
	else if (document)
		(void) explain_document(credentials, question, answer, &error, err);
	else if (is_bare(answer))
		(void) explain_bare(question, answer, err);
	else
		(void) explain_stranger(question, answer, err);

	id = error.request_id[0] != '\0' ? error.request_id
									 : answer->headers.request_id;
	s3_address_text(address, where, sizeof where);
	(void) err_detail(err, "Asked %s%s%s.", where,
					  id[0] != '\0' ? ", request id " : "", id);
	if (err->status == ST_RETRY)
		err->retry_after_ms =
			s3_headers_retry_after(&answer->headers, question->now_s);
	return err->status;
}

enum status
s3_error_explain_code(const struct s3_question *question, const char *code,
					  const char *message, struct err *err)
{
	static const struct s3_xml_error nothing;
	const struct s3_error_meaning *meaning = s3_error_meaning(code);
	struct s3_answer none = {.code = 0};
	enum status status = meaning != NULL ? meaning->status : ST_CONFIG;

	s3_headers_reset(&none.headers);
	(void) err_set(err, status, "%s %s: %s%s%s", verb_of(status),
				   question->what, code[0] != '\0' ? code : "no reason given",
				   message[0] != '\0' ? ": " : "", message);
	if (meaning != NULL)
		give_hint(meaning->hint, question, &nothing, &none, err);
	return status;
}

bool
s3_error_is(const struct s3_answer *answer, const char *code)
{
	struct s3_xml_error error;

	return answer->body_len > 0 &&
		   s3_xml_parse_error(answer->body, answer->body_len, &error) ==
			   ST_OK &&
		   strcmp(error.code, code) == 0;
}
