/*
 * test_s3_xml.c - the documents that S3 sends
 *
 * Shapes: the S3 API Reference, and what Ceph's gateway answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/s3_xml.h"

#define DECL "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
#define NS   " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static enum status
parse_error(const char *text, struct s3_xml_error *out)
{
	return s3_xml_parse_error(text, strlen(text), out);
}

static enum status
parse_list(const char *text, struct s3_list_page *out)
{
	return s3_xml_parse_list(text, strlen(text), out);
}

static void
errors(void **state)
{
	struct s3_xml_error error;

	(void) state;
	assert_int_equal(
		parse_error(DECL "<Error><Code>AuthorizationHeaderMalformed</Code>"
						 "<Message>wrong &amp; &lt;bad&gt;</Message>"
						 "<Region>eu-west-1</Region><Endpoint>e</Endpoint>"
						 "<RequestId>R1</RequestId><Other>x</Other></Error>",
					&error),
		ST_OK);
	assert_string_equal(error.code, "AuthorizationHeaderMalformed");
	assert_string_equal(error.message, "wrong & <bad>");
	assert_string_equal(error.region, "eu-west-1");
	assert_string_equal(error.endpoint, "e");
	assert_string_equal(error.request_id, "R1");

	/* Without a declaration, with prefixes, with line breaks in texts. */
	assert_int_equal(parse_error("<s:Error xmlns:s='u'><s:Code>C</s:Code>"
								 "<s:Message>a\nb\tc</s:Message></s:Error>",
								 &error),
					 ST_OK);
	assert_string_equal(error.code, "C");
	assert_string_equal(error.message, "a b c");
}

static void
no_errors(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"not xml",
		"{\"Code\": \"NoSuchKey\"}",
		"<html><body>404 Not Found</body></html>",
		"<html><Error><Code>NoSuchKey</Code></Error></html>",
		"<Error></Error>",
		"<Error><Code></Code></Error>",
		"<Error><Code>NoSuchKey</Code>",
		"<Error><Code>NoSuchKey</Code></Error>trailing",
		"<!DOCTYPE x><Error><Code>NoSuchKey</Code></Error>",
		"<!DOCTYPE x [<!ENTITY a 'N'>]><Error><Code>&a;</Code></Error>",
		"<Error><Code>&undefined;</Code></Error>",
	};
	struct s3_xml_error error = {.code = "untouched"};

	(void) state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_int_equal(parse_error(texts[i], &error), ST_CORRUPT);
	assert_string_equal(error.code, "untouched");
}

static void
long_texts_are_cut_at_a_character(void **state)
{
	char text[20000];
	struct s3_xml_error error;
	char *pos = text;

	(void) state;
	pos = stpcpy(pos, "<Error><Code>C</Code><Message>x");
	for (int i = 0; i < 9000; i++)
		pos = stpcpy(pos, "\xc3\xa9");
	(void) stpcpy(pos, "</Message></Error>");
	assert_int_equal(parse_error(text, &error), ST_OK);
	assert_int_equal(strlen(error.message), sizeof error.message - 1);
	assert_int_equal((unsigned char) error.message[sizeof error.message - 2],
					 0xa9);
}

static void
deep_and_long_names_are_refused(void **state)
{
	char text[4096];
	char *pos = stpcpy(text, "<Error><Code>C</Code>");
	struct s3_xml_error error;

	(void) state;
	for (int i = 0; i < 20; i++)
		pos = stpcpy(pos, "<a>");
	for (int i = 0; i < 20; i++)
		pos = stpcpy(pos, "</a>");
	(void) stpcpy(pos, "</Error>");
	assert_int_equal(parse_error(text, &error), ST_CORRUPT);

	pos = stpcpy(text, "<Error><Code>C</Code><");
	memset(pos, 'n', 2000);
	(void) stpcpy(pos + 2000, "/></Error>");
	assert_int_equal(parse_error(text, &error), ST_CORRUPT);
}

static void
a_listing(void **state)
{
	struct s3_list_page page;

	(void) state;
	assert_int_equal(
		parse_list(DECL
				   "<ListBucketResult" NS "><Name>b</Name><Prefix>p/</Prefix>"
				   "<KeyCount>3</KeyCount><MaxKeys>3</MaxKeys>"
				   "<IsTruncated>true</IsTruncated>"
				   "<NextContinuationToken>t/1+=</NextContinuationToken>"
				   "<Contents><Key>p/a</Key>"
				   "<LastModified>2024-02-29T12:00:00.123Z</LastModified>"
				   "<ETag>&quot;e&quot;</ETag><Size>18446744</Size>"
				   "<Owner><ID>o</ID><DisplayName>Key</DisplayName></Owner>"
				   "<StorageClass>STANDARD</StorageClass></Contents>"
				   "<Contents><Key>p/b&amp;c</Key><Size>0</Size></Contents>"
				   "<CommonPrefixes><Prefix>p/d/</Prefix></CommonPrefixes>"
				   "</ListBucketResult>",
				   &page),
		ST_OK);
	assert_true(page.truncated);
	assert_string_equal(page.next_token, "t/1+=");
	assert_int_equal(page.nentries, 3);
	assert_string_equal(page.entries[0].name, "p/a");
	assert_int_equal(page.entries[0].size_bytes, 18446744);
	assert_int_equal(page.entries[0].modified_s, 1709208000);
	assert_string_equal(page.entries[0].storage_class, "STANDARD");
	assert_false(page.entries[0].is_prefix);
	assert_string_equal(page.entries[1].name, "p/b&c");
	assert_true(page.entries[2].is_prefix);
	assert_string_equal(page.entries[2].name, "p/d/");
	s3_list_page_free(&page);
}

