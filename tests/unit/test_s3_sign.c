/*
 * test_s3_sign.c - AWS Signature Version 4
 *
 * Known answers: the examples of "Signature Calculations for the Authorization
 * Header: Transferring Payload in a Single Chunk", Amazon S3 API Reference.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/s3_sign.h"

#define EXAMPLE_DATE "20130524T000000Z"

static const struct s3_credentials example = {
	.access_key_id = "AKIAIOSFODNN7EXAMPLE",
	.secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

static const struct s3_header host = {"host",
									  "examplebucket.s3.amazonaws.com"};
static const struct s3_header date = {"x-amz-date", EXAMPLE_DATE};
static const struct s3_header empty_hash = {"x-amz-content-sha256",
											S3_EMPTY_SHA256};

static void
assert_signed(const char *method, const char *path, const char *query,
			  const struct s3_header *headers, size_t nheaders,
			  const char *payload_hash, const char *expected)
{
	struct s3_sign_input input = {.method = method,
								  .path = path,
								  .query = query,
								  .headers = headers,
								  .nheaders = nheaders,
								  .payload_hash = payload_hash,
								  .amz_date = EXAMPLE_DATE,
								  .region = "us-east-1"};
	char out[S3_AUTHORIZATION_SIZE];

	assert_true(s3_sign(&input, &example, out, sizeof out));
	assert_string_equal(out, expected);
}

#define START                                           \
	"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" \
	"20130524/us-east-1/s3/aws4_request, SignedHeaders="

static void
get_object_with_range(void **state)
{
	const struct s3_header headers[] = {
		date, host, {"range", "bytes=0-9"}, empty_hash};

	(void) state;
	assert_signed("GET", "/test.txt", "", headers, 4, S3_EMPTY_SHA256,
				  START
				  "host;range;x-amz-content-sha256;x-amz-date, Signature="
				  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c603"
				  "6bdb41");
}

static void
put_object(void **state)
{
	static const char body[] = "Welcome to Amazon S3.";
	char hash[S3_SHA256_HEX_SIZE];
	struct s3_header headers[] = {
		{"date", "Fri, 24 May 2013 00:00:00 GMT"},
		host,
		date,
		{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
		{"x-amz-content-sha256", hash}};

	(void) state;
	assert_true(s3_sha256_hex(body, strlen(body), hash));
	assert_string_equal(
		hash,
		"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
	assert_signed("PUT", "/test%24file.text", "", headers, 5, hash,
				  START "date;host;x-amz-content-sha256;x-amz-date;"
						"x-amz-storage-class, Signature="
						"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5"
						"971af0ece108bd");
}

static void
get_bucket_lifecycle(void **state)
{
	const struct s3_header headers[] = {host, empty_hash, date};

	(void) state;
	assert_signed("GET", "/", "lifecycle=", headers, 3, S3_EMPTY_SHA256,
				  START "host;x-amz-content-sha256;x-amz-date, Signature="
						"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a"
						"200a0136783543");
}

static void
list_objects(void **state)
{
	const struct s3_header headers[] = {host, empty_hash, date};

	(void) state;
	assert_signed("GET", "/", "max-keys=2&prefix=J", headers, 3,
				  S3_EMPTY_SHA256,
				  START "host;x-amz-content-sha256;x-amz-date, Signature="
						"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670e"
						"d5711ef69dc6f7");
}

/* "get-vanilla" of AWS's Signature Version 4 test suite, and IAM's example. */
static void
other_services(void **state)
{
	static const struct s3_credentials keys = {
		.access_key_id = "AKIDEXAMPLE",
		.secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};
	const struct s3_header vanilla[] = {{"host", "example.amazonaws.com"},
										{"x-amz-date", "20150830T123600Z"}};
	const struct s3_header iam[] = {
		{"content-type", "application/x-www-form-urlencoded; charset=utf-8"},
		{"host", "iam.amazonaws.com"},
		{"x-amz-date", "20150830T123600Z"}};
	struct s3_sign_input input = {.method = "GET",
								  .path = "/",
								  .query = "",
								  .headers = vanilla,
								  .nheaders = 2,
								  .payload_hash = S3_EMPTY_SHA256,
								  .amz_date = "20150830T123600Z",
								  .region = "us-east-1",
								  .service = "service"};
	char out[S3_AUTHORIZATION_SIZE];

	(void) state;
	assert_true(s3_sign(&input, &keys, out, sizeof out));
	assert_string_equal(
		strstr(out, "Signature="),
		"Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d76"
		"3fbf31");

	input.query = "Action=ListUsers&Version=2010-05-08";
	input.headers = iam;
	input.nheaders = 3;
	input.service = "iam";
	assert_true(s3_sign(&input, &keys, out, sizeof out));
	assert_string_equal(
		strstr(out, "Signature="),
		"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6"
		"f2b5d7");
}

static void
what_does_not_fit_is_no_signature(void **state)
{
	struct s3_header headers[S3_SIGN_HEADERS_MAX + 1];
	struct s3_sign_input input = {.method = "GET",
								  .path = "/",
								  .query = "",
								  .headers = headers,
								  .nheaders = 3,
								  .payload_hash = S3_EMPTY_SHA256,
								  .amz_date = EXAMPLE_DATE,
								  .region = "us-east-1"};
	struct s3_credentials longest = example;
	char secret[512];
	char out[S3_AUTHORIZATION_SIZE];

	(void) state;
	for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
		headers[i] = host;
	assert_true(s3_sign(&input, &example, out, sizeof out));
	assert_false(s3_sign(&input, &example, out, 64));
	assert_string_equal(out, "");

	input.nheaders = S3_SIGN_HEADERS_MAX + 1;
	assert_false(s3_sign(&input, &example, out, sizeof out));
	input.nheaders = 3;
	input.amz_date = "20130524";
	assert_false(s3_sign(&input, &example, out, sizeof out));
	input.amz_date = EXAMPLE_DATE;

	memset(secret, 'x', sizeof secret);
	secret[sizeof secret - 1] = '\0';
	longest.secret_access_key = secret;
	assert_false(s3_sign(&input, &longest, out, sizeof out));
	assert_string_equal(out, "");
}

static void
digests(void **state)
{
	char sha[S3_SHA256_HEX_SIZE];
	char md5[S3_MD5_BASE64_SIZE];

	(void) state;
	assert_true(s3_sha256_hex("", 0, sha));
	assert_string_equal(sha, S3_EMPTY_SHA256);

	/* RFC 1321, A.5: MD5 ("abc") = 900150983cd24fb0d6963f7d28e17f72 */
	assert_true(s3_md5_base64("abc", 3, md5));
	assert_string_equal(md5, "kAFQmDzST7DWlj99KOF/cg==");
}

static void
checksums(void **state)
{
	char md5[S3_MD5_BASE64_SIZE];
	char crc[S3_CRC32C_BASE64_SIZE];

	(void) state;
	assert_true(s3_md5_base64("", 0, md5));
	assert_string_equal(md5, "1B2M2Y8AsgTpgAmY7PhCfg==");
	s3_crc32c_base64("", 0, crc);
	assert_string_equal(crc, "AAAAAA==");
	s3_crc32c_base64("123456789", 9,
					 crc); /* e3069283, most significant first */
	assert_string_equal(crc, "4waSgw==");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get_object_with_range),
		cmocka_unit_test(put_object),
		cmocka_unit_test(get_bucket_lifecycle),
		cmocka_unit_test(list_objects),
		cmocka_unit_test(other_services),
		cmocka_unit_test(what_does_not_fit_is_no_signature),
		cmocka_unit_test(digests),
		cmocka_unit_test(checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
