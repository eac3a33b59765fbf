#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include "basebackup/backup_id.h"
#include "basebackup/timestamp.h"

static void
set_zone(const char *zone)
{
	assert_int_equal(setenv("TZ", zone, 1), 0);
	tzset();
}

static void
test_utc(void **state)
{
	int64_t s = 1;

	(void) state;
	assert_true(timestamp_parse_utc("1970-01-01T00:00:00Z", &s));
	assert_int_equal(s, 0);
	assert_true(timestamp_parse_utc("2000-02-29T12:34:56Z", &s));
	assert_int_equal(s, 951827696);
	assert_true(timestamp_parse_utc("2026-11-21T01:02:03Z", &s));
	assert_int_equal(s, 1795222923);
	assert_true(timestamp_parse_utc("9999-12-31T23:59:59Z", &s));
	assert_int_equal(s, 253402300799);
	assert_false(timestamp_parse_utc("2026-11-21 01:02:03Z", &s));
	assert_false(timestamp_parse_utc("2026-11-21T01:02:03", &s));
	assert_false(timestamp_parse_utc("2026-11-21T01:02:03.5Z", &s));
	assert_false(timestamp_parse_utc("2026-11-21T01:02Z.....", &s));
	assert_false(timestamp_parse_utc("2026-11-21T01:02+00000", &s));
	assert_false(timestamp_parse_utc("2026-11-21T01:02:03+0", &s));
	assert_false(timestamp_parse_utc("2025-02-29T01:02:03Z", &s));
	assert_false(timestamp_parse_utc("1969-12-31T23:59:59Z", &s));
	assert_false(timestamp_parse_utc("2026-13-01T01:02:03Z", &s));
	assert_false(timestamp_parse_utc("2026-00-01T01:02:03Z", &s));
	assert_false(timestamp_parse_utc("2026-11-00T01:02:03Z", &s));
	assert_false(timestamp_parse_utc("2026-11-31T01:02:03Z", &s));
	assert_false(timestamp_parse_utc("2026-11-21T24:02:03Z", &s));
	assert_false(timestamp_parse_utc("2026-11-21T01:60:03Z", &s));
	assert_false(timestamp_parse_utc("2026-11-21T01:02:60Z", &s));
	assert_int_equal(s, 253402300799);
}

/* Every day of four centuries, against the C library. */
static void
test_calendar(void **state)
{
	(void) state;
	for (int64_t day = 0; day < 146097; day++)
	{
		time_t t = (time_t) (day * 86400);
		struct tm tm;
		char text[32];
		int64_t s;

		gmtime_r(&t, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
		assert_true(timestamp_parse_utc(text, &s));
		assert_int_equal(s, t);
	}
}

static int64_t
parse(const char *text)
{
	struct err err;
	int64_t micros = -1;

	if (timestamp_parse(text, &micros, &err) == ST_OK)
		return micros;
	assert_int_equal(err.status, ST_CONFIG);
	assert_string_not_equal(err.hint, "");
	assert_int_equal(micros, -1);
	return -1;
}

static void
test_offsets(void **state)
{
	const int64_t noon = 1795262400000000; /* 2026-11-21 12:00:00 UTC */

	(void) state;
	set_zone("America/New_York");
	assert_int_equal(parse("2026-11-21 12:00:00Z"), noon);
	assert_int_equal(parse("2026-11-21 12:00:00z"), noon);
	assert_int_equal(parse("2026-11-21T12:00:00Z"), noon);
	assert_int_equal(parse("2026-11-21 12:00Z"), noon);
	assert_int_equal(parse("2026-11-21 12:00:00 UTC"), noon);
	assert_int_equal(parse("2026-11-21 12:00:00.000 gmt"), noon);
	assert_int_equal(parse("2026-11-21 12:00:00 UTC+1"), -1);
	assert_int_equal(parse("2026-11-21 12:00:00 CET"), -1);
	assert_int_equal(parse("2026-11-21 13:00:00+01"), noon);
	assert_int_equal(parse("2026-11-21 13:00:00 +01"), noon);
	assert_int_equal(parse("2026-11-21 13:00+0100"), noon);
	assert_int_equal(parse("2026-11-21 17:45:00+05:45"), noon);
	assert_int_equal(parse("2026-11-21 08:30:00-0330"), noon);
	assert_int_equal(parse("2026-11-22 02:00:00+14"), noon);
	assert_int_equal(parse("2026-11-21 12:00:00.5Z"), noon + 500000);
	assert_int_equal(parse("2026-11-21 12:00:00.123456+00"), noon + 123456);
	assert_int_equal(parse("1970-01-01 00:00:00+01"), -3600000000);
}

static void
test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"now",
		"2026-11-21",
		"2026-11-21 12",
		"2026-11-21  12:00:00Z",
		"2026-11-21 12:00:00.Z",
		"2026-11-21 12:00:00.1234567Z",
		"2026-11-21 12:00:00 ",
		"2026-11-21 12:00:00+",
		"2026-11-21 12:00:00+1",
		"2026-11-21 12:00:00+01:",
		"2026-11-21 12:00:00+01:0",
		"2026-11-21 12:00:00+16",
		"2026-11-21 12:00:00+01:60",
		"2026-11-21 12:00:00Zx",
		"2026-11-21 12:00:00 CET",
		"26-11-21 12:00:00Z",
		" 2026-11-21 12:00:00Z",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(bad[i]), -1);
}

