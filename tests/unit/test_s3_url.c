/*
 * test_s3_url.c - addresses of buckets and objects
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/s3_url.h"

static void
assert_address(const char *repository, const char *endpoint,
			   const char *region, enum config_addressing addressing,
			   const char *host, const char *path)
{
	struct s3_address address;
	struct err err;
	char *text;

	assert_int_equal(s3_address_parse(repository, endpoint, region, addressing,
									  &address, &err),
					 ST_OK);
	assert_string_equal(address.host, host);
	text = s3_address_path(&address, "k");
	assert_string_equal(text, path);
	free(text);
}

static void
aws_addresses(void **state)
{
	(void) state;
	assert_address("s3://b/p", NULL, NULL, ADDRESSING_AUTO,
				   "b.s3.us-east-1.amazonaws.com", "/p/k");
	assert_address("s3://b", NULL, "eu-central-1", ADDRESSING_AUTO,
				   "b.s3.eu-central-1.amazonaws.com", "/k");
	assert_address("s3://b/", NULL, "cn-north-1", ADDRESSING_AUTO,
				   "b.s3.cn-north-1.amazonaws.com.cn", "/k");
	assert_address("s3://b", NULL, NULL, ADDRESSING_PATH,
				   "s3.us-east-1.amazonaws.com", "/b/k");

	/* No certificate covers two labels below the endpoint. */
	assert_address("s3://my.bucket", NULL, NULL, ADDRESSING_AUTO,
				   "s3.us-east-1.amazonaws.com", "/my.bucket/k");
	assert_address("s3://my.bucket", NULL, NULL, ADDRESSING_VIRTUAL,
				   "my.bucket.s3.us-east-1.amazonaws.com", "/k");

	/* Buckets from before the naming rules. */
	assert_address("s3://Old_Bucket", NULL, NULL, ADDRESSING_AUTO,
				   "s3.us-east-1.amazonaws.com", "/Old_Bucket/k");

	assert_address("s3://b", "https://s3.dualstack.eu-west-1.amazonaws.com",
				   "eu-west-1", ADDRESSING_AUTO,
				   "b.s3.dualstack.eu-west-1.amazonaws.com", "/k");
}

static void
other_endpoints(void **state)
{
	(void) state;
	assert_address("s3://b/p/q", "http://localhost:9000", NULL,
				   ADDRESSING_AUTO, "localhost:9000", "/b/p/q/k");
	assert_address("s3://b/p/q/", "http://localhost:9000/", NULL,
				   ADDRESSING_VIRTUAL, "b.localhost:9000", "/p/q/k");
	assert_address("s3://b", "http://[::1]:9000", NULL, ADDRESSING_AUTO,
				   "[::1]:9000", "/b/k");
	assert_address("s3://b", "http://[::1]", NULL, ADDRESSING_AUTO, "[::1]",
				   "/b/k");
	assert_address("s3://b", "https://10.0.0.1", NULL, ADDRESSING_PATH,
				   "10.0.0.1", "/b/k");

	/* The usual port is not part of the Host header. */
	assert_address("s3://b", "https://s3.example:443", NULL, ADDRESSING_AUTO,
				   "s3.example", "/b/k");
	assert_address("s3://b", "http://s3.example:80", NULL, ADDRESSING_AUTO,
				   "s3.example", "/b/k");
	assert_address("s3://b", "http://s3.example:443", NULL, ADDRESSING_AUTO,
				   "s3.example:443", "/b/k");

	/* Not Amazon's, though it looks a little like it. */
	assert_address("s3://b", "https://amazonaws.com.example", NULL,
				   ADDRESSING_AUTO, "amazonaws.com.example", "/b/k");
}

static void
assert_refused(const char *repository, const char *endpoint,
			   const char *region, enum config_addressing addressing,
			   const char *word)
{
	struct s3_address address;
	struct s3_address before;
	struct err err;

	memset(&address, 0x5a, sizeof address);
	before = address;
	assert_int_equal(s3_address_parse(repository, endpoint, region, addressing,
									  &address, &err),
					 ST_CONFIG);
	assert_non_null(strstr(err.message, word));
	assert_memory_equal(&address, &before, sizeof address);
}

static void
bad_settings_are_named(void **state)
{
	static const char *const repositories[] = {
		"file:///x",       "s3:/b",       "s3://",      "s3:///p",
		"s3://-b",         "s3://b c",    "s3://b//p",  "s3://b/p//q",
		"s3://b/./p",      "s3://b/../p", "s3://b/p/.", "s3://b/p/..",
		"s3://b/\001",     "s3://b/p//",  "s3://b//",   "s3://b\r\nx: y/p",
		"s3://b/line\nin",
	};
	static const char *const endpoints[] = {
		"localhost:9000",     "ftp://h",       "http://",
		"http://:80",         "http://h:",     "http://h:0",
		"http://h:65536",     "http://h:80x",  "http://h/path",
		"http://u:p@h",       "http://h?x",    "http://h#x",
		"http://h h",         "http://[::1",   "http://[]",
		"http://h\r\nx: y",   "http://[::1]x", "http://h:-1",
		"http://h:000000080",
	};

	(void) state;
	for (size_t i = 0; i < sizeof repositories / sizeof *repositories; i++)
		assert_refused(repositories[i], NULL, NULL, ADDRESSING_AUTO,
					   "repository");
	for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
		assert_refused("s3://b", endpoints[i], NULL, ADDRESSING_AUTO,
					   "s3_endpoint");
	assert_refused("s3://b", NULL, "", ADDRESSING_AUTO, "s3_region");
	assert_refused("s3://b", NULL, "eu/west", ADDRESSING_AUTO, "s3_region");
	assert_refused("s3://b", "http://127.0.0.1", NULL, ADDRESSING_VIRTUAL,
				   "host name");
	assert_refused("s3://b", "http://[::1]", NULL, ADDRESSING_VIRTUAL,
				   "host name");
	assert_refused("s3://B_b", NULL, NULL, ADDRESSING_VIRTUAL, "host name");
	assert_refused("s3://b..c", NULL, NULL, ADDRESSING_VIRTUAL, "host name");
	assert_refused("s3://b.-c", NULL, NULL, ADDRESSING_VIRTUAL, "host name");
	assert_refused("s3://b-", NULL, NULL, ADDRESSING_VIRTUAL, "host name");
}

