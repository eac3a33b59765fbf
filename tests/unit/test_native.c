#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/native.h"

static void
test_versions(void **state)
{
	static const struct
	{
		int version;
		const char *why; /* NULL: good */
	} cases[] = {
		{150020, "PostgreSQL 15 makes no"},
		{160012, "PostgreSQL 16 makes no"},
		{170000, "17.0 may be wrong, 17.11 mended"},
		{170010, "17.10 may be wrong, 17.11 mended"},
		{170011, NULL},
		{170012, NULL},
		{180000, "18.0 may be wrong, 18.6 mended"},
		{180005, "18.5 may be wrong, 18.6 mended"},
		{180006, NULL},
		{190000, NULL},
		{190003, NULL},
		{200000, NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char why[NATIVE_WHY_MAX] = "";

		assert_int_equal(native_version_good(cases[i].version, why),
						 cases[i].why == NULL);
		if (cases[i].why != NULL)
			assert_non_null(strstr(why, cases[i].why));
	}
}

static void
expect_label(const char *text, const char *wanted)
{
	char label[512];
	size_t len = strlen(text);

	(void) snprintf(label, sizeof(label), "%s", text);
	len = native_strip_label(label, len);
	assert_int_equal(len, strlen(wanted));
	assert_memory_equal(label, wanted, len);
}

static void
test_label(void **state)
{
	(void) state;
	expect_label(
		"START WAL LOCATION: 0/5000028 (file 000000010000000000000005)"
		"\nINCREMENTAL FROM LSN: 0/2000028\nINCREMENTAL FROM TLI: 1\n",
		"START WAL LOCATION: 0/5000028 (file 000000010000000000000005)"
		"\n");
	expect_label("INCREMENTAL FROM LSN: 0/1\nLABEL: a\n", "LABEL: a\n");
	/* A label may say anything behind its own word. */
	expect_label("LABEL: INCREMENTAL FROM LSN: 0/1\nSTART TIMELINE: 1\n",
				 "LABEL: INCREMENTAL FROM LSN: 0/1\nSTART TIMELINE: 1\n");
	expect_label("INCREMENTAL FROM TLI: 1", "");
	expect_label("INCREMENTAL", "INCREMENTAL");
	expect_label("", "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_label),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
