/*
 * test_s3_cred.c - what credentials' answers and files look like, and that one
 * thread renews them for all
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/s3_cred_internal.h"
#include "common/s3_cred_words.h"

#define THREADS 12

/* --- words --------------------------------------------------------------- */

static void
assert_words(const char *command, const char *expected)
{
	char room[256];
	char joined[256] = "";
	char *end = joined;
	char *words[8];
	size_t count = s3_cred_split(command, room, words, 8);

	for (size_t i = 0; i < count; i++)
		end = stpcpy(stpcpy(end, words[i]), "|");
	assert_string_equal(joined, expected);
}

static void
words_without_a_shell(void **state)
{
	(void) state;
	assert_words("a", "a|");
	assert_words("  a \t b\nc ", "a|b|c|");
	assert_words("a 'b  c' \"d 'e'\"", "a|b  c|d 'e'|");
	assert_words("a'b'\"c\"d", "abcd|");
	assert_words("a\\ b \\\\ \\'", "a b|\\|'|");
	assert_words("\"a\\\"b\\\\c\\d\" '\\'", "a\"b\\c\\d|\\|");
	assert_words("'' x", "|x|");
	assert_words("$HOME `x` *; # ~", "$HOME|`x`|*;|#|~|");
	assert_words("", "");
	assert_words("a 'b", "");
	assert_words("a \"b", "");
	assert_words("a \\", "");
	assert_words("1 2 3 4 5 6 7 8 9", "");
}

/* --- addresses ----------------------------------------------------------- */

static bool
plain_allowed(const char *url)
{
	struct s3_cred_url parts;

	return s3_cred_url_parse(url, &parts) &&
		   s3_cred_plain_allowed(parts.host, parts.name_len);
}

static void
hosts_for_plain_http(void **state)
{
	static const char *const good[] = {
		"http://127.0.0.1/x",          "http://127.9.9.9:80/x",
		"http://localhost:1",          "http://[::1]:80/",
		"http://169.254.170.2/v2",     "http://169.254.170.23/v1",
		"http://[fd00:ec2::23]/v1",    "http://[fd00:ec2:0::23]/v1",
		"http://127.0.0.1?http://x/y",
	};
	static const char *const bad[] = {
		"http://10.0.0.1/",
		"http://169.254.169.254/",
		"http://128.0.0.1/",
		"http://localhost.example/",
		"http://127.0.0.1.nip/",
		"http://[fd00:ec2::254]/",
		"http://[::ffff:a00:1]/",
		"http://a@127.0.0.1/",
		"http://",
		"http://:80/",
		"file:///etc/passwd",
		"http://127.0.0.1 /",
		"http://127.0.0.1@evil/x",
		"http://2130706433/",
	};

	(void) state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		assert_true(plain_allowed(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(plain_allowed(bad[i]));
}

/* The hosts that a relative address is at, without asking them. */
static void
relative_addresses(void **state)
{
	struct s3_cred_source *source = NULL;
	struct err err;

	(void) state;
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x?id=1", 1);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/", 1);
	assert_int_equal(s3_cred_from_container(&source, &err), ST_OK);
	assert_string_equal(source->url, "http://169.254.170.2/v2/x?id=1");
	s3_cred_source_free(source);
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil/x", 1);
	assert_int_equal(s3_cred_from_container(&source, &err), ST_CONFIG);
	unsetenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	assert_int_equal(s3_cred_from_container(&source, &err), ST_MISSING);

	unsetenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	assert_int_equal(s3_cred_from_instance(&source, &err), ST_OK);
	assert_string_equal(source->url, "http://169.254.169.254");
	assert_false(source->certain);
	s3_cred_source_free(source);
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6", 1);
	assert_int_equal(s3_cred_from_instance(&source, &err), ST_OK);
	assert_string_equal(source->url, "http://[fd00:ec2::254]");
	s3_cred_source_free(source);
	unsetenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	setenv("AWS_EC2_METADATA_DISABLED", "TRUE", 1);
	assert_int_equal(s3_cred_from_instance(&source, &err), ST_MISSING);
	unsetenv("AWS_EC2_METADATA_DISABLED");
}

/* --- answers ------------------------------------------------------------- */

#define SOON "\"Expiration\":\"2999-01-01T00:00:00Z\""
#define PAIR "\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\""

static enum status
from_json(const char *text, struct s3_cred **out)
{
	struct err err;

	return s3_cred_from_json("x", text, strlen(text), true, out, &err);
}

static void
json(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"\"a\"",
		"{" PAIR "}",
		"{" PAIR "," SOON,
		"{" PAIR "," SOON "}{}",
		"{" PAIR "," SOON ",\"AccessKeyId\":\"a\"}",
		"{\"AccessKeyId\":[\"a\"],\"SecretAccessKey\":\"b\"," SOON "}",
		"{\"AccessKeyId\":\"a\\u0000b\",\"SecretAccessKey\":\"b\"," SOON "}",
		"{\"AccessKeyId\":\"a\\nb\",\"SecretAccessKey\":\"b\"," SOON "}",
		"{\"x\":{" PAIR "," SOON "}}",
		"{\"Version\":3," PAIR "," SOON "}",
	};
	struct s3_cred *cred = NULL;

	(void) state;
	assert_int_equal(from_json("{" PAIR "," SOON ",\"Token\":null,\"x\":[{"
							   "\"AccessKeyId\":\"z\"}],\"y\":1.5e3}",
							   &cred),
					 ST_OK);
	assert_string_equal(s3_cred_keys(cred)->access_key_id, "a");
	assert_string_equal(s3_cred_keys(cred)->secret_access_key, "b");
	assert_null(s3_cred_keys(cred)->session_token);
	s3_cred_release(cred);
	assert_int_equal(
		from_json("{" PAIR "," SOON ",\"SessionToken\":\"t\"}", &cred), ST_OK);
	assert_string_equal(s3_cred_keys(cred)->session_token, "t");
	assert_int_equal(cred->expires_s, INT64_C(32472144000));
	s3_cred_release(cred);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(from_json(bad[i], &cred), ST_CORRUPT);
	assert_int_equal(from_json("{\"code\":\"x\",\"message\":\"m\"}", &cred),
					 ST_RETRY);
}

