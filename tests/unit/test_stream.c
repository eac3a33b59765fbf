#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/stream.h"

static enum status
parse(const char *data, size_t len, struct stream_event *event)
{
	struct err err;

	return stream_parse_message((const uint8_t *) data, len, event, &err);
}

static void
test_messages(void **state)
{
	static const char archive[] = "n16384.tar\0/srv/ts";
	struct stream_event e;

	(void) state;
	assert_int_equal(parse(archive, sizeof(archive), &e), ST_OK);
	assert_int_equal(e.kind, STREAM_ARCHIVE);
	assert_string_equal(e.archive, "16384.tar");
	assert_string_equal(e.location, "/srv/ts");
	assert_int_equal(parse("nbase.tar\0", 11, &e), ST_OK);
	assert_string_equal(e.location, "");
	assert_int_equal(parse("m", 1, &e), ST_OK);
	assert_int_equal(e.kind, STREAM_MANIFEST);
	assert_int_equal(parse("dabc", 4, &e), ST_OK);
	assert_int_equal(e.kind, STREAM_DATA);
	assert_int_equal(e.len, 3);
	assert_memory_equal(e.data, "abc", 3);
	assert_int_equal(parse("d", 1, &e), ST_OK);
	assert_int_equal(e.len, 0);
	assert_int_equal(parse("p\1\2\3\4\5\6\7\10", 9, &e), ST_OK);
	assert_int_equal(e.kind, STREAM_PROGRESS);
	assert_true(e.progress == UINT64_C(0x0102030405060708));
}

static void
test_malformed_refused(void **state)
{
	struct stream_event e;

	(void) state;
	assert_int_equal(parse("", 0, &e), ST_CORRUPT);
	assert_int_equal(parse("x", 1, &e), ST_CORRUPT);
	assert_int_equal(parse("mm", 2, &e), ST_CORRUPT);
	assert_int_equal(parse("p1234567", 8, &e), ST_CORRUPT);
	assert_int_equal(parse("p123456789", 10, &e), ST_CORRUPT);
	assert_int_equal(parse("n", 1, &e), ST_CORRUPT);
	assert_int_equal(parse("nbase.tar", 9, &e), ST_CORRUPT);
	assert_int_equal(parse("nbase.tar\0", 10, &e), ST_CORRUPT);
	assert_int_equal(parse("nbase.tar\0x", 11, &e), ST_CORRUPT);
	assert_int_equal(parse("nbase.tar\0\0x", 12, &e), ST_CORRUPT);
}

static void
test_archive_names(void **state)
{
	static const char *const bad[] = {
		"",           "base",           "base.tar.lz4",
		"16384",      "16384.tar.gz",   "0.tar",
		"-1.tar",     "4294967296.tar", "99999999999.tar",
		"x16384.tar", ".tar",           "16384 .tar"};
	uint32_t oid = 7;

	(void) state;
	assert_true(stream_parse_archive("base.tar", false, &oid));
	assert_int_equal(oid, 0);
	assert_true(stream_parse_archive("16384.tar", false, &oid));
	assert_int_equal(oid, 16384);
	assert_true(stream_parse_archive("4294967295.tar", false, &oid));
	assert_int_equal(oid, 4294967295U);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(stream_parse_archive(bad[i], false, &oid));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_malformed_refused),
		cmocka_unit_test(test_archive_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
