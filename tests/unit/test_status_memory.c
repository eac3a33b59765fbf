/*
 * test_status_memory.c - what is remembered of listings, and what is not
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/status_memory.h"
#include "common/crc32c.h"

#define NOW  INT64_C(1795222800)
#define HEAD "walship-status-v1 16777216\n"
#define ID   "0000000002000028-00000001-20260102T030405Z"

/* With its sum behind it. */
static enum status
parse(const char *lines, struct memory *out)
{
	char text[2048];
	struct err err;
	int len = snprintf(text, sizeof(text), "%ssum %08" PRIx32 "\n", lines,
					   crc32c_update(0, lines, strlen(lines)));

	return memory_parse(text, (size_t) len, NOW, out, &err);
}

static void
test_round_trip(void **state)
{
	static const char lines[] =
		"walship-status-v1 16777216\n"
		"block 1 3 1795222000 4100 987654321 STANDARD\n"
		"block 1 4 1795222001 4096 1 -\n"
		"block 2 0 1795222002 4096 2 GLACIER_IR\n"
		"end 1 20479 1795222003\n"
		"newest " ID " 1795222004\n"
		"usage " ID " 1795222005 1 7 123 -\n";
	struct memory memory;
	struct err err;
	char *text;
	size_t len;

	(void) state;
	assert_int_equal(parse(lines, &memory), ST_OK);
	assert_int_equal(memory.segment_size, 16777216);
	assert_int_equal(memory.nblocks, 3);
	assert_null(memory_find_block(&memory, 1, 2));
	assert_null(memory_find_block(&memory, 2, 3));
	assert_int_equal(memory_find_block(&memory, 2, 0)->usage.bytes, 2);
	assert_int_equal(memory_find_end(&memory, 1)->segment, 20479);
	assert_null(memory_find_end(&memory, 2));
	assert_string_equal(memory.newest, ID);
	assert_int_equal(memory.usages[0].usage.kind, USAGE_PACK);
	assert_int_equal(memory_format(&memory, &text, &len, &err), ST_OK);
	assert_int_equal(strlen(text), len);
	assert_memory_equal(text, lines, sizeof(lines) - 1);
	memory_free(&memory);
	assert_int_equal(memory_parse(text, len, NOW, &memory, &err), ST_OK);
	memory_free(&memory);

	/* Any byte that is another one. */
	for (size_t i = 0; i < len; i++)
	{
		text[i] ^= 1;
		assert_int_equal(memory_parse(text, len, NOW, &memory, &err),
						 ST_CORRUPT);
		text[i] ^= 1;
		assert_int_equal(memory_parse(text, i, NOW, &memory, &err),
						 ST_CORRUPT);
	}
	free(text);
}

static void
test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"walship-status-v2 16777216\n",
		"walship-status-v1 16777217\n",
		"walship-status-v1 16777216 \n",
		"walship-status-v1 16777216",
		HEAD "end 1 20479 1795222801\n", /* future */
		HEAD "end 0 20479 1795222800\n",
		HEAD "end 1 5 1\nend 1 6 1\n",
		HEAD "block 1 3 1 1 1 -\nblock 1 3 1 1 1 -\n",
		HEAD "block 2 3 1 1 1 -\nblock 1 3 1 1 1 -\n",
		HEAD "block 1 4503599627370496 1 1 1 -\n",
		HEAD "block 1 3 1 1 1\n",
		HEAD "block 1 3 1 1 1 - -\n",
		HEAD "newest x 1\n",
		HEAD "usage " ID " 1 6 7 123 -\n",
		HEAD "nothing 1\n",
	};
	struct memory memory;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i], &memory) != ST_CORRUPT)
			fail_msg("accepted: %s", bad[i]);
}

static void
add(struct memory *memory, uint64_t block, int64_t seen_s)
{
	const struct memory_block b = {
		.timeline = 1, .block = block, .seen_s = seen_s};
	struct err err;

	assert_int_equal(memory_add_block(memory, &b, &err), ST_OK);
}

/* The old ones go, and of the rest those that were not seen for longest. */
static void
test_fade(void **state)
{
	struct memory memory = {.segment_size = 16777216};

	(void) state;
	add(&memory, 0, NOW - MEMORY_AGE_MAX_S - 1);
	for (int i = 1; i <= 6; i++)
		add(&memory, (uint64_t) i, NOW - (i * 7) % 6);
	memory_fade(&memory, NOW);
	assert_int_equal(memory.nblocks, 6 - MEMORY_AGAIN);
	assert_non_null(memory_find_block(&memory, 1, 6)); /* seen now */
	assert_non_null(memory_find_block(&memory, 1, 1)); /* a second ago */
	memory_fade(&memory, NOW);
	assert_int_equal(memory.nblocks, 0);
	memory_fade(&memory, NOW);
	memory_free(&memory);
}

static void
test_usage(void **state)
{
	struct usage usage = {.nrows = 0};
	struct usage_row row = {USAGE_WAL, "A", 1, 10};

	(void) state;
	usage_add(&usage, &row);
	usage_add(&usage, &row);
	row.kind = USAGE_PACK;
	usage_add(&usage, &row);
	assert_int_equal(usage.nrows, 2);
	assert_int_equal(usage_bytes(&usage), 30);

	/* A store may invent classes as it likes: nothing is lost. */
	for (int i = 0; i < 100; i++)
	{
		(void) snprintf(row.storage_class, sizeof(row.storage_class), "C%d",
						i);
		usage_add(&usage, &row);
	}
	assert_true(usage.nrows < USAGE_ROWS_MAX);
	assert_int_equal(usage_bytes(&usage), 1030);
	row.kind = USAGE_REPORT;
	usage_add(&usage, &row);
	assert_int_equal(usage.rows[usage.nrows - 1].kind, USAGE_REPORT);
	usage_join(&usage, &usage);
	assert_int_equal(usage_bytes(&usage), 2080);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_fade),
		cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
