/*
 * test_walpage.c - what a WAL segment and pg_control say about themselves
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/walpage.h"

#define MB    ((uint64_t) 1 << 20)
#define SYSID ((uint64_t) 7301234567890123456)

/* The layout of PostgreSQL's headers, as a C compiler lays it out. */
struct long_header
{
	uint16_t magic;
	uint16_t info;
	uint32_t timeline;
	uint64_t address;
	uint32_t rem_len;
	uint64_t system_identifier;
	uint32_t segment_size;
	uint32_t page_size;
};

static const struct long_header valid = {
	.magic = 0xD110,
	.info = 0x0002,
	.timeline = 2,
	.address = 0x5000000,
	.system_identifier = SYSID,
	.segment_size = 16 * MB,
	.page_size = 8192,
};

static enum status
parse(const struct long_header *header, struct wal_page *page, struct err *err)
{
	_Static_assert(sizeof(*header) == WAL_LONG_HEADER_BYTES, "layout");
	return wal_page_parse(page, header, sizeof(*header), err);
}

static void
header_of_a_segment(void **state)
{
	struct wal_page page;
	struct err err;

	(void) state;
	assert_int_equal(parse(&valid, &page, &err), ST_OK);
	assert_int_equal(page.magic, 0xD110);
	assert_int_equal(page.timeline, 2);
	assert_true(page.page_address == 0x5000000);
	assert_true(page.system_identifier == SYSID);
	assert_int_equal(page.segment_size, 16 * MB);
	assert_int_equal(page.page_size, 8192);
}

static void
every_size_of_segment_and_page(void **state)
{
	struct wal_page page;
	struct err err;

	(void) state;
	for (uint32_t segment = (uint32_t) MB; segment <= 1024 * MB; segment *= 2)
		for (uint32_t size = 1024; size <= 65536; size *= 2)
		{
			struct long_header header = valid;

			header.segment_size = segment;
			header.page_size = size;
			assert_int_equal(parse(&header, &page, &err), ST_OK);
		}
}

static void
implausible_headers(void **state)
{
	struct long_header bad[9];
	size_t n = sizeof(bad) / sizeof(bad[0]);
	struct wal_page page;
	struct err err;

	(void) state;
	for (size_t i = 0; i < n; i++)
		bad[i] = valid;
	bad[0].magic = 0;
	bad[1].magic = 0x10D1; /* the other byte order */
	bad[2].info = 0x0001;
	bad[3].segment_size = 3 * MB;
	bad[4].segment_size = MB / 2;
	bad[5].page_size = 512;
	bad[6].page_size = 8193;
	bad[7].timeline = 0;
	bad[8].system_identifier = 0;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(parse(&bad[i], &page, &err), ST_CORRUPT);
	assert_int_equal(wal_page_parse(&page, &valid, sizeof(valid) - 1, &err),
					 ST_CORRUPT);
}

static enum status
check(const struct long_header *header, const char *file, uint64_t len,
	  uint64_t sysid, const char *history, struct err *err)
{
	struct timeline_history h = {0};
	struct wal_name name;
	struct wal_page page;
	enum status status;

	assert_int_equal(wal_name_parse(&name, file, err), ST_OK);
	assert_int_equal(parse(header, &page, err), ST_OK);
	if (history != NULL)
		assert_int_equal(timeline_history_parse(name.timeline, history,
												strlen(history), &h, err),
						 ST_OK);
	status = wal_page_check(&page, &name, len, sysid,
							history != NULL ? &h : NULL, err);
	timeline_history_free(&h);
	return status;
}

static void
page_and_name_agree(void **state)
{
	struct err err;

	(void) state;
	assert_int_equal(
		check(&valid, "000000020000000000000005", 16 * MB, SYSID, NULL, &err),
		ST_OK);
	assert_int_equal(check(&valid, "000000020000000000000005", 16 * MB, 0,
						   "1\t0/5000000\n", &err),
					 ST_OK);
	assert_int_equal(check(&valid, "000000030000000000000005.partial", 16 * MB,
						   SYSID, NULL, &err),
					 ST_OK);
}

