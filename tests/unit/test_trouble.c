/*
 * test_trouble.c - when trouble with archiving is told
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "walship/trouble.h"

#define NOW    ((int64_t) 1795222800000)
#define MINUTE INT64_C(60000)
#define APART  (TROUBLE_APART_MS + 2 * MINUTE)

static void
test_one_outage(void **state)
{
	struct trouble_note note = {.began_ms = 0};
	int told = 0;

	(void) state;
	assert_true(trouble_note_failure(&note, NOW, APART));
	assert_int_equal(note.began_ms, NOW);
	for (int64_t minute = 1; minute < 240; minute++)
	{
		bool due = trouble_note_failure(&note, NOW + minute * MINUTE, APART);

		assert_int_equal(due, minute % 60 == 0);
		told += due;
	}
	assert_int_equal(told, 3);
	assert_int_equal(note.failures, 240);
	assert_int_equal(note.began_ms, NOW);
}

/* An archive that comes and goes is told every five minutes at most. */
static void
test_outages_in_succession(void **state)
{
	struct trouble_note note = {.began_ms = 0};
	int told = 0;

	(void) state;
	for (int64_t minute = 0; minute < 60; minute++)
	{
		bool due = trouble_note_failure(&note, NOW + minute * MINUTE, APART);

		assert_int_equal(note.failures, 1);
		assert_int_equal(note.told, due);
		told += due;
		note.began_ms = 0; /* it is over */
	}
	assert_int_equal(told, 12);

	/* The second one of two is told once it has lasted. */
	note = (struct trouble_note){.began_ms = 0, .told_ms = NOW};
	assert_false(trouble_note_failure(&note, NOW + MINUTE, APART));
	assert_true(trouble_note_failure(&note, NOW + 5 * MINUTE, APART));
	assert_int_equal(note.began_ms, NOW + MINUTE);
	assert_true(note.told);
}

static void
test_notes_that_mislead(void **state)
{
	struct trouble_note note = {.began_ms = NOW - 100 * MINUTE,
								.last_ms = NOW - APART - 1,
								.told_ms = NOW - 10 * MINUTE,
								.failures = 7,
								.told = true};

	/* Nobody told its end: it is another one. */
	(void) state;
	assert_true(trouble_note_failure(&note, NOW, APART));
	assert_int_equal(note.began_ms, NOW);
	assert_int_equal(note.failures, 1);

	/* The clock was set back by a year. */
	note = (struct trouble_note){.began_ms = NOW,
								 .last_ms = NOW,
								 .told_ms = NOW,
								 .failures = INT64_MAX,
								 .told = true};
	assert_true(
		trouble_note_failure(&note, NOW - INT64_C(31536000000), APART));
	note.failures = INT64_MAX;
	assert_false(trouble_note_failure(
		&note, NOW - INT64_C(31536000000) + MINUTE, APART));
	assert_true(note.failures == INT64_MAX);
}

static void
test_without_note(void **state)
{
	(void) state;
	assert_false(trouble_due_unnoted(-1, MINUTE));
	assert_true(trouble_due_unnoted(0, MINUTE));
	assert_true(trouble_due_unnoted(3000, MINUTE));
	assert_false(trouble_due_unnoted(2 * MINUTE, MINUTE));
	assert_false(trouble_due_unnoted(59 * MINUTE, 3 * MINUTE));
	assert_true(trouble_due_unnoted(60 * MINUTE, 3 * MINUTE));
	assert_true(trouble_due_unnoted(123 * MINUTE - 1, 3 * MINUTE));
	assert_false(trouble_due_unnoted(123 * MINUTE, 3 * MINUTE));
}

static void
test_text(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"walship-trouble-v1\n",
		"walship-trouble-v1 1 2 3 4\n",
		"walship-trouble-v1 1 2 3 4 2\n",
		"walship-trouble-v1 1 2 3 4 1",
		"walship-trouble-v1 1 2 3 4 1 \n",
		"walship-trouble-v1 1 2 3 4 1 5\n",
		"walship-trouble-v1  1 2 3 4 1\n",
		"walship-trouble-v1 -1 2 3 4 1\n",
		"walship-trouble-v2 1 2 3 4 1\n",
		"walship-trouble-v1 1 2 3 99999999999999999999 1\n",
	};
	const struct trouble_note note = {.began_ms = NOW,
									  .last_ms = INT64_MAX,
									  .told_ms = 0,
									  .failures = INT64_MAX,
									  .told = true};
	struct trouble_note found;
	char text[TROUBLE_TEXT_MAX];
	int len = trouble_format(text, &note);

	(void) state;
	assert_in_range(len, 1, sizeof(text) - 1);
	assert_true(trouble_parse(text, (size_t) len, &found));
	assert_true(found.began_ms == NOW && found.last_ms == INT64_MAX &&
				found.told_ms == 0 && found.failures == INT64_MAX &&
				found.told);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(trouble_parse(bad[i], strlen(bad[i]), &found));
	assert_false(
		trouble_parse("walship-trouble-v1 1 2 3 4 1\0\n", 30, &found));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_outage),
		cmocka_unit_test(test_outages_in_succession),
		cmocka_unit_test(test_notes_that_mislead),
		cmocka_unit_test(test_without_note),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
