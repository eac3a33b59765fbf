/*
 * test_s3_headers.c - headers of answers, and times in them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/s3_headers.h"
#include "common/s3_time.h"

static struct s3_headers
one(const char *line)
{
	struct s3_headers headers;

	s3_headers_reset(&headers);
	s3_headers_line(&headers, line, strlen(line));
	return headers;
}

static void
lengths(void **state)
{
	(void) state;
	assert_int_equal(one("").content_length, -1);
	assert_int_equal(one("Content-Length: 0\r\n").content_length, 0);
	assert_int_equal(one("CONTENT-LENGTH:12").content_length, 12);
	assert_int_equal(one("content-length: 12 \t\r\n").content_length, 12);
	assert_int_equal(one("Content-Length: 12x").content_length, -1);
	assert_int_equal(one("Content-Length: -1").content_length, -1);
	assert_int_equal(one("Content-Length:").content_length, -1);
	assert_int_equal(
		one("Content-Length: 99999999999999999999").content_length, -1);
	assert_int_equal(one("Content-Length 12").content_length, -1);
	assert_true(one("Transfer-Encoding: chunked").chunked);
	assert_false(one("Transfer-Encoding: identity").chunked);
}

static void
ranges(void **state)
{
	static const char *const broken[] = {
		"Content-Range: bytes",         "Content-Range: bytes 0",
		"Content-Range: bytes 0-",      "Content-Range: bytes 0-1",
		"Content-Range: bytes 0-1/",    "Content-Range: bytes 0-1/x",
		"Content-Range: bytes 2-1/5",   "Content-Range: bytes 0-5/5",
		"Content-Range: bytes 0-1/5 x", "Content-Range: items 0-1/5",
		"Content-Range: bytes */5",     "Content-Range: bytes 0-1/*x",
		"Content-Range: bytes -1-1/5",
	};
	struct s3_headers headers = one("Content-Range: bytes 2-5/1000");

	(void) state;
	assert_true(headers.has_range);
	assert_true(headers.range_first == 2 && headers.range_last == 5 &&
				headers.range_total == 1000);
	headers = one("Content-Range: bytes 2-5/*");
	assert_true(headers.has_range && headers.range_total == UINT64_MAX);
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
		assert_false(one(broken[i]).has_range);
}

static void
flags_and_texts(void **state)
{
	char line[400] = "x-amz-request-id: ";
	struct s3_headers headers;

	(void) state;
	assert_true(one("ETag: \"e\"").has_etag);
	assert_false(one("ETag: ").has_etag);
	assert_true(one("x-amz-delete-marker: true").delete_marker);
	assert_false(one("x-amz-delete-marker: false").delete_marker);
	assert_true(one("x-amz-restore: ongoing-request=\"false\", "
					"expiry-date=\"x\"")
					.restored);
	assert_false(one("x-amz-restore: ongoing-request=\"true\"").restored);
	assert_string_equal(one("x-amz-storage-class: GLACIER").storage_class,
						"GLACIER");
	assert_string_equal(one("x-amz-bucket-region: eu-west-1").bucket_region,
						"eu-west-1");
	assert_string_equal(one("Content-Type: text/html").content_type,
						"text/html");
	assert_string_equal(one("x-amz-request-id: a\tb\xff").request_id, "a?b?");

	memset(line + 18, 'r', 300);
	headers = one(line);
	assert_int_equal(strlen(headers.request_id),
					 sizeof headers.request_id - 1);
}

static void
zero_bytes_and_long_lines_are_ignored(void **state)
{
	static const char zero[] = "ETag: \"e\0\"";
	char line[4096] = "ETag: ";
	struct s3_headers headers;

	(void) state;
	s3_headers_reset(&headers);
	s3_headers_line(&headers, zero, sizeof zero - 1);
	assert_false(headers.has_etag);
	memset(line + 6, 'e', sizeof line - 7);
	assert_false(one(line).has_etag);
	memset(line, 'n', sizeof line - 1);
	line[100] = ':';
	assert_false(one(line).has_etag);
}

static void
retry_after(void **state)
{
	struct s3_headers headers;

	(void) state;
	headers = one("Retry-After: 7");
	assert_int_equal(s3_headers_retry_after(&headers, 0), 7000);
	headers = one("Retry-After: 99999999");
	assert_int_equal(s3_headers_retry_after(&headers, 0), 86400000);
	headers = one("Retry-After: soon");
	assert_int_equal(s3_headers_retry_after(&headers, 0), 0);
	headers = one("Retry-After: Thu, 01 Jan 1970 00:01:00 GMT");
	assert_int_equal(s3_headers_retry_after(&headers, 50), 10000);
	assert_int_equal(s3_headers_retry_after(&headers, 70), 0);

	/* The store's own clock counts, where it tells it. */
	s3_headers_line(&headers, "Date: Thu, 01 Jan 1970 00:00:30 GMT", 35);
	assert_int_equal(s3_headers_retry_after(&headers, 50), 30000);
}

