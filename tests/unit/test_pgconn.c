/*
 * test_pgconn.c - libpq's messages as ours
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/pgconn_internal.h"

static char message[2048];
static struct err err;

/* In the place of libpq's own. */
char *
PQerrorMessage(const PGconn *conn)
{
	(void) conn;
	return message;
}

static void
say(const char *text)
{
	const struct pgconn conn = {.pq = NULL};

	assert_true(strlen(text) < sizeof(message));
	memcpy(message, text, strlen(text) + 1);
	assert_int_equal(pgconn_error(&conn, ST_SERVER, &err), ST_SERVER);
}

static void
test_lines(void **state)
{
	(void) state;
	say("");
	assert_string_equal(err.message, "the connection to the server is lost");
	say("one\n");
	assert_string_equal(err.message, "one");
	assert_string_equal(err.detail, "");
	say("one\n\tand two\n\tthree  \n");
	assert_string_equal(err.message, "one");
	assert_string_equal(err.detail, "and two three");
	assert_string_equal(err.hint, "");
}

static void
test_labels(void **state)
{
	(void) state;
	say("failed: FATAL:  no\nDETAIL:  Hot standby mode is disabled.\n");
	assert_string_equal(err.message, "failed: FATAL:  no");
	assert_string_equal(err.detail, "Hot standby mode is disabled.");
	assert_string_equal(err.hint, "");
	say("failed: FATAL:  no\nDETAIL:  It is so.\nHINT:  Do this.\n");
	assert_string_equal(err.detail, "It is so.");
	assert_string_equal(err.hint, "Do this.");
	say("failed: FATAL:  no\nHINT:  Do this.\n");
	assert_string_equal(err.detail, "");
	assert_string_equal(err.hint, "Do this.");
	say("first host\nsecond host\nHINT:  Do this.\n");
	assert_string_equal(err.detail, "second host");
	assert_string_equal(err.hint, "Do this.");
}

static void
test_long(void **state)
{
	char text[2000];

	(void) state;
	memset(text, 'x', sizeof(text));
	text[5] = '\n';
	text[sizeof(text) - 1] = '\0';
	say(text);
	assert_string_equal(err.message, "xxxxx");
	assert_int_equal(strlen(err.detail), ERR_DETAIL_MAX - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
