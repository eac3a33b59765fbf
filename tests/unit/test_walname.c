/*
 * test_walname.c - names of WAL files, LSNs and segment numbers
 *
 * Known answers: PostgreSQL's XLogFileName and pg_walfile_name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/walname.h"

#define MB ((uint64_t) 1 << 20)

static void
kinds_are_told_apart(void **state)
{
	struct wal_name name;
	struct err err;

	(void) state;
	assert_int_equal(wal_name_parse(&name, "0000000A000000010000002F", &err),
					 ST_OK);
	assert_int_equal(name.kind, WAL_SEGMENT);
	assert_int_equal(name.timeline, 10);
	assert_int_equal(name.high, 1);
	assert_int_equal(name.low, 0x2F);
	assert_string_equal(name.text, "0000000A000000010000002F");
	assert_int_equal(
		wal_name_parse(&name, "000000010000000000000001.partial", &err),
		ST_OK);
	assert_int_equal(name.kind, WAL_PARTIAL);
	assert_int_equal(name.low, 1);
	assert_int_equal(wal_name_parse(&name, "FFFFFFFF.history", &err), ST_OK);
	assert_int_equal(name.kind, WAL_HISTORY);
	assert_true(name.timeline == UINT32_MAX);
	assert_int_equal(wal_name_parse(&name,
									"000000010000000000000003.000000A8.backup",
									&err),
					 ST_OK);
	assert_int_equal(name.kind, WAL_BACKUP);
	assert_int_equal(name.offset, 0xA8);
}

static void
strangers_are_refused(void **state)
{
	static char overlong[1000];
	static const char *const texts[] = {
		overlong,
		"",
		"0",
		"00000001",
		"00000001.histor",
		"00000001.history2",
		"0000000a.history",
		"000000010000000000000001.",
		"00000001000000000000000",
		"0000000100000000000000011",
		"00000001000000000000000G",
		"00000001000000000000000a",
		"000000010000000000000001.partia",
		"000000010000000000000001.partial.partial",
		"000000010000000000000001.0000000.backup",
		"000000010000000000000001.000000000.backup",
		"000000010000000000000001.00000028.backup0",
		"000000010000000000000001x00000028.backup",
		"000000010000000000000001.backup",
		"000000010000000000000001/../x",
		"../000000010000000000000001",
		"RECOVERYXLOG",
		"000000000000000000000001",
		"00000000.history",
		" 00000001.history",
		"00000001.history\n",
	};

	(void) state;
	memset(overlong, '0', sizeof(overlong) - 1);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		struct wal_name name = {.timeline = 77};
		struct err err;

		assert_int_equal(wal_name_parse(&name, texts[i], &err), ST_CONFIG);
		assert_int_equal(name.timeline, 77);
		assert_true(err.message[0] != '\0');
	}
}

static void
segment_numbers_and_names(void **state)
{
	static const struct
	{
		const char *name;
		uint32_t size;
		uint64_t segno;
	} cases[] = {
		{"000000010000000000000000", 16 * MB, 0},
		{"0000000100000000000000FF", 16 * MB, 255},
		{"000000010000000100000000", 16 * MB, 256},
		{"000000010000000100000003", 1024 * MB, 7},
		{"000000010000000000000FFF", 1 * MB, 4095},
		{"000000020000000100000000", 1 * MB, 4096},
		{"00000001FFFFFFFF0000003F", 64 * MB, ((uint64_t) 1 << 38) - 1},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct wal_name parsed;
		struct wal_name built;
		struct err err;
		uint64_t segno = 0;

		assert_int_equal(wal_name_parse(&parsed, cases[i].name, &err), ST_OK);
		assert_true(wal_name_segno(&parsed, cases[i].size, &segno));
		assert_true(segno == cases[i].segno);
		wal_name_segment(&built, parsed.timeline, segno, cases[i].size);
		assert_string_equal(built.text, cases[i].name);
		assert_int_equal(built.kind, WAL_SEGMENT);
		assert_int_equal(built.high, parsed.high);
		assert_int_equal(built.low, parsed.low);
	}
}

static void
low_part_beyond_the_segment_size(void **state)
{
	struct wal_name name;
	struct err err;
	uint64_t segno;

	(void) state;
	assert_int_equal(wal_name_parse(&name, "000000010000000000000100", &err),
					 ST_OK);
	assert_false(wal_name_segno(&name, 16 * MB, &segno));
	assert_true(wal_name_segno(&name, 1 * MB, &segno));
	assert_int_equal(wal_name_parse(&name, "000000010000000000000004", &err),
					 ST_OK);
	assert_false(wal_name_segno(&name, 1024 * MB, &segno));
}

static void
segment_sizes(void **state)
{
	(void) state;
	for (uint64_t size = 1; size <= (uint64_t) 1 << 40; size <<= 1)
		assert_int_equal(wal_segment_size_valid(size),
						 size >= (uint64_t) 1 << 20 && size <= (uint64_t) 1
																   << 30);
	assert_false(wal_segment_size_valid(0));
	assert_false(wal_segment_size_valid(3 * MB));
	assert_false(wal_segment_size_valid(16 * MB + 1));
}

static void
segments_of_lsns(void **state)
{
	(void) state;
	assert_true(wal_segno_of(0, 16 * MB) == 0);
	assert_true(wal_segno_of(16 * MB - 1, 16 * MB) == 0);
	assert_true(wal_segno_of(16 * MB, 16 * MB) == 1);
	assert_true(wal_segno_before(0, 16 * MB) == 0);
	assert_true(wal_segno_before(16 * MB, 16 * MB) == 0);
	assert_true(wal_segno_before(16 * MB + 1, 16 * MB) == 1);
}

static void
lsns_as_text(void **state)
{
	static const char *const bad[] = {
		"",     "/",           "1",    "1/",    "/1",    "123456789/0",
		"0/1 ", "0/123456789", " 0/1", "0x1/0", "1/2/3", "-1/0",
	};
	char text[LSN_TEXT_MAX];
	uint64_t lsn = 5;

	(void) state;
	assert_string_equal(lsn_format(0, text), "0/0");
	assert_string_equal(lsn_format(UINT64_MAX, text), "FFFFFFFF/FFFFFFFF");
	assert_string_equal(lsn_format(0x16B374D848, text), "16/B374D848");
	assert_true(lsn_parse("16/B374D848", &lsn));
	assert_true(lsn == 0x16B374D848);
	assert_true(lsn_parse("16/b374d848", &lsn));
	assert_true(lsn == 0x16B374D848);
	assert_true(lsn_parse("FFFFFFFF/FFFFFFFF", &lsn));
	assert_true(lsn == UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		lsn = 5;
		assert_false(lsn_parse(bad[i], &lsn));
		assert_true(lsn == 5);
	}
}

static void
timelines_as_text(void **state)
{
	uint32_t timeline = 9;

	(void) state;
	assert_true(timeline_parse("0000001F", &timeline));
	assert_int_equal(timeline, 31);
	assert_false(timeline_parse("00000000", &timeline));
	assert_false(timeline_parse("0000001f", &timeline));
	assert_false(timeline_parse("1", &timeline));
	assert_false(timeline_parse("000000011", &timeline));
	assert_int_equal(timeline, 31);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_are_told_apart),
		cmocka_unit_test(strangers_are_refused),
		cmocka_unit_test(segment_numbers_and_names),
		cmocka_unit_test(low_part_beyond_the_segment_size),
		cmocka_unit_test(segment_sizes),
		cmocka_unit_test(segments_of_lsns),
		cmocka_unit_test(lsns_as_text),
		cmocka_unit_test(timelines_as_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
