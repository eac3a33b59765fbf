/*
 * test_s3_region.c - a bucket that lives in another region
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/s3_region.h"

/* What an answer says to who asked in us-east-1; "" if nothing. */
static const char *
told(long code, const char *header, const char *body)
{
	static char region[S3_REGION_SIZE];
	static const struct s3_address address = {.region = "us-east-1"};
	struct s3_answer answer = {
		.code = code, .body = strdup(body), .body_len = strlen(body)};
	bool any;

	assert_non_null(answer.body);
	s3_headers_reset(&answer.headers);
	s3_headers_line(&answer.headers, header, strlen(header));
	any = s3_region_told(&address, &answer, region);
	s3_answer_free(&answer);
	return any ? region : "";
}

#define HEADER            "x-amz-bucket-region: eu-west-1"
#define S3(code, content) "<Error><Code>" code "</Code>" content "</Error>"

static void
told_by_header_or_document(void **state)
{
	(void) state;
	assert_string_equal(told(301, HEADER, ""), "eu-west-1");
	assert_string_equal(told(307, HEADER, S3("TemporaryRedirect", "")),
						"eu-west-1");
	assert_string_equal(told(400, HEADER, ""), "eu-west-1");
	assert_string_equal(told(400, "",
							 S3("AuthorizationHeaderMalformed",
								"<Region>ap-south-1</Region>")),
						"ap-south-1");
	assert_string_equal(told(301, HEADER, "<Region>ap-south-1</Region>"),
						"eu-west-1");
}

static void
nothing_else_counts(void **state)
{
	(void) state;
	assert_string_equal(told(200, HEADER, ""), "");
	assert_string_equal(told(302, HEADER, ""), "");
	assert_string_equal(told(403, HEADER, S3("AccessDenied", "")), "");
	assert_string_equal(told(400, HEADER, S3("InvalidRequest", "")), "");
	assert_string_equal(told(400, HEADER, "<html>"), "");
	assert_string_equal(told(301, "", ""), "");
	assert_string_equal(told(301, "x-amz-bucket-region: us-east-1", ""), "");
	assert_string_equal(told(301, "x-amz-bucket-region: x.evil", ""), "");
	assert_string_equal(told(301, "x-amz-bucket-region: x/y", ""), "");
	assert_string_equal(told(301, "",
							 "<Error><Code>PermanentRedirect</Code><Endpoint>"
							 "evil.example</Endpoint></Error>"),
						"");
}

static void
assert_moved(const char *endpoint, enum config_addressing addressing,
			 const char *bucket, const char *host)
{
	struct s3_address address;
	char repository[128];
	struct err err;

	(void) snprintf(repository, sizeof repository, "s3://%s", bucket);
	assert_int_equal(s3_address_parse(repository, endpoint, "us-east-1",
									  addressing, &address, &err),
					 ST_OK);
	s3_address_move(&address, "eu-west-1");
	assert_string_equal(address.region, "eu-west-1");
	assert_string_equal(address.host, host);
}

static void
only_amazons_own_host_moves(void **state)
{
	(void) state;
	assert_moved(NULL, ADDRESSING_AUTO, "b", "b.s3.eu-west-1.amazonaws.com");
	assert_moved(NULL, ADDRESSING_AUTO, "b.c", "s3.eu-west-1.amazonaws.com");
	assert_moved("https://s3.us-east-1.amazonaws.com", ADDRESSING_PATH, "b",
				 "s3.eu-west-1.amazonaws.com");
	assert_moved("https://s3.dualstack.us-east-1.amazonaws.com",
				 ADDRESSING_PATH, "b", "s3.dualstack.us-east-1.amazonaws.com");
	assert_moved("http://[::1]:80", ADDRESSING_AUTO, "b", "[::1]");
	assert_moved("http://rgw.example:8000", ADDRESSING_VIRTUAL, "b",
				 "b.rgw.example:8000");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_by_header_or_document),
		cmocka_unit_test(nothing_else_counts),
		cmocka_unit_test(only_amazons_own_host_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