static void
http_dates(void **state)
{
	static const char *const broken[] = {
		"",
		"Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 CET",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Xxx, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Xxx 1994 08:49:37 GMT",
		"Sun, 31 Feb 1994 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT",
		"Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1969 08:49:37 GMT",
		"Sun, 6 Nov 1994 08:49:37 GMT",
	};
	int64_t when;

	(void) state;
	/* RFC 9110, 5.6.7 */
	assert_true(s3_time_parse_http("Sun, 06 Nov 1994 08:49:37 GMT", &when));
	assert_int_equal(when, 784111777);
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
		assert_false(s3_time_parse_http(broken[i], &when));
}

static void
iso_dates(void **state)
{
	static const char *const broken[] = {
		"",
		"2024-02-29",
		"2024-02-29T12:00:00",
		"2024-02-29T12:00:00+01",
		"2024-02-29T12:00:00+24:00",
		"2024-02-29T12:00:00+01:60",
		"2024-02-29T12:00:00+01:00Z",
		"2023-02-29T12:00:00Z",
		"2024-13-01T12:00:00Z",
		"2024-00-01T12:00:00Z",
		"2024-02-29 12:00:00Z",
		"2024-02-29T12:00:00Zx",
	};
	int64_t when;

	(void) state;
	assert_true(s3_time_parse_iso("2024-02-29T12:00:00.000Z", &when));
	assert_int_equal(when, 1709208000);
	assert_true(s3_time_parse_iso("2024-02-29T12:00:00Z", &when));
	assert_int_equal(when, 1709208000);
	assert_true(s3_time_parse_iso("2016-12-31T23:59:60Z", &when));
	assert_int_equal(when, 1483228800);
	assert_true(s3_time_parse_iso("2024-02-29T13:30:00.5+01:30", &when));
	assert_int_equal(when, 1709208000);
	assert_true(s3_time_parse_iso("2024-02-29T11:00:00-0100", &when));
	assert_int_equal(when, 1709208000);
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
		assert_false(s3_time_parse_iso(broken[i], &when));
}

static void
amz_dates(void **state)
{
	char text[S3_AMZ_DATE_SIZE];

	(void) state;
	assert_true(s3_time_format_amz(1369353600, text));
	assert_string_equal(text, "20130524T000000Z");
	assert_true(s3_time_format_amz(0, text));
	assert_string_equal(text, "19700101T000000Z");
	assert_false(s3_time_format_amz(-1, text));
	assert_false(s3_time_format_amz(INT64_MAX, text));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths),
		cmocka_unit_test(ranges),
		cmocka_unit_test(flags_and_texts),
		cmocka_unit_test(zero_bytes_and_long_lines_are_ignored),
		cmocka_unit_test(retry_after),
		cmocka_unit_test(http_dates),
		cmocka_unit_test(iso_dates),
		cmocka_unit_test(amz_dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