/* Local time, with the hour that a change of clocks skips or repeats. */
static void
test_local(void **state)
{
	(void) state;
	set_zone("Europe/Berlin");
	assert_int_equal(parse("2026-07-01 14:00:00"), 1782907200000000);
	assert_int_equal(parse("2026-12-01 13:00:00"), 1796126400000000);
	assert_int_equal(parse("2026-03-29 01:59:59"), 1774745999000000);
	assert_int_equal(parse("2026-03-29 02:30:00"), -1);
	assert_int_equal(parse("2026-03-29 03:00:00"), 1774746000000000);
	assert_int_equal(parse("2026-10-25 01:59:59"), 1792886399000000);
	assert_int_equal(parse("2026-10-25 02:30:00"), -1);
	assert_int_equal(parse("2026-10-25 02:30:00+01"), 1792891800000000);
	assert_int_equal(parse("2026-10-25 03:00:00"), 1792893600000000);
	set_zone("UTC");
	assert_int_equal(parse("2026-10-25 02:30:00"), 1792895400000000);
}

static void
test_format(void **state)
{
	char out[TIMESTAMP_TEXT_MAX];

	(void) state;
	set_zone("America/New_York");
	assert_string_equal(timestamp_format(0, out), "1970-01-01 00:00:00+00");
	assert_string_equal(timestamp_format(1795222923250000, out),
						"2026-11-21 01:02:03.250000+00");
	assert_string_equal(timestamp_format(-1, out),
						"1969-12-31 23:59:59.999999+00");
	assert_string_equal(timestamp_format(253402300799999999, out),
						"9999-12-31 23:59:59.999999+00");
	assert_int_equal(parse(timestamp_format(1795222923250001, out)),
					 1795222923250001);
}

static void
test_backup_id(void **state)
{
	static const char *const bad[] = {
		"",
		"0000000003000028-00000001-20261121T010203",
		"0000000003000028-00000001-20261121T010203Zx",
		"0000000003000028-00000000-20261121T010203Z",
		"000000000300002a-00000001-20261121T010203Z",
		"0000000003000028_00000001-20261121T010203Z",
		"0000000003000028-00000001_20261121T010203Z",
		"0000000003000028-00000001-20261321T010203Z",
		"0000000003000028-00000001-20261121 010203Z",
		"0000000003000028-00000001-20261121T010203z",
		"0000000003000028-0000000G-20261121T010203Z",
		"../../../../../../../../../../../../../etc",
	};
	struct backup_id id;

	(void) state;
	assert_true(
		backup_id_parse("0000000103000028-0000000A-20261121T010203Z", &id));
	assert_int_equal(id.lsn, 0x103000028);
	assert_int_equal(id.timeline, 10);
	assert_int_equal(id.time_s, 1795222923);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(backup_id_parse(bad[i], NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utc),       cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_offsets),   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_local),     cmocka_unit_test(test_format),
		cmocka_unit_test(test_backup_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