#define XML(body)                                              \
	"<AssumeRoleResponse><AssumeRoleResult><Credentials>" body \
	"</Credentials></AssumeRoleResult></AssumeRoleResponse>"
#define XML_PAIR \
	"<AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey>"
#define XML_REST                     \
	"<SessionToken>t</SessionToken>" \
	"<Expiration>2999-01-01T00:00:00Z</Expiration>"

static void
xml(void **state)
{
	static const char *const bad[] = {
		"",
		XML(""),
		XML(XML_PAIR),
		XML(XML_REST),
		XML(XML_PAIR XML_PAIR XML_REST),
		XML(XML_PAIR XML_REST "<x>"),
		"<x>" XML(XML_PAIR XML_REST) "</x>",
		XML_PAIR XML_REST,
	};
	static const char good[] = XML(XML_PAIR XML_REST "<x><y/></x>");
	struct s3_cred *cred = NULL;
	struct err err;

	(void) state;
	assert_int_equal(s3_cred_from_xml(good, strlen(good), &cred, &err), ST_OK);
	assert_string_equal(s3_cred_keys(cred)->session_token, "t");
	s3_cred_release(cred);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(s3_cred_from_xml(bad[i], strlen(bad[i]), &cred, &err),
						 ST_CORRUPT);
}

/* --- one renews for all -------------------------------------------------- */

struct shared
{
	struct s3_cred_provider *provider;
	struct s3_cred *got[THREADS];
	pthread_barrier_t start;
};

struct worker
{
	struct shared *shared;
	int number;
};

static void *
acquire(void *arg)
{
	const struct worker *worker = arg;
	struct deadline d = deadline_in(20000, NULL);
	struct err err;

	(void) pthread_barrier_wait(&worker->shared->start);
	if (s3_cred_acquire(worker->shared->provider, &d,
						&worker->shared->got[worker->number], &err) != ST_OK)
		worker->shared->got[worker->number] = NULL;
	return NULL;
}

