/*
 * test_report_read.c - reports, whole and broken
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/report_read.h"

#define ID "0000000002000028-00000001-20260102T030405Z"

#define HEAD                                                   \
	"{\"format\":1,\"kind\":\"drill\",\"outcome\":\"failed\"," \
	"\"start_time\":\"2026-01-02T03:04:05Z\","                 \
	"\"end_time\":\"2026-01-02T03:05:05Z\""

static enum status
parse(const char *text, struct report_read *out)
{
	struct err err;

	return report_parse(text, strlen(text), out, &err);
}

static void
test_whole(void **state)
{
	struct report_read r;

	(void) state;
	assert_int_equal(parse(HEAD ",\"message\":\"broken\",\"host\":\"h\","
								"\"backup\":\"" ID "\",\"rto_ms\":1500,"
								"\"rpo_ms\":2500,\"phases\":[{\"a\":1}],"
								"\"defects\":\"x\"}\n",
						   &r),
					 ST_OK);
	assert_string_equal(r.kind, "drill");
	assert_false(r.ok);
	assert_int_equal(r.end_time - r.start_time, 60);
	assert_string_equal(r.message, "broken");
	assert_string_equal(r.host, "h");
	assert_string_equal(r.backup_id, ID);
	assert_int_equal(r.rto_ms, 1500);
	assert_int_equal(r.rpo_ms, 2500);
	assert_int_equal(r.defects, -1);
}

/* What only some kinds have, and what of it makes no sense. */
static void
test_bare(void **state)
{
	struct report_read r;

	(void) state;
	assert_int_equal(parse(HEAD ",\"message\":\"\",\"backup\":null,"
								"\"rto_ms\":-1}\n",
						   &r),
					 ST_OK);
	assert_string_equal(r.backup_id, "");
	assert_string_equal(r.host, "");
	assert_int_equal(r.rto_ms, -1);
	assert_int_equal(r.rpo_ms, -1);
}

/* A message is cut between characters. */
static void
test_long(void **state)
{
	char letters[2001];
	char text[4000];
	struct report_read r;

	(void) state;
	for (size_t i = 0; i < 2000; i += 2)
		memcpy(letters + i, "\xC3\xA9", 3);
	(void) snprintf(text, sizeof(text), HEAD ",\"message\":\"x%s\"}\n",
					letters);
	assert_int_equal(parse(text, &r), ST_OK);
	assert_int_equal(strlen(r.message) % 2, 1);
	assert_true(strlen(r.message) >= REPORT_MESSAGE_MAX - 2);
}

static void
test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{}\n",
		"[]\n",
		HEAD "}\n",
		HEAD ",\"message\":\"\"}\n" HEAD ",\"message\":\"\"}\n",
		"{\"format\":2,\"kind\":\"drill\",\"outcome\":\"ok\",\"start_time\":"
		"\"2026-01-02T03:04:05Z\",\"end_time\":\"2026-01-02T03:05:05Z\","
		"\"message\":\"\"}\n",
		"{\"format\":1,\"kind\":\"averyveryverylongkind\",\"outcome\":\"ok\","
		"\"start_time\":\"2026-01-02T03:04:05Z\",\"end_time\":"
		"\"2026-01-02T03:05:05Z\",\"message\":\"\"}\n",
		"{\"format\":1,\"kind\":\"drill\",\"outcome\":\"well\",\"start_time\":"
		"\"2026-01-02T03:04:05Z\",\"end_time\":\"2026-01-02T03:05:05Z\","
		"\"message\":\"\"}\n",
		"{\"format\":1,\"kind\":\"drill\",\"outcome\":\"ok\",\"start_time\":"
		"\"yesterday\",\"end_time\":\"2026-01-02T03:05:05Z\","
		"\"message\":\"\"}\n",
	};
	struct report_read r = {.defects = 42};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i], &r) != ST_CORRUPT)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(r.defects, 42);
}

static void
test_names(void **state)
{
	static const char *const bad[] = {"",
									  "20260102T030405Z",
									  "20260102T030405Z-",
									  "20260102T030405Z-Backup",
									  "20260102T030405Z-averyverylongkind",
									  "20261302T030405Z-backup",
									  "20260102 030405Z-backup",
									  "20260102T0304050-backup",
									  "2026-102T030405Z-backup"};
	char kind[REPORT_KIND_MAX];
	int64_t time_s;

	(void) state;
	assert_true(report_name_parse("20260102T030405Z-backup", &time_s, kind));
	assert_int_equal(time_s, 1767323045);
	assert_string_equal(kind, "backup");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(report_name_parse(bad[i], &time_s, kind));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole), cmocka_unit_test(test_bare),
		cmocka_unit_test(test_long),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
