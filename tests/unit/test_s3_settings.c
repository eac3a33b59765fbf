/*
 * test_s3_settings.c - the grammar of what is asked of an S3 server
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/s3_settings.h"

static void
test_sse(void **state)
{
	static const char *const bad[] = {
		"",         "aes256",        "AES128",       "AES256 key",
		"aws:kms2", "aws:kms key 2", "aws:kms k\ny", "aws:kms k;y"};
	struct s3_sse sse;

	(void) state;
	assert_true(s3_sse_parse("AES256", &sse));
	assert_string_equal(sse.algorithm, "AES256");
	assert_string_equal(sse.key_id, "");
	assert_true(s3_sse_parse("aws:kms", &sse));
	assert_string_equal(sse.algorithm, "aws:kms");
	assert_string_equal(sse.key_id, "");
	assert_true(s3_sse_parse(
		"aws:kms  arn:aws:kms:eu-west-1:123456789012:key/a-b", &sse));
	assert_string_equal(sse.algorithm, "aws:kms");
	assert_string_equal(sse.key_id,
						"arn:aws:kms:eu-west-1:123456789012:key/a-b");
	assert_true(s3_sse_parse("aws:kms:dsse alias/x", &sse));
	assert_string_equal(sse.algorithm, "aws:kms:dsse");
	assert_null(s3_sse_complaint("AES256"));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_non_null(s3_sse_complaint(bad[i]));
}

static void
test_long_key_id(void **state)
{
	char text[600] = "aws:kms ";
	struct s3_sse sse;

	(void) state;
	memset(text + 8, 'k', S3_KMS_KEY_SIZE - 1);
	assert_true(s3_sse_parse(text, &sse));
	assert_int_equal(strlen(sse.key_id), S3_KMS_KEY_SIZE - 1);
	text[8 + S3_KMS_KEY_SIZE - 1] = 'k';
	assert_false(s3_sse_parse(text, &sse));
}

static void
test_lock(void **state)
{
	static const char *const bad[] = {
		"",
		"compliance",
		"30d",
		"compliance 30",
		"compliance 0d",
		"compliance 36501d",
		"compliance 999999999999d",
		"compliance -1d",
		"COMPLIANCE 30d",
		"compliance 30d 1",
		"compliance30d",
		"compliance 30h",
		"none 30d",
	};
	struct s3_lock lock;

	(void) state;
	assert_true(s3_lock_parse("compliance 30d", &lock));
	assert_string_equal(lock.mode, "COMPLIANCE");
	assert_int_equal(lock.days, 30);
	assert_true(s3_lock_parse("governance  36500d", &lock));
	assert_string_equal(lock.mode, "GOVERNANCE");
	assert_int_equal(lock.days, 36500);
	assert_null(s3_lock_complaint("compliance 1d"));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_non_null(s3_lock_complaint(bad[i]));
}

static void
test_tags(void **state)
{
	static const char *const bad[] = {
		"",        "=v",      "a",     "a=1,",  ",a=1", "a=1,,b=2",
		"a=\"x\"", "a=1&b=2", "a=1\n", "a=%41", "a,b=1"};
	const char *pos = " a b=1 , c= , d=e=f/@";
	struct s3_tag tag;

	(void) state;
	assert_true(s3_tags_next(&pos, &tag));
	assert_int_equal(tag.name_len, 3);
	assert_memory_equal(tag.name, "a b", 3);
	assert_int_equal(tag.value_len, 1);
	assert_memory_equal(tag.value, "1", 1);
	assert_true(s3_tags_next(&pos, &tag));
	assert_int_equal(tag.name_len, 1);
	assert_int_equal(tag.value_len, 0);
	assert_true(s3_tags_next(&pos, &tag));
	assert_int_equal(tag.value_len, 5);
	assert_memory_equal(tag.value, "e=f/@", 5);
	assert_null(pos);
	assert_null(s3_tags_complaint("a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9,j=10"));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_non_null(s3_tags_complaint(bad[i]));
	assert_non_null(
		s3_tags_complaint("a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9,j=10,k=11"));
}

static void
test_tag_lengths(void **state)
{
	char text[1 + S3_TAG_NAME_MAX + 1 + S3_TAG_VALUE_MAX + 2];

	(void) state;
	memset(text, 'x', sizeof text);
	text[S3_TAG_NAME_MAX] = '=';
	text[S3_TAG_NAME_MAX + 1 + S3_TAG_VALUE_MAX] = '\0';
	assert_null(s3_tags_complaint(text));
	text[S3_TAG_NAME_MAX + 1 + S3_TAG_VALUE_MAX] = 'x';
	text[S3_TAG_NAME_MAX + 2 + S3_TAG_VALUE_MAX] = '\0';
	assert_non_null(s3_tags_complaint(text));
	memset(text, 'x', sizeof text);
	text[S3_TAG_NAME_MAX + 1] = '=';
	text[S3_TAG_NAME_MAX + 2] = '\0';
	assert_non_null(s3_tags_complaint(text));
}

static void
test_storage_class(void **state)
{
	(void) state;
	assert_null(s3_storage_class_complaint("STANDARD_IA"));
	assert_null(s3_storage_class_complaint("GLACIER_IR"));
	assert_non_null(s3_storage_class_complaint("standard"));
	assert_non_null(s3_storage_class_complaint("X Y"));
	assert_non_null(
		s3_storage_class_complaint("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF"));
	assert_non_null(strstr(s3_storage_class_complaint("GLACIER"), "restore"));
	assert_non_null(
		strstr(s3_storage_class_complaint("DEEP_ARCHIVE"), "restore"));
}

static void
test_bucket_owner(void **state)
{
	(void) state;
	assert_null(s3_bucket_owner_complaint("123456789012"));
	assert_non_null(s3_bucket_owner_complaint(""));
	assert_non_null(s3_bucket_owner_complaint("12345678901"));
	assert_non_null(s3_bucket_owner_complaint("1234567890123"));
	assert_non_null(s3_bucket_owner_complaint("12345678901a"));
	assert_null(s3_bucket_owner_complaint("requester-pays"));
	assert_null(s3_bucket_owner_complaint("123456789012 requester-pays"));
	assert_non_null(s3_bucket_owner_complaint("123456789012 "));
	assert_non_null(s3_bucket_owner_complaint("123456789012requester-pays"));
	assert_non_null(s3_bucket_owner_complaint("requester-pays 123456789012"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sse),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_tag_lengths),
		cmocka_unit_test(test_storage_class),
		cmocka_unit_test(test_long_key_id),
		cmocka_unit_test(test_bucket_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
