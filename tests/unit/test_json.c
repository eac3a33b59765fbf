#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/json.h"

static void
expect_line(struct json *json, const char *expected)
{
	const char *text;
	size_t len;
	struct err err;

	assert_int_equal(json_done(json, &text, &len, &err), ST_OK);
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(text, expected, len);
}

static void
test_objects_one_after_another(void **state)
{
	struct json *json;
	struct err err;

	(void) state;
	assert_int_equal(json_new(&json, &err), ST_OK);
	json_begin(json);
	json_text(json, "t", "a\"\\\n\001\303\251/");
	json_int(json, "i", INT64_MIN);
	json_bool(json, "b", true);
	json_null(json, "n");
	expect_line(json, "{\"t\":\"a\\\"\\\\\\n\\u0001\303\251/\","
					  "\"i\":-9223372036854775808,\"b\":true,\"n\":null}\n");
	json_begin(json);
	json_array(json, "e");
	json_array_end(json);
	json_array(json, "x");
	json_inner(json);
	json_element(json, -1);
	json_element(json, 0);
	json_array_end(json);
	json_element(json, 7);
	json_array_end(json);
	expect_line(json, "{\"e\":[],\"x\":[[-1,0],7]}\n");
	json_begin(json);
	expect_line(json, "{}\n");
	json_free(json);
}

static void
test_text_must_be_utf8(void **state)
{
	struct json *json;
	struct err err;
	const char *text;
	size_t len;

	(void) state;
	assert_int_equal(json_new(&json, &err), ST_OK);
	json_begin(json);
	json_path(json, "path", "a\377");
	json_path(json, "other", "\303\251");
	expect_line(json, "{\"path_hex\":\"61ff\",\"other\":\"\303\251\"}\n");
	json_begin(json);
	json_text(json, "t", "a\377");
	assert_int_equal(json_done(json, &text, &len, &err), ST_CORRUPT);
	json_begin(json);
	json_text(json, "t", "a");
	expect_line(json, "{\"t\":\"a\"}\n");
	json_free(json);
}

static void
test_utf8(void **state)
{
	static const char *const good[] = {"",
									   "abc\177",
									   "\302\200\337\277",
									   "\340\240\200\357\277\277",
									   "\355\237\277\356\200\200",
									   "\360\220\200\200\364\217\277\277"};
	static const char *const bad[] = {"\200",
									  "\300\200",
									  "\301\277",
									  "\302",
									  "\302a",
									  "\340\237\277",
									  "\340\240",
									  "\355\240\200",
									  "\355\277\277",
									  "\360\217\277\277",
									  "\360\220\200",
									  "\364\220\200\200",
									  "\365\200\200\200",
									  "\376",
									  "\377"};

	(void) state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(utf8_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(utf8_valid(bad[i], strlen(bad[i])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_one_after_another),
		cmocka_unit_test(test_text_must_be_utf8),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
