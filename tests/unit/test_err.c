/*
 * test_err.c - statuses and their explanations
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>

#include "common/err.h"

static void
test_set(void **state)
{
	struct err err;

	(void) state;
	memset(&err, 'x', sizeof err);
	assert_int_equal(err_set(&err, ST_CORRUPT, "bad %s %d", "frame", 3),
					 ST_CORRUPT);
	assert_int_equal(err.status, ST_CORRUPT);
	assert_string_equal(err.message, "bad frame 3");
	assert_string_equal(err.detail, "");
	assert_string_equal(err.hint, "");
	assert_int_equal(err.retry_after_ms, 0);
}

static void
test_set_errno(void **state)
{
	struct err err;

	(void) state;
	assert_int_equal(
		err_set_errno(&err, ST_IO, ENOENT, "could not open file \"%s\"", "f"),
		ST_IO);
	assert_string_equal(
		err.message, "could not open file \"f\": No such file or directory");
}

static void
test_detail_hint_context(void **state)
{
	struct err err;

	(void) state;
	(void) err_set(&err, ST_RETRY, "cause");
	assert_int_equal(err_detail(&err, "It was %d.", 503), ST_RETRY);
	assert_int_equal(err_hint(&err, "Wait."), ST_RETRY);
	assert_int_equal(err_context(&err, "object \"%s\"", "o"), ST_RETRY);
	assert_string_equal(err.message, "object \"o\": cause");
	assert_string_equal(err.detail, "It was 503.");
	assert_string_equal(err.hint, "Wait.");
	(void) err_context(&err, "%s", err.detail);
	assert_string_equal(err.message, "It was 503.: object \"o\": cause");
}

static void
test_arguments_may_be_own_text(void **state)
{
	struct err err;

	(void) state;
	(void) err_set(&err, ST_RETRY, "cause");
	(void) err_detail(&err, "Detail.");
	(void) err_set(&err, ST_IO, "upper: %s (%s)", err.message, err.detail);
	assert_string_equal(err.message, "upper: cause (Detail.)");
}

static void
test_overlong_text_is_cut(void **state)
{
	struct err err;
	char text[2 * ERR_MESSAGE_MAX];

	(void) state;
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';

	(void) err_set(&err, ST_IO, "%s", text);
	assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
	(void) err_detail(&err, "%s", text);
	assert_int_equal(strlen(err.detail), ERR_DETAIL_MAX - 1);
	(void) err_hint(&err, "%s", text);
	assert_int_equal(strlen(err.hint), ERR_HINT_MAX - 1);
	(void) err_context(&err, "b");
	assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
	assert_memory_equal(err.message, "b: aaa", 6);
	(void) err_context(&err, "%s", text);
	assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
	(void) err_set_errno(&err, ST_IO, EIO, "%s", text);
	assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
}

static void
test_tables(void **state)
{
	(void) state;
	for (enum status s = ST_OK; s <= ST_NOMEM; s++)
	{
		int code = status_exit_code(s);

		assert_non_null(status_name(s));
		assert_string_not_equal(status_name(s), "unknown");
		assert_int_equal(code, s == ST_OK ? 0 : s == ST_CONFIG ? 2 : 1);
		for (enum status t = ST_OK; t < s; t++)
			assert_string_not_equal(status_name(s), status_name(t));
	}
	assert_string_equal(status_name((enum status) 99), "unknown");
	assert_int_equal(status_exit_code((enum status) 99), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_set_errno),
		cmocka_unit_test(test_detail_hint_context),
		cmocka_unit_test(test_arguments_may_be_own_text),
		cmocka_unit_test(test_overlong_text_is_cut),
		cmocka_unit_test(test_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