static void
page_and_name_disagree(void **state)
{
	struct err err;

	(void) state;
	/* size, cluster, address, a low part no such segment size has */
	assert_int_equal(check(&valid, "000000020000000000000005", 16 * MB - 1,
						   SYSID, NULL, &err),
					 ST_CORRUPT);
	assert_int_equal(check(&valid, "000000020000000000000005", 16 * MB,
						   SYSID + 1, NULL, &err),
					 ST_CORRUPT);
	assert_int_equal(
		check(&valid, "000000020000000000000006", 16 * MB, SYSID, NULL, &err),
		ST_CORRUPT);
	assert_int_equal(
		check(&valid, "000000020000000100000005", 16 * MB, SYSID, NULL, &err),
		ST_CORRUPT);
	assert_int_equal(
		check(&valid, "000000020000000000000105", 16 * MB, SYSID, NULL, &err),
		ST_CORRUPT);
}

static void
timeline_of_the_page(void **state)
{
	static const char name3[] = "000000030000000000000005";
	struct err err;

	(void) state;
	/* Newer than the name's. */
	assert_int_equal(
		check(&valid, "000000010000000000000005", 16 * MB, SYSID, NULL, &err),
		ST_CORRUPT);
	/* The first segment after a switch carries the old timeline. */
	assert_int_equal(check(&valid, name3, 16 * MB, SYSID,
						   "1\t0/3000000\n2\t0/5800000\n", &err),
					 ST_OK);
	/* Not an ancestor. */
	assert_int_equal(
		check(&valid, name3, 16 * MB, SYSID, "1\t0/5800000\n", &err),
		ST_CORRUPT);
	/* An ancestor that ended before, or exactly where the page begins. */
	assert_int_equal(check(&valid, name3, 16 * MB, SYSID,
						   "1\t0/3000000\n2\t0/4800000\n", &err),
					 ST_CORRUPT);
	assert_int_equal(check(&valid, name3, 16 * MB, SYSID,
						   "1\t0/3000000\n2\t0/5000000\n", &err),
					 ST_CORRUPT);
	/* An ancestor that began only behind the page's address. */
	assert_int_equal(check(&valid, name3, 16 * MB, SYSID,
						   "1\t0/5000028\n2\t0/5800000\n", &err),
					 ST_CORRUPT);
	/* The name's own timeline, before it began. */
	assert_int_equal(check(&valid, "000000020000000000000005", 16 * MB, SYSID,
						   "1\t0/5000028\n", &err),
					 ST_CORRUPT);
}

static void
put_page(uint8_t *at, uint64_t address)
{
	struct long_header header = valid;

	header.address = address;
	memcpy(at, &header, sizeof(header));
}

static void
pages_and_their_addresses(void **state)
{
	size_t len = (size_t) 8 * 8192;
	uint8_t *data = calloc(1, len);
	struct wal_page page;
	struct err err;

	(void) state;
	assert_non_null(data);
	assert_int_equal(parse(&valid, &page, &err), ST_OK);
	for (size_t i = 0; i < 8; i++)
		put_page(data + i * 8192, 0x5000000 + i * 8192);
	assert_true(wal_pages_match(&page, data, len, 0));
	assert_true(wal_pages_match(&page, data + 8192, len - 8192, 8192));
	assert_false(wal_pages_match(&page, data + 8192, len - 8192, 0));

	memset(data + (size_t) 5 * 8192, 0, (size_t) 3 * 8192);
	assert_true(wal_pages_match(&page, data, len, 0));
	put_page(data + (size_t) 6 * 8192, 0x2000000 + 6 * 8192);
	assert_false(wal_pages_match(&page, data, len, 0));
	assert_true(wal_pages_match(&page, data, len - (size_t) 2 * 8192, 0));
	data[(size_t) 6 * 8192 + 23] = 0;
	memset(data + (size_t) 6 * 8192, 0, 23);
	data[(size_t) 6 * 8192 + 23] = 1;
	assert_false(wal_pages_match(&page, data, len, 0));
	free(data);
}

