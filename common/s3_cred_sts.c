/*
 * s3_cred_sts.c - credentials of a role, from the Security Token Service
 *
 * AssumeRole is signed with other credentials; AssumeRoleWithWebIdentity
 * brings a token in its body, read anew each time since its issuer replaces
 * it, and is not signed.  Source: the STS API Reference.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/s3_cred_internal.h"
#include "common/s3_time.h"
#include "common/s3_url.h"
#include "common/secretfile.h"

#define TIMEOUT_MS      30000
#define BODY_SIZE       ((size_t) 128 * 1024)
#define TOKEN_FILE_MAX  ((size_t) 20000) /* what the service takes */
#define SESSION_DEFAULT "walship"
#define FORM_TYPE       "application/x-www-form-urlencoded; charset=utf-8"

/* A request; in locked memory, since the body may hold a token. */
struct form
{
	char url[512];
	char host[256];
	char body[BODY_SIZE];
	size_t len;
	char amz_date[S3_AMZ_DATE_SIZE];
	char hash[S3_SHA256_HEX_SIZE];
	char authorization[S3_AUTHORIZATION_SIZE];
	struct s3_header headers[6];
	size_t nheaders;
};

static const char *
what_of(const struct s3_cred_source *source)
{
	return source->kind == S3_CRED_ROLE ? "assume a role"
										: "assume a role by web identity";
}

static bool
append(struct form *form, const char *name, const char *value)
{
	size_t room = sizeof form->body - form->len;
	int len;

	if (strlen(name) + S3_ENCODED_SIZE(strlen(value)) + 2 > room)
		return false;
	len = snprintf(form->body + form->len, room,
				   "%s%s=", form->len > 0 ? "&" : "", name);
	form->len += (size_t) len;
	form->len += s3_uri_encode(value, false, form->body + form->len);
	return true;
}

/* The file's text without the newline that an editor leaves. */
static enum status
append_token(struct form *form, const char *path, struct err *err)
{
	struct secret_file file = {.text = NULL};
	enum status status = secret_file_read(path, TOKEN_FILE_MAX, &file, err);

	if (status != ST_OK)
	{
		/* It may be about to be replaced. */
		err->status = ST_RETRY;
		return err_context(err, "web identity");
	}
	file.text[strcspn(file.text, " \t\r\n")] = '\0';
	if (file.text[0] == '\0' || !append(form, "WebIdentityToken", file.text))
		status = err_set(err, ST_CONFIG, "file \"%s\" holds no token", path);
	secret_file_free(&file);
	return status;
}

static enum status
fill_body(struct form *form, const struct s3_cred_source *source,
		  struct err *err)
{
	bool web = source->kind == S3_CRED_WEB_IDENTITY;
	char duration[16];
	bool ok;

	(void) snprintf(duration, sizeof duration, "%u", source->duration_s);
	ok = append(form, "Action",
				web ? "AssumeRoleWithWebIdentity" : "AssumeRole") &&
		 append(form, "Version", "2011-06-15") &&
		 append(form, "RoleArn", source->role_arn) &&
		 append(form, "RoleSessionName",
				source->session_name != NULL ? source->session_name
											 : SESSION_DEFAULT) &&
		 (source->duration_s == 0 ||
		  append(form, "DurationSeconds", duration)) &&
		 (source->external_id == NULL || web ||
		  append(form, "ExternalId", source->external_id));
	if (!ok)
		return err_set(err, ST_CONFIG,
					   "the settings of the role are too long");
	return web ? append_token(form, source->token_file, err) : ST_OK;
}

/* Amazon's host for a region, or the one that is configured. */
static enum status
find_endpoint(const struct s3_cred_settings *settings, struct form *form,
			  struct err *err)
{
	struct s3_cred_url parts;
	const char *china = strncmp(settings->region, "cn-", 3) == 0 ? ".cn" : "";
	int len;

	if (settings->sts_endpoint != NULL)
		len = snprintf(form->url, sizeof form->url, "%s/",
					   settings->sts_endpoint);
	else
		len = snprintf(form->url, sizeof form->url,
					   "https://sts.%s.amazonaws.com%s/", settings->region,
					   china);
	if (len < 0 || (size_t) len >= sizeof form->url ||
		!s3_cred_url_parse(form->url, &parts) ||
		parts.host_len >= sizeof form->host)
		return err_set(err, ST_CONFIG, "\"s3_sts_endpoint\" is no address");
	memcpy(form->host, parts.host, parts.host_len);
	form->host[parts.host_len] = '\0';
	return ST_OK;
}

static void
add_header(struct form *form, const char *name, const char *value)
{
	form->headers[form->nheaders++] = (struct s3_header){name, value};
}

static enum status
sign(struct form *form, const struct s3_cred_settings *settings,
	 const struct s3_credentials *as, struct err *err)
{
	struct s3_sign_input input = {.method = "POST",
								  .path = "/",
								  .query = "",
								  .headers = form->headers,
								  .payload_hash = form->hash,
								  .amz_date = form->amz_date,
								  .region = settings->region,
								  .service = "sts"};

	if (!s3_time_format_amz((int64_t) time(NULL), form->amz_date))
		return err_set(err, ST_CONFIG, "this host's clock is not set");
	add_header(form, "host", form->host);
	add_header(form, "x-amz-date", form->amz_date);
	if (as->session_token != NULL)
		add_header(form, "x-amz-security-token", as->session_token);
	input.nheaders = form->nheaders;
	if (!s3_sha256_hex(form->body, form->len, form->hash) ||
		!s3_sign(&input, as, form->authorization, sizeof form->authorization))
		return err_set(err, ST_IO, "libcrypto cannot sign a request");
	add_header(form, "authorization", form->authorization);
	return ST_OK;
}