static char home[] = "/tmp/walship-cred-XXXXXX";

static void
write_file(const char *name, mode_t mode, const char *content)
{
	char path[256];
	FILE *file;

	(void) snprintf(path, sizeof path, "%s/%s", home, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(content, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* Lines of the file that the program appends to. */
static int
runs(void)
{
	char path[256];
	int count = 0;
	int c;
	FILE *file;

	(void) snprintf(path, sizeof path, "%s/runs", home);
	file = fopen(path, "r");
	assert_non_null(file);
	while ((c = fgetc(file)) != EOF)
		count += c == '\n';
	(void) fclose(file);
	return count;
}

static int
make_home(void **state)
{
	char text[1024];

	(void) state;
	assert_non_null(mkdtemp(home));
	(void) snprintf(text, sizeof text,
					"#!/bin/sh\necho x >>%s/runs\nsleep 0.3\n"
					"echo '{\"Version\":1,\"AccessKeyId\":\"a\","
					"\"SecretAccessKey\":\"b\"," SOON "}'\n",
					home);
	write_file("program", 0700, text);
	(void) snprintf(text, sizeof text,
					"[default]\ncredential_process = %s/program\n", home);
	write_file("config", 0600, text);
	(void) snprintf(text, sizeof text, "%s/config", home);
	setenv("AWS_CONFIG_FILE", text, 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
	return 0;
}

static int
remove_home(void **state)
{
	static const char *const names[] = {"program", "config", "runs"};
	char path[256];

	(void) state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		(void) snprintf(path, sizeof path, "%s/%s", home, names[i]);
		(void) unlink(path);
	}
	(void) rmdir(home);
	return 0;
}

static void
one_asks_while_the_others_wait(void **state)
{
	char repository[] = "s3://bucket";
	char region[] = "us-east-1";
	struct config cfg = {.repository = repository, .s3_region = region};
	struct s3_cred_provider *again = NULL;
	struct shared shared = {.provider = NULL};
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	struct err err;

	(void) state;
	assert_int_equal(s3_cred_open(&cfg, &shared.provider, &err), ST_OK);
	assert_int_equal(s3_cred_open(&cfg, &again, &err), ST_OK);
	assert_ptr_equal(shared.provider, again);
	assert_int_equal(pthread_barrier_init(&shared.start, NULL, THREADS), 0);
	for (int i = 0; i < THREADS; i++)
	{
		workers[i] = (struct worker){&shared, i};
		assert_int_equal(
			pthread_create(&threads[i], NULL, acquire, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < THREADS; i++)
	{
		assert_non_null(shared.got[i]);
		assert_ptr_equal(shared.got[i], shared.got[0]);
	}
	assert_int_equal(runs(), 1);

	/* Just obtained and refused: others are not to be had. */
	assert_false(s3_cred_refused(shared.provider, shared.got[0]));
	shared.got[0]->obtained_s -= 100;
	assert_true(s3_cred_refused(shared.provider, shared.got[0]));
	for (int i = 0; i < THREADS; i++)
		s3_cred_release(shared.got[i]);
	assert_int_equal(pthread_barrier_destroy(&shared.start), 0);
	assert_int_equal(pthread_barrier_init(&shared.start, NULL, 1), 0);
	(void) acquire(&workers[0]);
	assert_int_equal(runs(), 2);
	s3_cred_release(shared.got[0]);
	s3_cred_close(again);
	s3_cred_close(shared.provider);
	(void) pthread_barrier_destroy(&shared.start);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_without_a_shell),
		cmocka_unit_test(hosts_for_plain_http),
		cmocka_unit_test(relative_addresses),
		cmocka_unit_test(json),
		cmocka_unit_test(xml),
		cmocka_unit_test(one_asks_while_the_others_wait),
	};

	return cmocka_run_group_tests(tests, make_home, remove_home);
}
