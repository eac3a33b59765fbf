/*
 * test_outage.c - the patience that the calls of one outage share
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "walship/outage.h"

#define NOW ((int64_t) 1795222800000)

static void
text_and_back(void **state)
{
	char text[OUTAGE_TEXT_MAX];
	int64_t spent = -1;
	int len = outage_format(text, NOW, 12345);

	(void) state;
	assert_true(len > 0 && len < OUTAGE_TEXT_MAX);
	assert_true(outage_parse(text, (size_t) len, NOW, &spent));
	assert_true(spent == 12345);
	assert_true(
		outage_parse(text, (size_t) len, NOW + OUTAGE_FORGOTTEN_MS, &spent));
	/* Long over, or written by a clock that was ahead. */
	assert_false(outage_parse(text, (size_t) len,
							  NOW + OUTAGE_FORGOTTEN_MS + 1, &spent));
	assert_false(outage_parse(text, (size_t) len, NOW - 1, &spent));
	/* The largest numbers fit. */
	len = outage_format(text, INT64_MAX, INT64_MAX);
	assert_true(len > 0 && len < OUTAGE_TEXT_MAX);
	assert_true(outage_parse(text, (size_t) len, INT64_MAX, &spent));
}

static void
text_of_others(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"walship-outage-v1 \n",
		"walship-outage-v1 1795222800000\n",
		"walship-outage-v1 1795222800000 5",
		"walship-outage-v1 1795222800000 5 6\n",
		"walship-outage-v1 1795222800000 -5\n",
		"walship-outage-v1 1795222800000 99999999999999999999\n",
		"walship-outage-v2 1795222800000 5\n",
		"walship-outage-v1 1795222800000 5\n\n",
	};
	int64_t spent = 7;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(outage_parse(bad[i], strlen(bad[i]), NOW, &spent));
	assert_false(outage_parse("walship-outage-v1 1\0 5\n", 23, NOW, &spent));
	assert_true(spent == 7);
}

static void
over_several_calls(void **state)
{
	char dir[] = "/tmp/test_outage.XXXXXX";
	struct spool spool = {.fd = -1};
	struct outage outage;
	struct stat st;

	(void) state;
	assert_non_null(mkdtemp(dir));
	spool.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(spool.fd >= 0);

	outage_load(&outage, &spool);
	assert_true(outage.spent_ms == 0 && !outage.noted);
	outage_note(&outage, &spool, 700);
	outage_load(&outage, &spool);
	assert_true(outage.spent_ms == 700 && outage.noted);
	outage_note(&outage, &spool, 300);
	outage_load(&outage, &spool);
	assert_true(outage.spent_ms == 1000);
	assert_int_equal(fstatat(spool.fd, "outage", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	outage_clear(&outage, &spool);
	outage_load(&outage, &spool);
	assert_true(outage.spent_ms == 0 && !outage.noted);

	/* Somebody's symbolic link is neither followed nor believed. */
	assert_int_equal(symlinkat("target", spool.fd, "outage"), 0);
	outage_load(&outage, &spool);
	assert_true(outage.spent_ms == 0);
	outage_note(&outage, &spool, 500);
	assert_int_equal(fstatat(spool.fd, "target", &st, 0), -1);
	outage_load(&outage, &spool);
	assert_true(outage.spent_ms == 500);
	outage_clear(&outage, &spool);
	assert_int_equal(close(spool.fd), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void
without_a_spool(void **state)
{
	struct spool spool = {.fd = -1};
	struct outage outage;

	(void) state;
	outage_load(&outage, &spool);
	outage_note(&outage, &spool, 700);
	assert_true(outage.spent_ms == 700);
	outage_load(&outage, &spool);
	assert_true(outage.spent_ms == 0);
	outage_clear(&outage, &spool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_back),
		cmocka_unit_test(text_of_others),
		cmocka_unit_test(over_several_calls),
		cmocka_unit_test(without_a_spool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