/* --- refusals ------------------------------------------------------------ */

struct meaning
{
	const char *code;
	enum status status;
	const char *hint;
};

static const struct meaning meanings[] = {
	{"AccessDenied", ST_AUTH,
	 "The one who assumes the role needs sts:AssumeRole (by web identity: "
	 "sts:AssumeRoleWithWebIdentity), and the role's trust policy must name "
	 "them."},
	{"ExpiredToken", ST_AUTH,
	 "The credentials that assume the role have ended: get new ones."},
	{"ExpiredTokenException", ST_AUTH,
	 "The token has ended: see that its issuer replaces the file, and that "
	 "this host's clock is right."},
	{"IDPCommunicationError", ST_RETRY, NULL},
	{"IDPRejectedClaim", ST_AUTH, NULL},
	{"InvalidClientTokenId", ST_AUTH,
	 "The access key that assumes the role does not exist or is inactive, or "
	 "\"s3_region\" is of another partition."},
	{"InvalidIdentityToken", ST_AUTH,
	 "The role's account must know the token's issuer as an identity "
	 "provider."},
	{"MalformedPolicyDocument", ST_CONFIG, NULL},
	{"RegionDisabledException", ST_CONFIG,
	 "Switch STS on for the region, or set \"s3_sts_endpoint\"."},
	{"RequestExpired", ST_AUTH, NULL},
	{"SignatureDoesNotMatch", ST_AUTH,
	 "Check the secret access key that assumes the role, and this host's "
	 "clock."},
	{"Throttling", ST_RETRY, NULL},
	{"ThrottlingException", ST_RETRY, NULL},
	{"ValidationError", ST_CONFIG, NULL},
};

/* A server under a debugger echoes what it got. */
static bool
is_harmless(const char *text, const struct form *form,
			const struct s3_credentials *as)
{
	const char *token = strstr(form->body, "WebIdentityToken=");

	if (strstr(text, "AWS4-HMAC") != NULL ||
		strstr(text, "Signature=") != NULL)
		return false;
	if (token != NULL && strstr(text, strchr(token, '=') + 1) != NULL)
		return false;
	return as == NULL || (strstr(text, as->secret_access_key) == NULL &&
						  (as->session_token == NULL ||
						   strstr(text, as->session_token) == NULL));
}

static enum status
explain(const struct form *form, const struct s3_cred_source *source,
		const struct s3_credentials *as, const struct s3_answer *answer,
		struct err *err)
{
	struct s3_cred_xml_error error = {.code = ""};
	enum status status = s3_cred_refusal(answer->code);
	const char *hint = NULL;
	const char *message;

	if (answer->body_len > 0 &&
		!s3_cred_xml_error(answer->body, answer->body_len, &error))
		hint = "Whatever answered may be no STS. Check \"s3_sts_endpoint\" "
			   "and proxies.";
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if (strcmp(meanings[i].code, error.code) == 0)
		{
			status = meanings[i].status;
			hint = meanings[i].hint;
		}
	message = is_harmless(error.message, form, as)
				  ? error.message
				  : "(withheld, since it repeats credentials)";
	(void) err_set(err, status, "%s %s \"%s\": HTTP %ld %s%s%s",
				   status == ST_RETRY ? "could not" : "cannot",
				   what_of(source), source->role_arn, answer->code, error.code,
				   message[0] != '\0' ? ": " : "", message);
	(void) err_detail(
		err, "Asked %s, configured by %s%s%s.", form->url, source->origin,
		error.request_id[0] != '\0' ? ", request id " : "", error.request_id);
	if (hint != NULL)
		(void) err_hint(err, "%s", hint);
	if (status == ST_AUTH)
		(void) s3_cred_hint_clock(answer, err);
	if (status == ST_RETRY)
		err->retry_after_ms =
			s3_headers_retry_after(&answer->headers, (int64_t) time(NULL));
	return status;
}

static enum status
send_form(const struct s3_cred_context *context, struct form *form,
		  const struct s3_cred_source *source, const struct s3_credentials *as,
		  struct s3_cred **out, struct err *err)
{
	struct s3_cred_ask ask = {.what = what_of(source),
							  .method = "POST",
							  .url = form->url,
							  .headers = form->headers,
							  .nheaders = form->nheaders,
							  .body = form->body,
							  .timeout_ms = TIMEOUT_MS};
	struct s3_answer answer;
	enum status status = s3_cred_send(context, &ask, &answer, err);

	if (status == ST_OK && answer.code == 200)
	{
		status = s3_cred_from_xml(answer.body, answer.body_len, out, err);
		if (status == ST_RETRY)
			(void) s3_cred_hint_clock(&answer, err);
	}
	else if (status == ST_OK)
		status = explain(form, source, as, &answer, err);
	s3_answer_free(&answer);
	return status;
}

enum status
s3_cred_ask_sts(const struct s3_cred_context *context,
				const struct s3_cred_source *source,
				const struct s3_credentials *as, struct s3_cred **out,
				struct err *err)
{
	struct form *form;
	void *memory = NULL;
	enum status status = secret_alloc(sizeof *form, &memory, err);

	if (status != ST_OK)
		return status;
	form = memory;
	memset(form, 0, sizeof *form);
	add_header(form, "content-type", FORM_TYPE);
	status = find_endpoint(context->settings, form, err);
	if (status == ST_OK)
		status = fill_body(form, source, err);
	if (status == ST_OK && as != NULL)
		status = sign(form, context->settings, as, err);
	if (status == ST_OK)
		status = send_form(context, form, source, as, out, err);
	secret_free(form);
	return status;
}