static void
a_password_is_not_repeated(void **state)
{
	struct s3_address address;
	struct err err;

	(void) state;
	assert_int_equal(s3_address_parse("s3://b", "http://me:hush@h", NULL,
									  ADDRESSING_AUTO, &address, &err),
					 ST_CONFIG);
	assert_null(strstr(err.message, "hush"));
}

static void
lengths_are_bounded(void **state)
{
	char text[2048];
	struct s3_address address;
	struct err err;

	(void) state;
	for (size_t len = 1; len < sizeof text - 16; len++)
	{
		memcpy(text, "s3://", 5);
		memset(text + 5, 'b', len);
		text[5 + len] = '\0';
		assert_int_equal(s3_address_parse(text, NULL, NULL, ADDRESSING_AUTO,
										  &address, &err),
						 len < S3_BUCKET_SIZE ? ST_OK : ST_CONFIG);
		memcpy(text, "s3://b/", 7);
		memset(text + 7, 'p', len);
		text[7 + len] = '\0';
		assert_int_equal(s3_address_parse(text, NULL, NULL, ADDRESSING_AUTO,
										  &address, &err),
						 len + 2 <= S3_PREFIX_SIZE ? ST_OK : ST_CONFIG);
		memcpy(text, "http://", 7);
		memset(text + 7, 'h', len);
		text[7 + len] = '\0';
		assert_int_equal(s3_address_parse("s3://b", text, NULL,
										  ADDRESSING_AUTO, &address, &err),
						 len <= 253 ? ST_OK : ST_CONFIG);
		text[len] = '\0';
		memset(text, 'r', len);
		assert_int_equal(s3_address_parse("s3://b", NULL, text,
										  ADDRESSING_AUTO, &address, &err),
						 len < S3_REGION_SIZE ? ST_OK : ST_CONFIG);
	}
}

static void
paths_of_buckets(void **state)
{
	struct s3_address address;
	struct err err;
	char text[128];
	char *path;

	(void) state;
	assert_int_equal(s3_address_parse("s3://b/p", "http://h:1", NULL,
									  ADDRESSING_PATH, &address, &err),
					 ST_OK);
	path = s3_address_path(&address, NULL);
	assert_string_equal(path, "/b");
	free(path);
	s3_address_text(&address, text, sizeof text);
	assert_string_equal(text, "http://h:1/b");
	assert_string_equal(s3_address_relative(&address, "p/x"), "x");
	assert_null(s3_address_relative(&address, "q/x"));

	assert_int_equal(s3_address_parse("s3://b", "https://h", NULL,
									  ADDRESSING_VIRTUAL, &address, &err),
					 ST_OK);
	path = s3_address_path(&address, NULL);
	assert_string_equal(path, "/");
	free(path);
	s3_address_text(&address, text, sizeof text);
	assert_string_equal(text, "https://b.h");
}

/* "UriEncode" of the Signature Version 4 documentation. */
static void
encoding(void **state)
{
	static const char all[] = "AZaz09-._~ /$%+&=\xc3\xa9";
	char out[S3_ENCODED_SIZE(sizeof all)];
	size_t len = s3_uri_encode(all, false, out);

	(void) state;
	assert_int_equal(len, strlen(out));
	assert_string_equal(out, "AZaz09-._~%20%2F%24%25%2B%26%3D%C3%A9");
	assert_true(s3_uri_decode(out));
	assert_string_equal(out, all);
	(void) s3_uri_encode("a/b c", true, out);
	assert_string_equal(out, "a/b%20c");
}

static void
decoding(void **state)
{
	static const char *const broken[] = {"%", "%4", "%zz", "%4g", "%00", "a%"};
	char text[16];

	(void) state;
	memcpy(text, "a+b%2Fc%2f", sizeof "a+b%2Fc%2f");
	assert_true(s3_uri_decode(text));
	assert_string_equal(text, "a b/c/");
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
	{
		memcpy(text, broken[i], strlen(broken[i]) + 1);
		assert_false(s3_uri_decode(text));
	}
}

static void
queries_are_in_order(void **state)
{
	const struct s3_param params[] = {{"prefix", "a/b c"},
									  {"delete", ""},
									  {"list-type", "2"},
									  {"encoding-type", "url"}};
	char *query = s3_query_build(params, 4);

	(void) state;
	assert_string_equal(query, "delete=&encoding-type=url&list-type=2&"
							   "prefix=a%2Fb%20c");
	free(query);
	query = s3_query_build(params, 0);
	assert_string_equal(query, "");
	free(query);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aws_addresses),
		cmocka_unit_test(other_endpoints),
		cmocka_unit_test(bad_settings_are_named),
		cmocka_unit_test(a_password_is_not_repeated),
		cmocka_unit_test(lengths_are_bounded),
		cmocka_unit_test(paths_of_buckets),
		cmocka_unit_test(encoding),
		cmocka_unit_test(decoding),
		cmocka_unit_test(queries_are_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
