/*
 * fuzz_s3_headers.c - headers and explanations of answers, on any bytes
 *
 * The input is lines of headers, an empty line, and a body.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/s3_error.h"
#include "common/s3_region.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_headers(const struct s3_headers *headers)
{
	if (headers->content_length < -1)
		abort();
	if (headers->has_range && (headers->range_first > headers->range_last ||
							   headers->range_last >= headers->range_total))
		abort();
	if (s3_headers_retry_after(headers, 1700000000) < 0)
		abort();
	if (strlen(headers->request_id) >= sizeof headers->request_id ||
		strlen(headers->content_type) >= sizeof headers->content_type)
		abort();
}

/* A secret must not come out, whatever the answer repeats. */
static void
check_explanation(struct s3_answer *answer)
{
	static const struct s3_credentials credentials = {
		.access_key_id = "AKID",
		.secret_access_key = "SECRET",
		.session_token = "TOKEN"};
	static const long codes[] = {200, 301, 400, 403, 404, 412, 503};
	struct s3_address address = {.host = "h", .bucket = "b"};
	struct s3_question question = {.what = "get \"k\"",
								   .permission = "s3:GetObject",
								   .may_be_missing = true,
								   .now_s = 1700000000};
	struct err err;

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
	{
		enum status status;

		answer->code = codes[i];
		status =
			s3_error_explain(&address, &credentials, &question, answer, &err);
		if (status == ST_OK || status != err.status)
			abort();
		if (status == ST_MISSING && codes[i] != 404)
			abort();
		if (strstr(err.message, "AWS4-HMAC") != NULL)
			abort();
	}
}

/* What becomes part of a host name has to be one label of it. */
static void
check_region(struct s3_answer *answer)
{
	static const long codes[] = {301, 307, 400};
	struct s3_address address = {.host = "s3.us-east-1.amazonaws.com",
								 .region = "us-east-1"};
	char region[S3_REGION_SIZE];

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
	{
		answer->code = codes[i];
		if (!s3_region_told(&address, answer, region))
			continue;
		if (strcspn(region, "./:@?#% ") != strlen(region) || *region == '\0')
			abort();
		s3_address_move(&address, region);
		if (strstr(address.host, ".amazonaws.com") == NULL)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_answer answer = {.code = 0};
	const char *pos = (const char *) data;
	const char *end = pos + size;

	s3_headers_reset(&answer.headers);
	while (pos < end && *pos != '\n')
	{
		const char *line = pos;
		const char *stop = memchr(pos, '\n', (size_t) (end - pos));

		pos = stop == NULL ? end : stop + 1;
		s3_headers_line(&answer.headers, line, (size_t) (pos - line));
	}
	check_headers(&answer.headers);
	if (pos < end)
		pos++;
	answer.body_len = (size_t) (end - pos);
	if (answer.body_len > 0)
	{
		answer.body = malloc(answer.body_len);
		if (answer.body == NULL)
			return 0;
		memcpy(answer.body, pos, answer.body_len);
	}
	check_explanation(&answer);
	check_region(&answer);
	s3_answer_free(&answer);
	return 0;
}
