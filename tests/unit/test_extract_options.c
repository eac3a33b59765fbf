/*
 * test_extract_options.c - names of tables, as a person writes them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/extract_options.h"

static char database[EXTRACT_NAME_MAX];
static char pattern[EXTRACT_PATTERN_MAX];

static void
test_names(void **state)
{
	static const struct
	{
		const char *text, *database, *pattern;
	} cases[] = {
		{"db.s.t", "db", "\"s\".\"t\""},
		{"DB.Public.MyTable", "db", "\"public\".\"mytable\""},
		{"\"DB\".\"Public\".\"My Table\"", "DB", "\"Public\".\"My Table\""},
		{"\"a.b\".\"c.d\".\"e\"\"f\"", "a.b", "\"c.d\".\"e\"\"f\""},
		{"a.b.c*", "a", "\"b\".\"c*\""},
		{"A\"B\"c.d.e", "aBc", "\"d\".\"e\""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		assert_true(extract_parse_table(cases[i].text, database, pattern));
		assert_string_equal(database, cases[i].database);
		assert_string_equal(pattern, cases[i].pattern);
	}
}

static void
test_no_names(void **state)
{
	static const char *const cases[] = {
		"",    "a",       "a.b",     "a..c",     ".b.c",        "a.b.",
		"...", "a.b.c.d", "\"a.b.c", "a.\"\".c", "a.b.\"c\"\"", "a.b.\"c"};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_false(extract_parse_table(cases[i], database, pattern));
}

/* Names too long for their buffers, quotes that double included. */
static void
test_long_names(void **state)
{
	char text[2048];

	(void) state;
	for (size_t len = 100; len < 600; len++)
	{
		memset(text, 'x', sizeof(text));
		memcpy(text, "a.b.", 4);
		text[4 + len] = '\0';
		assert_true(extract_parse_table(text, database, pattern) ==
					(len < EXTRACT_NAME_MAX));

		memcpy(text, "a.\"b\".\"", 7);
		for (size_t i = 0; i < len; i++)
			text[7 + i] = '"';
		memcpy(text + 7 + len, "\"\"", 3);
		if (len % 2 == 0)
			text[8 + len] = '\0';
		if (extract_parse_table(text, database, pattern))
			assert_true(strlen(pattern) < sizeof(pattern));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_no_names),
		cmocka_unit_test(test_long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
