/*
 * s3_cred_http.c - asks a service for credentials
 *
 * These services answer with secrets, so certificates are always verified,
 * whatever "s3_tls" says of the store.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/s3_cred_internal.h"

#define ANSWER_MAX ((size_t) 64 * 1024)

/* More than this between the clocks makes credentials expire unnoticed. */
#define SKEW_S 240

enum status
s3_cred_send(const struct s3_cred_context *context,
			 const struct s3_cred_ask *ask, struct s3_answer *answer,
			 struct err *err)
{
	const struct s3_cred_settings *settings = context->settings;
	struct s3_http_options options = {
		.ca_file = settings->ca_file,
		.tls_verify = true,
		.direct = ask->direct,
		.connect_timeout_ms = settings->connect_timeout_ms,
		.stall_timeout_ms = settings->stall_timeout_ms};
	struct deadline limit =
		deadline_sooner(*context->deadline, ask->timeout_ms);
	struct s3_request request = {.what = ask->what,
								 .method = ask->method,
								 .url = ask->url,
								 .headers = ask->headers,
								 .nheaders = ask->nheaders,
								 .body = ask->body,
								 .answer_max = ANSWER_MAX};
	struct s3_http *http = NULL;
	enum status status;

	memset(answer, 0, sizeof *answer);
	if (ask->body != NULL)
		request.body_len = strlen(ask->body);
	status = s3_http_new(&options, &http, err);
	if (status == ST_OK)
		status = s3_http_perform(http, &limit, &request, answer, err);
	s3_http_free(http);
	if (status == ST_OK && answer->body_cut)
		status = err_set(err, ST_RETRY,
						 "could not %s: the answer is longer than %zu bytes",
						 ask->what, ANSWER_MAX);

	/* Its own limit is no reason to end the whole. */
	if (status == ST_DEADLINE && deadline_left_ms(context->deadline) > 0)
		status =
			err_set(err, ST_RETRY, "could not %s: no answer within %lld ms",
					ask->what, (long long) ask->timeout_ms);
	return status;
}

enum status
s3_cred_refusal(long http)
{
	return http >= 500 || http == 408 || http == 429 ? ST_RETRY : ST_AUTH;
}

enum status
s3_cred_hint_clock(const struct s3_answer *answer, struct err *err)
{
	int64_t offset = (int64_t) time(NULL) - answer->headers.date_s;

	if (answer->headers.date_s < 0 || (offset <= SKEW_S && offset >= -SKEW_S))
		return err->status;
	return err_hint(err,
					"This host's clock is %lld s %s the service's: "
					"synchronise this host's clock.",
					(long long) (offset < 0 ? -offset : offset),
					offset < 0 ? "behind" : "ahead of");
}

void
s3_cred_printable(char *out, size_t size, const char *text)
{
	size_t len = 0;

	for (; text[len] != '\0' && len < size - 1; len++)
	{
		out[len] = text[len];
		if (text[len] < ' ' || text[len] > '~')
			out[len] = ' ';
	}
	out[len] = '\0';
}

bool
s3_cred_url_parse(const char *url, struct s3_cred_url *out)
{
	struct s3_cred_url parsed = {.https = strncmp(url, "https://", 8) == 0};
	const char *colon;

	if (!parsed.https && strncmp(url, "http://", 7) != 0)
		return false;
	parsed.host = url + (parsed.https ? 8 : 7);
	parsed.host_len = strcspn(parsed.host, "/?#");
	if (parsed.host_len == 0 ||
		memchr(parsed.host, '@', parsed.host_len) != NULL)
		return false;
	for (const char *s = url; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	parsed.name_len = parsed.host_len;
	colon = memrchr(parsed.host, ':', parsed.host_len);
	if (colon != NULL &&
		memchr(colon, ']', parsed.host_len - (size_t) (colon - parsed.host)) ==
			NULL)
		parsed.name_len = (size_t) (colon - parsed.host);
	*out = parsed;
	return parsed.name_len > 0;
}