/* Little-endian or big-endian, as this machine is. */
static void
control_of(uint8_t *data, uint64_t sysid, uint32_t version, uint32_t dbstate)
{
	memset(data, 0, PG_CONTROL_BYTES);
	memcpy(data, &sysid, sizeof(sysid));
	memcpy(data + 8, &version, sizeof(version));
	memcpy(data + 16, &dbstate, sizeof(dbstate));
}

static void
control_files(void **state)
{
	uint8_t data[PG_CONTROL_BYTES];
	struct pg_control control;
	struct err err;

	(void) state;
	for (uint32_t dbstate = 0; dbstate <= 6; dbstate++)
	{
		control_of(data, SYSID, 1300, dbstate);
		assert_int_equal(pg_control_parse(&control, data, sizeof(data), &err),
						 ST_OK);
		assert_true(control.system_identifier == SYSID);
		assert_int_equal(control.control_version, 1300);
		assert_int_equal(control.in_recovery, dbstate == 2 || dbstate == 5);
	}
	control_of(data, SYSID, 1300, 7);
	assert_int_equal(pg_control_parse(&control, data, sizeof(data), &err),
					 ST_CORRUPT);
	control_of(data, SYSID, __builtin_bswap32(1300), 5);
	assert_int_equal(pg_control_parse(&control, data, sizeof(data), &err),
					 ST_CORRUPT);
	control_of(data, 0, 1800, 5);
	assert_int_equal(pg_control_parse(&control, data, sizeof(data), &err),
					 ST_CORRUPT);
	control_of(data, SYSID, 1800, 6);
	assert_int_equal(pg_control_parse(&control, data, sizeof(data) - 1, &err),
					 ST_CORRUPT);
	assert_int_equal(pg_control_parse(&control, data, sizeof(data), &err),
					 ST_OK);
}

static void
control_file_on_disk(void **state)
{
	char dir[] = "/tmp/test_walpage.XXXXXX";
	char path[128];
	uint8_t data[PG_CONTROL_BYTES];
	struct pg_control control;
	struct err err;
	FILE *file;

	(void) state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(pg_control_read(dir, &control, &err), ST_MISSING);
	assert_non_null(strstr(err.message, dir));
	(void) snprintf(path, sizeof(path), "%s/global", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(pg_control_read(dir, &control, &err), ST_MISSING);
	(void) snprintf(path, sizeof(path), "%s/global/pg_control", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	control_of(data, SYSID, 1300, 5);
	assert_int_equal(fwrite(data, 1, sizeof(data) - 1, file),
					 sizeof(data) - 1);
	assert_int_equal(fflush(file), 0);
	assert_int_equal(pg_control_read(dir, &control, &err), ST_CORRUPT);
	assert_non_null(strstr(err.message, path));
	assert_int_equal(fwrite(data + sizeof(data) - 1, 1, 1, file), 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(pg_control_read(dir, &control, &err), ST_OK);
	assert_true(control.system_identifier == SYSID);
	assert_true(control.in_recovery);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(pg_control_read(dir, &control, &err), ST_IO);
	assert_int_equal(rmdir(path), 0);
	(void) snprintf(path, sizeof(path), "%s/global", dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_of_a_segment),
		cmocka_unit_test(every_size_of_segment_and_page),
		cmocka_unit_test(implausible_headers),
		cmocka_unit_test(page_and_name_agree),
		cmocka_unit_test(page_and_name_disagree),
		cmocka_unit_test(timeline_of_the_page),
		cmocka_unit_test(pages_and_their_addresses),
		cmocka_unit_test(control_files),
		cmocka_unit_test(control_file_on_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