static void
encoded_listings(void **state)
{
	struct s3_list_page page;

	(void) state;
	assert_int_equal(
		parse_list("<ListBucketResult><EncodingType>url</EncodingType>"
				   "<Contents><Key>p%2Fa+b%2B</Key></Contents>"
				   "<CommonPrefixes><Prefix>p%2Fd%2F</Prefix>"
				   "</CommonPrefixes></ListBucketResult>",
				   &page),
		ST_OK);
	assert_string_equal(page.entries[0].name, "p/a b+");
	assert_string_equal(page.entries[1].name, "p/d/");
	s3_list_page_free(&page);

	/* Said behind the keys; and not said. */
	assert_int_equal(
		parse_list("<ListBucketResult><Contents><Key>a%20b</Key></Contents>"
				   "<EncodingType>url</EncodingType></ListBucketResult>",
				   &page),
		ST_OK);
	assert_string_equal(page.entries[0].name, "a b");
	s3_list_page_free(&page);
	assert_int_equal(
		parse_list("<ListBucketResult><Contents><Key>a%20b</Key></Contents>"
				   "</ListBucketResult>",
				   &page),
		ST_OK);
	assert_string_equal(page.entries[0].name, "a%20b");
	s3_list_page_free(&page);
	assert_int_equal(parse_list("<ListBucketResult/>", &page), ST_OK);
	assert_int_equal(page.nentries, 0);
	s3_list_page_free(&page);
}

static void
no_listings(void **state)
{
	static const char *const texts[] = {
		"",
		"<html/>",
		"<ListBucketResult><Contents><Key>a</Key></Contents>",
		"<ListBucketResult><Contents></Contents></ListBucketResult>",
		"<ListBucketResult><Contents/></ListBucketResult>",
		"<ListBucketResult><CommonPrefixes/></ListBucketResult>",
		"<ListBucketResult><Contents><Key/></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Key>b</Key></Contents>"
		"</ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents>"
		"</ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Size></Size></Contents>"
		"</ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key>"
		"<Size>9223372036854775808</Size></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key>"
		"<LastModified>yesterday</LastModified></Contents>"
		"</ListBucketResult>",
		"<ListBucketResult><IsTruncated>true</IsTruncated>"
		"</ListBucketResult>",
		"<ListBucketResult><EncodingType>url</EncodingType><Contents>"
		"<Key>a%2</Key></Contents></ListBucketResult>",
		"<!DOCTYPE l><ListBucketResult/>",
		"<Error><Code>C</Code></Error>",
	};
	struct s3_list_page page;

	(void) state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_int_equal(parse_list(texts[i], &page), ST_CORRUPT);
}

static void
overlong_keys_are_refused(void **state)
{
	static const char head[] = "<ListBucketResult><Contents><Key>";
	static const char tail[] = "</Key></Contents></ListBucketResult>";
	char text[sizeof head + 9000 + sizeof tail];
	struct s3_list_page page;

	(void) state;
	memcpy(text, head, sizeof head);
	memset(text + sizeof head - 1, 'k', 9000);
	memcpy(text + sizeof head - 1 + 9000, tail, sizeof tail);
	assert_int_equal(parse_list(text, &page), ST_CORRUPT);
}

static void
collect(void *arg, const char *name, bool deleted, const char *code,
		const char *message)
{
	char *pos = strchr(arg, '\0');

	pos = stpcpy(stpcpy(pos, name), deleted ? "=ok" : "=");
	(void) stpcpy(stpcpy(stpcpy(stpcpy(pos, code), ":"), message), ";");
}

