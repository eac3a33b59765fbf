/*
 * test_fetch_note.c - what the server asked for last, as a text
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "walship/fetch_note.h"

#define NAME "00000002000000010000000A"

static void
assert_there_and_back(const struct fetch_note *note, const char *wanted)
{
	char text[FETCH_NOTE_TEXT_MAX];
	struct fetch_note back;
	size_t len = fetch_note_format(text, note);

	assert_true(len > 0 && len < sizeof(text));
	text[len] = '\0';
	assert_string_equal(text, wanted);
	assert_true(fetch_note_parse(text, len, &back));
	assert_true(back.named == note->named && back.outcome == note->outcome &&
				back.streak == note->streak && back.target == note->target &&
				back.segment_size == note->segment_size);
	if (note->named)
		assert_string_equal(back.name.text, note->name.text);
}

static void
text_and_back(void **state)
{
	struct fetch_note note = {.target = 2};
	struct err err;

	(void) state;
	assert_there_and_back(&note, "walship-asked-v1 - asking 0 2 0\n");
	note.named = true;
	assert_int_equal(wal_name_parse(&note.name, NAME, &err), ST_OK);
	note.outcome = NOTE_FAILED;
	note.streak = FETCH_STREAK_MAX;
	note.target = UINT32_MAX;
	note.segment_size = WAL_SEGMENT_SIZE_MAX;
	assert_there_and_back(&note, "walship-asked-v1 " NAME
								 " failed 1000000 4294967295 1073741824\n");
	note.outcome = NOTE_ABSENT;
	note.streak = 0;
	assert_there_and_back(&note, "walship-asked-v1 " NAME
								 " absent 0 4294967295 1073741824\n");
}

static void
text_of_others(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"walship-asked-v1 " NAME " found 1 2 1048576",
		"walship-asked-v2 " NAME " found 1 2 1048576\n",
		"walship-asked-v1 " NAME " found 1 2\n",
		"walship-asked-v1 " NAME " found 1 2 1048576 \n",
		"walship-asked-v1 " NAME " found 1 2 1048576 3\n",
		"walship-asked-v1  found 1 2 1048576\n",
		"walship-asked-v1 " NAME " lost 1 2 1048576\n",
		"walship-asked-v1 " NAME " found -1 2 1048576\n",
		"walship-asked-v1 " NAME " found 1000001 2 1048576\n",
		"walship-asked-v1 " NAME " found 1 4294967296 1048576\n",
		"walship-asked-v1 " NAME " found 1 2 1048577\n",
		"walship-asked-v1 " NAME ".partial found 1 2 1048576\n",
		"walship-asked-v1 00000002.history found 1 2 1048576\n",
		"walship-asked-v1 ../../etc/passwd found 1 2 1048576\n",
	};
	static const char good[] = "walship-asked-v1 " NAME " found 1 2 1048576\n";
	char cut[sizeof(good)];
	struct fetch_note note;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(fetch_note_parse(bad[i], strlen(bad[i]), &note));
	assert_true(fetch_note_parse(good, sizeof(good) - 1, &note));
	memcpy(cut, good, sizeof(good));
	cut[20] = '\0';
	assert_false(fetch_note_parse(cut, sizeof(cut) - 1, &note));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_back),
		cmocka_unit_test(text_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
