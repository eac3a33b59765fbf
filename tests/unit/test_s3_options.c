/*
 * test_s3_options.c - which request and which upload gets which header
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/s3_options.h"

#define ID "7/backup/0000000000200028-00000001-20260102T030405Z"

/* The one that asks for everything. */
static struct config everything = {
	.s3_storage_class = (char[]){"STANDARD_IA"},
	.s3_sse = (char[]){"aws:kms alias/x"},
	.s3_object_lock = (char[]){"compliance 30d"},
	.s3_tags = (char[]){"team=d b a, a+b=/@:"},
	.s3_bucket_owner = (char[]){"123456789012 requester-pays"}};

/* "name: value\n" of each header. */
static const char *
text_of(const struct s3_option_headers *headers)
{
	static char text[4096];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < headers->count; i++)
		used +=
			(size_t) snprintf(text + used, sizeof text - used, "%s: %s\n",
							  headers->list[i].name, headers->list[i].value);
	return text;
}

static const char *
upload(const struct s3_options *options, const char *key)
{
	static struct s3_option_headers headers;

	s3_options_upload(options, key, 1369353600, &headers);
	assert_true(headers.count <= S3_OPTION_HEADERS_MAX);
	return text_of(&headers);
}

#define CLASS "x-amz-storage-class: STANDARD_IA\n"
#define COMMON                                               \
	"x-amz-server-side-encryption: aws:kms\n"                \
	"x-amz-server-side-encryption-aws-kms-key-id: alias/x\n" \
	"x-amz-tagging: team=d%20b%20a&a%2Bb=%2F%40%3A\n"
#define LOCK                               \
	"x-amz-object-lock-mode: COMPLIANCE\n" \
	"x-amz-object-lock-retain-until-date: 2013-06-23T00:00:00Z\n"

static void
test_uploads(void **state)
{
	static const struct
	{
		const char *key;
		const char *headers;
	} cases[] = {
		{"7/wal/00000001/000000010000000000000001", CLASS COMMON LOCK},
		{"7/wal/00000001/000000010000000000000001.partial", COMMON LOCK},
		{"7/wal/00000001/000000010000000000000001.0123456789abcdef",
		 COMMON LOCK},
		{"7/wal/00000001/000000010000000000000001.00000028.backup",
		 COMMON LOCK},
		{"7/wal/00000002/00000002.history", COMMON LOCK},
		{ID "/pack/00000000", CLASS COMMON LOCK},
		{ID "/digest/00000000", CLASS COMMON LOCK},
		{ID "/manifest", COMMON LOCK},
		{"7/report/20260102T030405Z-backup", COMMON LOCK},
		{ID "/start", COMMON},
		{ID "/keep", COMMON},
		{ID "/expired", COMMON},
		{".walship-probe-0123456789abcdef", COMMON},
		{"7", COMMON},
		{"7/backup", COMMON},
		{"7/backups/1/pack/0", COMMON},
		{"wal/7/00000001/000000010000000000000001", COMMON},
	};
	struct s3_options options;
	struct err err;

	(void) state;
	assert_int_equal(s3_options_init(&everything, &options, &err), ST_OK);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		assert_string_equal(upload(&options, cases[i].key), cases[i].headers);
		assert_int_equal(s3_options_locks(&options, cases[i].key),
						 strstr(cases[i].headers, "lock-mode") != NULL);
	}
}

static void
test_every_request(void **state)
{
	struct s3_option_headers headers;
	struct s3_options options;
	struct err err;

	(void) state;
	assert_int_equal(s3_options_init(&everything, &options, &err), ST_OK);
	s3_options_request(&options, &headers);
	assert_string_equal(text_of(&headers),
						"x-amz-request-payer: requester\n"
						"x-amz-expected-bucket-owner: 123456789012\n");
}

static void
test_nothing_asked_for(void **state)
{
	static const struct config none;
	struct s3_option_headers headers;
	struct s3_options options;
	struct err err;

	(void) state;
	assert_int_equal(s3_options_init(&none, &options, &err), ST_OK);
	s3_options_request(&options, &headers);
	assert_int_equal(headers.count, 0);
	assert_string_equal(upload(&options, ID "/pack/00000000"), "");
	assert_false(s3_options_locks(&options, ID "/pack/00000000"));
}

/* As if no configuration file had refused it. */
static void
test_invalid_values(void **state)
{
	struct config bad[] = {
		{.s3_storage_class = (char[]){"GLACIER"}},
		{.s3_sse = (char[]){"AES256\r\nx: y"}},
		{.s3_object_lock = (char[]){"compliance"}},
		{.s3_tags = (char[]){"x"}},
		{.s3_bucket_owner = (char[]){"me"}},
	};
	struct s3_options options;
	struct err err;

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(s3_options_init(&bad[i], &options, &err), ST_CONFIG);
}

/* Encoding makes ten long tags three times as long. */
static void
test_tags_that_are_too_long(void **state)
{
	char tags[S3_TAGS_SIZE + 64];
	struct config cfg = {.s3_tags = tags};
	struct s3_options options;
	struct err err;
	size_t used = 0;

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		memset(tags + used, '/', 200);
		tags[used + 1] = '=';
		tags[used + 200] = ',';
		used += 201;
	}
	tags[used - 1] = '\0';
	assert_null(s3_tags_complaint(tags));
	assert_int_equal(s3_options_init(&cfg, &options, &err), ST_CONFIG);
	tags[3 * 201 - 1] = '\0';
	assert_int_equal(s3_options_init(&cfg, &options, &err), ST_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uploads),
		cmocka_unit_test(test_every_request),
		cmocka_unit_test(test_nothing_asked_for),
		cmocka_unit_test(test_invalid_values),
		cmocka_unit_test(test_tags_that_are_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