static void
deletions(void **state)
{
	static const char text[] =
		DECL "<DeleteResult" NS "><Deleted><Key>a</Key></Deleted>"
			 "<Error><Key>b</Key><Code>AccessDenied</Code>"
			 "<Message>no</Message></Error>"
			 "<Deleted><Key>c</Key><DeleteMarker>true</DeleteMarker>"
			 "</Deleted></DeleteResult>";
	static const char *const broken[] = {
		"",
		"<Error><Code>C</Code></Error>",
		"<DeleteResult><Deleted/></DeleteResult>",
		"<DeleteResult><Error><Code>C</Code></Error></DeleteResult>",
		"<DeleteResult>",
	};
	char seen[256] = "";

	(void) state;
	assert_int_equal(s3_xml_parse_delete(text, strlen(text), collect, seen),
					 ST_OK);
	assert_string_equal(seen, "a=ok:;b=AccessDenied:no;c=ok:;");
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
		assert_int_equal(
			s3_xml_parse_delete(broken[i], strlen(broken[i]), collect, seen),
			ST_CORRUPT);
}

static bool
flag(enum status (*parse)(const char *body, size_t len, bool *out),
	 const char *text)
{
	bool out = false;

	assert_int_equal(parse(text, strlen(text), &out), ST_OK);
	return out;
}

static void
bucket_settings(void **state)
{
	bool out;

	(void) state;
	assert_false(
		flag(s3_xml_parse_versioning, "<VersioningConfiguration" NS "/>"));
	assert_true(flag(s3_xml_parse_versioning,
					 "<VersioningConfiguration><Status>Enabled</Status>"
					 "</VersioningConfiguration>"));
	assert_true(flag(s3_xml_parse_versioning,
					 "<VersioningConfiguration><Status>Suspended</Status>"
					 "</VersioningConfiguration>"));
	assert_true(flag(s3_xml_parse_object_lock,
					 "<ObjectLockConfiguration><ObjectLockEnabled>Enabled"
					 "</ObjectLockEnabled></ObjectLockConfiguration>"));
	assert_false(flag(s3_xml_parse_object_lock, "<ObjectLockConfiguration/>"));
	assert_int_equal(s3_xml_parse_versioning("<html/>", 7, &out), ST_CORRUPT);
	assert_int_equal(s3_xml_parse_object_lock("<html/>", 7, &out), ST_CORRUPT);
}

static void
collect_rule(void *arg, const struct s3_lifecycle_rule *rule)
{
	char *pos = strchr(arg, '\0');

	(void) snprintf(pos, 64, "%.16s:%lld:%lld;", rule->prefix,
					(long long) rule->days, (long long) rule->date_s);
}

#define ENABLED "<Status>Enabled</Status>"

static void
lifecycle_rules(void **state)
{
	static const char text[] =
		"<LifecycleConfiguration" NS ">"
		"<Rule><Filter><Prefix>a/</Prefix></Filter>" ENABLED
		"<Transition><Days>60</Days></Transition>"
		"<Transition><Days>30</Days></Transition>"
		"<Expiration><Days>90</Days></Expiration></Rule>"
		"<Rule><Prefix>old/</Prefix>" ENABLED
		"<Expiration><Date>2030-01-01T00:00:00.000Z</Date></Expiration></Rule>"
		"<Rule><Filter/>" ENABLED
		"<Expiration><Days>1</Days></Expiration></Rule>"
		"<Rule><Filter><And><Prefix>and/</Prefix>"
		"<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And></Filter>" ENABLED
		"<Expiration><Days>2</Days></Expiration></Rule>"
		"<Rule><Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>" ENABLED
		"<Expiration><Days>1</Days></Expiration></Rule>"
		"<Rule><Filter><And><Prefix>t/</Prefix><Tag><Key>k</Key></Tag></And>"
		"</Filter>" ENABLED "<Expiration><Days>1</Days></Expiration></Rule>"
		"<Rule><Prefix>off/</Prefix><Status>Disabled</Status>"
		"<Expiration><Days>1</Days></Expiration></Rule>"
		"<Rule><Prefix>nc/</Prefix>" ENABLED
		"<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>"
		"</NoncurrentVersionExpiration><AbortIncompleteMultipartUpload>"
		"<DaysAfterInitiation>1</DaysAfterInitiation>"
		"</AbortIncompleteMultipartUpload></Rule>"
		"</LifecycleConfiguration>";
	char seen[512] = "";

	(void) state;
	assert_int_equal(
		s3_xml_parse_lifecycle(text, strlen(text), collect_rule, seen), ST_OK);
	assert_string_equal(seen, "a/:30:-1;old/:-1:1893456000;:1:-1;and/:2:-1;");
	assert_int_equal(s3_xml_parse_lifecycle("<html/>", 7, collect_rule, seen),
					 ST_CORRUPT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors),
		cmocka_unit_test(no_errors),
		cmocka_unit_test(long_texts_are_cut_at_a_character),
		cmocka_unit_test(deep_and_long_names_are_refused),
		cmocka_unit_test(a_listing),
		cmocka_unit_test(encoded_listings),
		cmocka_unit_test(no_listings),
		cmocka_unit_test(overlong_keys_are_refused),
		cmocka_unit_test(deletions),
		cmocka_unit_test(bucket_settings),
		cmocka_unit_test(lifecycle_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
