/*
 * test_note.c - one line of words, as it is remembered in a spool
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/note.h"

static bool
parses(const char *text, size_t nwords)
{
	struct note note;

	return note_parse(&note, text, strlen(text), "walship-x-v1", nwords);
}

static void
lines(void **state)
{
	static const char start[] = "walship-x-v1 ";
	char text[NOTE_TEXT_MAX + 1];
	struct note note;

	(void) state;
	assert_true(
		note_parse(&note, "walship-x-v1 a bc\n", 18, "walship-x-v1", 2));
	assert_string_equal(note.words[0], "a");
	assert_string_equal(note.words[1], "bc");
	assert_true(parses("walship-x-v1\n", 0));
	/* An empty word is one. */
	assert_true(parses("walship-x-v1  b\n", 2));

	assert_false(parses("", 0));
	assert_false(parses("\n", 0));
	assert_false(parses("walship-x-v1 a b", 2));
	assert_false(parses("walship-x-v1 a\n", 2));
	assert_false(parses("walship-x-v1 a b c\n", 2));
	assert_false(parses("walship-x-v1 a b \n", 2));
	assert_false(parses("walship-x-v2 a b\n", 2));
	assert_false(parses("walship-x-v11 a b\n", 2));
	assert_false(
		note_parse(&note, "walship-x-v1 a\0 b\n", 18, "walship-x-v1", 2));

	/* The longest, and one byte more. */
	memset(text, 'x', sizeof(text));
	memcpy(text, start, sizeof(start) - 1);
	text[NOTE_TEXT_MAX - 1] = '\n';
	text[NOTE_TEXT_MAX] = '\n';
	assert_true(note_parse(&note, text, NOTE_TEXT_MAX, "walship-x-v1", 1));
	assert_int_equal(strlen(note.words[0]), NOTE_TEXT_MAX - 14);
	text[NOTE_TEXT_MAX - 1] = 'x';
	assert_false(
		note_parse(&note, text, NOTE_TEXT_MAX + 1, "walship-x-v1", 1));
}

static void
numbers(void **state)
{
	int64_t number = 7;

	(void) state;
	assert_true(note_number("9223372036854775807", &number));
	assert_true(number == INT64_MAX);
	assert_false(note_number("9223372036854775808", &number));
	assert_false(note_number("-1", &number));
	assert_false(note_number("", &number));
	assert_true(number == INT64_MAX);

	assert_true(note_recent("1000", 1000, 0));
	assert_true(note_recent("1000", 1500, 500));
	assert_false(note_recent("1000", 1501, 500));
	/* A clock that was set back. */
	assert_false(note_recent("1000", 999, 500));
	assert_false(note_recent("x", 999, 500));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
