/*
 * test_log.c - what goes to standard error
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"

static char output[16384];

/* Calls emit with standard error going to a pipe, and fills output. */
static void
capture(void (*emit)(const void *arg), const void *arg)
{
	int saved = dup(STDERR_FILENO);
	ssize_t n;
	int ends[2];

	assert_true(saved >= 0);
	assert_int_equal(pipe(ends), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	assert_int_equal(close(ends[1]), 0);
	emit(arg);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	assert_int_equal(close(saved), 0);
	n = read(ends[0], output, sizeof output - 1);
	assert_true(n >= 0);
	output[n] = '\0';
	assert_int_equal(close(ends[0]), 0);
}

static void
emit_err(const void *arg)
{
	log_err(arg);
}

static void
emit_all(const void *arg)
{
	(void) arg;
	log_error("e%d", 1);
	log_warning("w%d", 2);
	log_info("i%d", 3);
	log_debug("d%d", 4);
}

static void
emit_err_warning(const void *arg)
{
	log_err_warning(arg);
}

static void
test_levels(void **state)
{
	(void) state;
	log_init("wal-push", LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
	capture(emit_all, NULL);
	assert_string_equal(output, "wal-push: ERROR: e1\nwal-push: WARNING: w2\n"
								"wal-push: INFO: i3\nwal-push: DEBUG: d4\n");
	log_init("wal-push", LOG_FORMAT_TEXT, LOG_LEVEL_AUTO);
	capture(emit_all, NULL);
	assert_string_equal(output,
						"wal-push: ERROR: e1\nwal-push: WARNING: w2\n");
	log_init("wal-push", LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	capture(emit_all, NULL);
	assert_string_equal(output, "wal-push: ERROR: e1\n");
}

static void
test_text_is_one_line(void **state)
{
	struct err err;

	(void) state;
	log_init("p", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	(void) err_set(&err, ST_RETRY, "could\nnot \x1b[31m\x7f");
	capture(emit_err, &err);
	assert_string_equal(output, "p: ERROR: could not ?[31m?\n");
	(void) err_hint(&err, "Try it.");
	capture(emit_err, &err);
	assert_string_equal(output,
						"p: ERROR: could not ?[31m? (HINT: Try it.)\n");
	(void) err_detail(&err, "It is \xC3\xA9.");
	capture(emit_err_warning, &err);
	assert_string_equal(output, "p: WARNING: could not ?[31m? (DETAIL: It is "
								"\xC3\xA9. HINT: Try it.)\n");
}

static void
test_terminal(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	int saved = dup(STDERR_FILENO);
	const char *expected = "p: ERROR: m\r\nDETAIL: D.\r\nHINT: H.\r\n";
	struct err err;
	size_t len = 0;
	int slave;

	(void) state;
	assert_true(master >= 0 && saved >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	(void) err_set(&err, ST_IO, "m");
	(void) err_detail(&err, "D.");
	(void) err_hint(&err, "H.");
	log_init("p", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);

	assert_true(dup2(slave, STDERR_FILENO) >= 0);
	log_err(&err);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	while (len < strlen(expected))
	{
		ssize_t n = read(master, output + len, sizeof output - 1 - len);

		assert_true(n > 0);
		len += (size_t) n;
	}
	output[len] = '\0';
	assert_string_equal(output, expected);
	assert_int_equal(close(slave), 0);
	assert_int_equal(close(master), 0);
	assert_int_equal(close(saved), 0);
}

/* The parts that do not change from run to run. */
static void
assert_json(const char *rest)
{
	const char *level = strstr(output, ", \"level\"");

	assert_memory_equal(output, "{\"time\": \"2", 11);
	assert_non_null(level);
	assert_string_equal(level, rest);
	assert_non_null(strstr(output, "Z\", \"pid\": "));
}

static void
test_json(void **state)
{
	struct err err;

	(void) state;
	log_init("p", LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	(void) err_set(&err, ST_CORRUPT, "a \"b\" \\ \n \xC3\xA9 \xC3 \xFF");
	capture(emit_err, &err);
	assert_json(
		", \"level\": \"error\", \"program\": \"p\", \"status\": "
		"\"corrupt\", \"message\": \"a \\u0022b\\u0022 \\u005c \\u000a "
		"\xC3\xA9 \\ufffd \\ufffd\"}\n");

	(void) err_set(&err, ST_OK, "fine");
	(void) err_detail(&err, "D.");
	(void) err_hint(&err, "H.");
	capture(emit_err_warning, &err);
	assert_json(", \"level\": \"warning\", \"program\": \"p\", \"message\": "
				"\"fine\", \"detail\": \"D.\", \"hint\": \"H.\"}\n");
}

static void
test_json_utf8(void **state)
{
	/* Overlong, surrogate, above U+10FFFF, cut: none of them is UTF-8. */
	static const struct
	{
		const char *bytes;
		const char *shown;
	} cases[] = {
		{"\xE2\x82\xAC", "\xE2\x82\xAC"},
		{"\xF0\x9F\x90\x98", "\xF0\x9F\x90\x98"},
		{"\xC0\x80", "\\ufffd\\ufffd"},
		{"\xE0\x80\x80", "\\ufffd\\ufffd\\ufffd"},
		{"\xED\xA0\x80", "\\ufffd\\ufffd\\ufffd"},
		{"\xF4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
		{"\xF0\x8F\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
		{"\xE2\x82", "\\ufffd\\ufffd"},
		{"\xF5", "\\ufffd"},
	};
	struct err err;

	(void) state;
	log_init("p", LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		char expected[64];

		(void) err_set(&err, ST_IO, "%s", cases[i].bytes);
		capture(emit_err, &err);
		(void) snprintf(expected, sizeof expected, "\"message\": \"%s\"}\n",
						cases[i].shown);
		assert_non_null(strstr(output, expected));
	}
}

static void
test_longest(void **state)
{
	struct err err;
	char text[ERR_MESSAGE_MAX + 10];
	size_t escapes = 0;

	(void) state;
	memset(text, '\x01', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	(void) err_set(&err, ST_IO, "%s", text);
	(void) err_detail(&err, "%s", text);
	(void) err_hint(&err, "%s", text);
	log_init("p", LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	capture(emit_err, &err);
	assert_string_equal(output + strlen(output) - 3, "\"}\n");
	for (const char *s = output; (s = strstr(s, "\\u0001")) != NULL; s++)
		escapes++;
	assert_int_equal(escapes,
					 ERR_MESSAGE_MAX + ERR_DETAIL_MAX + ERR_HINT_MAX - 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_text_is_one_line),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_utf8),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
