/*
 * s3_cred_instance.c - credentials of an EC2 instance's role
 *
 * The instance's metadata service, version 2: a PUT for a token, a GET for the
 * role's name, a GET for its credentials.  Version 1, which anything that can
 * be tricked into a GET can use, only if AWS_EC2_METADATA_V1_DISABLED is set
 * to "false" (AWS's programs take an unset variable for that).  The address
 * answers at once or never: a second for each request, one repetition. Source:
 * "Use the Instance Metadata Service to access instance metadata" of the EC2
 * User Guide.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/s3_cred_internal.h"
#include "common/secretfile.h"

#define URL_IPV4   "http://169.254.169.254"
#define URL_IPV6   "http://[fd00:ec2::254]"
#define ROLES      "/latest/meta-data/iam/security-credentials/"
#define TIMEOUT_MS 1000
#define ATTEMPTS   2
#define TTL_S      "21600"
#define TOKEN_SIZE 1024
#define ROLE_SIZE  65
#define URL_SIZE   512

/* In locked memory. */
struct asking
{
	const struct s3_cred_context *context;
	const struct s3_cred_source *source;
	char token[TOKEN_SIZE]; /* "": version 1 */
	char role[ROLE_SIZE];
	char url[URL_SIZE];
};

enum status
s3_cred_from_instance(struct s3_cred_source **out, struct err *err)
{
	const char *off = s3_cred_env("AWS_EC2_METADATA_DISABLED");
	const char *v1_off = s3_cred_env("AWS_EC2_METADATA_V1_DISABLED");
	const char *mode = s3_cred_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	const char *url = s3_cred_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	bool six = mode != NULL && strcasecmp(mode, "IPv6") == 0;
	struct s3_cred_url parts;
	struct s3_cred_source *source;

	if (off != NULL && strcasecmp(off, "true") == 0)
		return ST_MISSING;
	if (url != NULL && !s3_cred_url_parse(url, &parts))
		return err_set(err, ST_CONFIG,
					   "AWS_EC2_METADATA_SERVICE_ENDPOINT is no http address");
	if (s3_cred_source_new(S3_CRED_INSTANCE, "the instance's metadata service",
						   &source, err) != ST_OK)
		return ST_NOMEM;
	source->certain = url != NULL;
	source->version_1 = v1_off != NULL && strcasecmp(v1_off, "false") == 0;
	if (url == NULL)
		url = six ? URL_IPV6 : URL_IPV4;
	if (s3_cred_copy(&source->url, url, err) != ST_OK)
	{
		s3_cred_source_free(source);
		return err->status;
	}
	*out = source;
	return ST_OK;
}

/* One request, repeated once if nothing came back. */
static enum status
ask_twice(struct asking *a, const char *method, const char *path,
		  const struct s3_header *headers, size_t nheaders,
		  struct s3_answer *answer, struct err *err)
{
	struct s3_cred_ask ask = {.what = "ask the instance's metadata service",
							  .method = method,
							  .url = a->url,
							  .headers = headers,
							  .nheaders = nheaders,
							  .direct = true,
							  .timeout_ms = TIMEOUT_MS};
	size_t base_len = strlen(a->source->url);
	enum status status = ST_RETRY;
	int len;

	memset(answer, 0, sizeof *answer);
	while (base_len > 0 && a->source->url[base_len - 1] == '/')
		base_len--;
	len = snprintf(a->url, sizeof a->url, "%.*s%s", (int) base_len,
				   a->source->url, path);
	if (len < 0 || (size_t) len >= sizeof a->url)
		return err_set(err, ST_CONFIG,
					   "AWS_EC2_METADATA_SERVICE_ENDPOINT is too long");
	for (int i = 0; i < ATTEMPTS && status == ST_RETRY; i++)
	{
		s3_answer_free(answer);
		status = s3_cred_send(a->context, &ask, answer, err);
		if (status == ST_OK && s3_cred_refusal(answer->code) == ST_RETRY &&
			i + 1 < ATTEMPTS)
			status = ST_RETRY;
	}
	return status;
}

/* Nobody is there, or does not let us in. */
static enum status
explain_silence(const struct asking *a, struct err *err)
{
	char why[ERR_MESSAGE_MAX];

	if (err->status != ST_RETRY)
		return err->status;
	if (a->source->certain)
		return err_hint(err, "In a container the instance's metadata hop "
							 "limit must be 2.");
	memcpy(why, err->message, sizeof why);
	(void) err_set(err, ST_CONFIG, "there are no credentials for \"%s\"",
				   a->context->settings->repository);
	(void) err_detail(err,
					  "Nothing is configured, and the last resort, the "
					  "instance's metadata service, does not answer: "
					  "%.300s.",
					  why);
	return err_hint(err, "README's section \"Credentials\" tells the sources "
						 "and their order. On an EC2 instance, in a "
						 "container, the metadata hop limit must be 2.");
}

