/*
 * s3_cred_container.c - credentials of a task of ECS, or of a pod of EKS
 *
 * Source: "Container credential provider" of AWS's SDKs and Tools Reference
 * Guide.  Over plain http only hosts are asked that cannot be another machine
 * on the way: the loopback's addresses and those of ECS and EKS.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/s3_cred_internal.h"
#include "common/secretfile.h"

#define ECS_URL        "http://169.254.170.2"
#define TIMEOUT_MS     5000
#define TOKEN_FILE_MAX ((size_t) 8192)
#define NAME_MAX_LEN   64

bool
s3_cred_plain_allowed(const char *name, size_t len)
{
	char text[NAME_MAX_LEN + 1];
	struct in_addr four;
	struct in6_addr six;
	struct in6_addr eks;

	if (len > NAME_MAX_LEN)
		return false;
	memcpy(text, name, len);
	text[len] = '\0';
	if (strcmp(text, "localhost") == 0 || strcmp(text, "169.254.170.2") == 0 ||
		strcmp(text, "169.254.170.23") == 0)
		return true;
	if (inet_pton(AF_INET, text, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	if (len < 2 || text[0] != '[' || text[len - 1] != ']')
		return false;
	text[len - 1] = '\0';
	return inet_pton(AF_INET6, text + 1, &six) == 1 &&
		   inet_pton(AF_INET6, "fd00:ec2::23", &eks) == 1 &&
		   (IN6_IS_ADDR_LOOPBACK(&six) || memcmp(&six, &eks, sizeof six) == 0);
}

static enum status
check_url(const char *url, struct err *err)
{
	struct s3_cred_url parts;

	if (!s3_cred_url_parse(url, &parts))
		return err_set(
			err, ST_CONFIG,
			"AWS_CONTAINER_CREDENTIALS_FULL_URI is no http address");
	if (parts.https || s3_cred_plain_allowed(parts.host, parts.name_len))
		return ST_OK;
	(void) err_set(err, ST_CONFIG,
				   "AWS_CONTAINER_CREDENTIALS_FULL_URI names host \"%.*s\", "
				   "which cannot be asked by plain http",
				   (int) parts.host_len, parts.host);
	return err_hint(err, "Plain http is for the loopback addresses, "
						 "169.254.170.2, 169.254.170.23 and [fd00:ec2::23] "
						 "only.");
}

enum status
s3_cred_from_container(struct s3_cred_source **out, struct err *err)
{
	const char *relative =
		s3_cred_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = s3_cred_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	struct s3_cred_source *source;
	enum status status = ST_OK;

	if (relative == NULL && full == NULL)
		return ST_MISSING;
	if (s3_cred_source_new(S3_CRED_CONTAINER, "the container's environment",
						   &source, err) != ST_OK)
		return ST_NOMEM;
	if (relative == NULL)
		status = s3_cred_copy(&source->url, full, err);
	else if (relative[0] != '/')
		status = err_set(err, ST_CONFIG,
						 "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin "
						 "with a slash");
	else if (asprintf(&source->url, "%s%s", ECS_URL, relative) < 0)
	{
		source->url = NULL;
		status = err_set(err, ST_NOMEM, "out of memory");
	}
	if (status == ST_OK)
		status = check_url(source->url, err);
	if (status == ST_OK)
		*out = source;
	else
		s3_cred_source_free(source);
	return status;
}

/* --- asking -------------------------------------------------------------- */

/* The text up to its line's end.  False: it would not do in a header. */
static bool
trim_token(char *text)
{
	text[strcspn(text, "\r\n")] = '\0';
	for (const char *s = text; *s != '\0'; s++)
		if (*s < ' ' || *s > '~')
			return false;
	return text[0] != '\0';
}

/*
 * What goes into the Authorization header; text NULL: nothing does.  The file
 * is read each time, since EKS replaces it.
 */
static enum status
read_token(struct secret_file *out, struct err *err)
{
	const char *path = s3_cred_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *value = s3_cred_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	void *memory = NULL;

	out->text = NULL;
	if (path == NULL && value == NULL)
		return ST_OK;
	if (path != NULL)
	{
		if (secret_file_read(path, TOKEN_FILE_MAX, out, err) != ST_OK)
		{
			err->status = ST_RETRY;
			return err_context(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
		}
	}
	else if (secret_alloc(strlen(value) + 1, &memory, err) != ST_OK)
		return err->status;
	else
	{
		out->text = memory;
		memcpy(out->text, value, strlen(value) + 1);
	}
	if (trim_token(out->text))
		return ST_OK;
	secret_file_free(out);
	return err_set(err, ST_CONFIG,
				   "the container's authorization token is "
				   "empty or no single line");
}

static enum status
explain(const struct s3_cred_source *source, const char *token,
		const struct s3_answer *answer, struct err *err)
{
	enum status status = s3_cred_refusal(answer->code);
	char message[256];

	s3_cred_json_message(answer->body, answer->body_len, message,
						 sizeof message);
	if (token != NULL && strstr(message, token) != NULL)
		message[0] = '\0';
	(void) err_set(err, status,
				   "%s get the container's credentials: HTTP %ld%s%s",
				   status == ST_RETRY ? "could not" : "cannot", answer->code,
				   message[0] != '\0' ? ": " : "", message);
	(void) err_detail(err, "Asked %s.", source->url);
	if (status == ST_AUTH && token == NULL)
		(void) err_hint(err, "EKS wants "
							 "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.");
	if (status == ST_RETRY)
		err->retry_after_ms =
			s3_headers_retry_after(&answer->headers, (int64_t) time(NULL));
	return status;
}

enum status
s3_cred_ask_container(const struct s3_cred_context *context,
					  const struct s3_cred_source *source,
					  struct s3_cred **out, struct err *err)
{
	struct secret_file token;
	struct s3_header header = {"authorization", NULL};
	struct s3_cred_ask ask = {.what = "ask for the container's credentials",
							  .method = "GET",
							  .url = source->url,
							  .headers = &header,
							  .direct = true,
							  .timeout_ms = TIMEOUT_MS};
	struct s3_answer answer;
	enum status status = read_token(&token, err);

	if (status != ST_OK)
		return status;
	if (token.text != NULL)
	{
		header.value = token.text;
		ask.nheaders = 1;
	}
	status = s3_cred_send(context, &ask, &answer, err);
	if (status == ST_OK && answer.code == 200)
		status = s3_cred_from_json("the container's credentials", answer.body,
								   answer.body_len, true, out, err);
	else if (status == ST_OK)
		status = explain(source, token.text, &answer, err);
	s3_answer_free(&answer);
	if (token.text != NULL)
		secret_file_free(&token);
	return status;
}