static enum status
refuse(const struct asking *a, const char *what,
	   const struct s3_answer *answer, struct err *err)
{
	enum status status = s3_cred_refusal(answer->code);

	(void) err_set(err, status, "%s get %s: HTTP %ld",
				   status == ST_RETRY ? "could not" : "cannot", what,
				   answer->code);
	return err_detail(err, "Asked %s.", a->url);
}

/* A line of printable text.  False: empty, too long, or something else. */
static bool
take_line(const struct s3_answer *answer, char *out, size_t size)
{
	size_t len = 0;

	while (len < answer->body_len && answer->body[len] > ' ' &&
		   answer->body[len] <= '~')
		len++;
	if (len == 0 || len >= size ||
		(len < answer->body_len && answer->body[len] != '\n' &&
		 answer->body[len] != '\r'))
		return false;
	memcpy(out, answer->body, len);
	out[len] = '\0';
	return true;
}

/* A token, or a decision to do without. */
static enum status
get_token(struct asking *a, struct err *err)
{
	static const struct s3_header ttl = {
		"x-aws-ec2-metadata-token-ttl-seconds", TTL_S};
	bool old = a->source->version_1;
	struct s3_answer answer;
	enum status status =
		ask_twice(a, "PUT", "/latest/api/token", &ttl, 1, &answer, err);

	if (status == ST_RETRY && old)
		status = ST_OK;
	else if (status != ST_OK)
		status = explain_silence(a, err);
	else if (answer.code == 200)
	{
		if (!take_line(&answer, a->token, sizeof a->token))
			status = err_set(err, ST_RETRY,
							 "the instance's metadata service answers with "
							 "an odd token");
	}
	else if (!old ||
			 (answer.code != 403 && answer.code != 404 && answer.code != 405))
	{
		status = refuse(a, "a token of the instance's metadata service",
						&answer, err);
		if (answer.code == 404 || answer.code == 405)
			(void) err_hint(err, "Version 2 of the service is wanted; "
								 "AWS_EC2_METADATA_V1_DISABLED=false in the "
								 "environment allows version 1.");
		else if (answer.code == 403)
			(void) err_hint(err, "The service is switched off for this "
								 "instance.");
	}
	s3_answer_free(&answer);
	return status;
}

static enum status
ask_with_token(struct asking *a, const char *path, struct s3_answer *answer,
			   struct err *err)
{
	const struct s3_header token = {"x-aws-ec2-metadata-token", a->token};
	enum status status = ask_twice(a, "GET", path, &token,
								   a->token[0] != '\0' ? 1 : 0, answer, err);

	return status == ST_OK ? ST_OK : explain_silence(a, err);
}

static enum status
get_role(struct asking *a, struct err *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
								  "abcdefghijklmnopqrstuvwxyz"
								  "0123456789_+=,.@-";
	struct s3_answer answer;
	enum status status = ask_with_token(a, ROLES, &answer, err);

	if (status == ST_OK && answer.code == 404)
	{
		(void) err_set(err, ST_AUTH, "the instance has no role");
		status = err_hint(err, "Attach an instance profile to it.");
	}
	else if (status == ST_OK && answer.code != 200)
		status = refuse(a, "the name of the instance's role", &answer, err);
	else if (status == ST_OK &&
			 (!take_line(&answer, a->role, sizeof a->role) ||
			  a->role[strspn(a->role, allowed)] != '\0'))
		status = err_set(err, ST_RETRY,
						 "the instance's metadata service names an odd role");
	s3_answer_free(&answer);
	return status;
}

static enum status
get_credentials(struct asking *a, struct s3_cred **out, struct err *err)
{
	char path[sizeof ROLES + ROLE_SIZE];
	struct s3_answer answer;
	enum status status;

	(void) snprintf(path, sizeof path, "%s%s", ROLES, a->role);
	status = ask_with_token(a, path, &answer, err);
	if (status == ST_OK && answer.code == 200)
		status =
			s3_cred_from_json("the credentials of the instance's role",
							  answer.body, answer.body_len, true, out, err);
	else if (status == ST_OK)
		status =
			refuse(a, "the credentials of the instance's role", &answer, err);
	s3_answer_free(&answer);
	return status;
}

enum status
s3_cred_ask_instance(const struct s3_cred_context *context,
					 const struct s3_cred_source *source, struct s3_cred **out,
					 struct err *err)
{
	struct asking *a;
	void *memory = NULL;
	enum status status = secret_alloc(sizeof *a, &memory, err);

	if (status != ST_OK)
		return status;
	a = memory;
	memset(a, 0, sizeof *a);
	a->context = context;
	a->source = source;
	status = get_token(a, err);
	if (status == ST_OK)
		status = get_role(a, err);
	if (status == ST_OK)
		status = get_credentials(a, out, err);
	secret_free(a);
	return status;
}
