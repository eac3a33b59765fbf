/*
 * test_walscan.c - does a segment hold WAL up to its end?
 *
 * Segments are built as PostgreSQL lays them out, records of any length one
 * behind the other; pages hold 1 kB, so that records cross them often.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/walscan.h"

#define SEGMENT     WAL_SEGMENT_SIZE_MIN
#define PAGE        1024
#define BASE        ((uint64_t) 3 * SEGMENT)
#define CONTRECORD  0x0001
#define LONG_HEADER 0x0002
#define OVERWRITE   0x0008
#define SWITCH_INFO 0x40

struct writer
{
	uint8_t *data;
	size_t at;
	uint64_t before;
};

static void
put(uint8_t *at, const void *value, size_t len)
{
	memcpy(at, value, len);
}

static void
put_page_header(struct writer *w, size_t page, uint32_t rem_len, uint16_t info)
{
	uint8_t *at = w->data + page;
	uint16_t magic = 0xD110;
	uint32_t timeline = 1;
	uint64_t address = BASE + page;
	uint64_t sysid = 42;
	uint32_t segment = SEGMENT;
	uint32_t size = PAGE;

	info |= rem_len > 0 ? CONTRECORD : 0;
	info |= page == 0 ? LONG_HEADER : 0;
	put(at, &magic, 2);
	put(at + 2, &info, 2);
	put(at + 4, &timeline, 4);
	put(at + 8, &address, 8);
	put(at + 16, &rem_len, 4);
	if (page == 0)
	{
		put(at + 24, &sysid, 8);
		put(at + 32, &segment, 4);
		put(at + 36, &size, 4);
	}
}

/* Writes bytes of a record, cut where the segment ends. */
static void
put_bytes(struct writer *w, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && w->at < SEGMENT; i++)
	{
		if (w->at % PAGE == 0)
		{
			put_page_header(w, w->at, (uint32_t) (len - i), 0);
			w->at += w->at == 0 ? 40 : 24;
		}
		w->data[w->at++] = bytes[i];
	}
}

static void
put_record(struct writer *w, uint32_t total, uint8_t info)
{
	uint8_t *record = calloc(1, total);

	assert_non_null(record);
	w->at = (w->at + 7) & ~(size_t) 7;
	if (w->at % PAGE == 0 && w->at < SEGMENT)
	{
		put_page_header(w, w->at, 0, 0);
		w->at += w->at == 0 ? 40 : 24;
	}
	put(record, &total, 4);
	put(record + 8, &w->before, 8);
	record[16] = info;
	w->before = BASE + w->at;
	put_bytes(w, record, total);
	free(record);
}

/* A segment that begins in a record of the one before. */
static struct writer
writer_new(void)
{
	struct writer w = {.before = BASE - 64};
	uint8_t tail[100] = {0};

	w.data = calloc(1, SEGMENT);
	assert_non_null(w.data);
	put_bytes(&w, tail, sizeof(tail));
	return w;
}

static void
fill(struct writer *w, size_t until)
{
	for (uint32_t total = 24; w->at < until; total = total * 7 % 5003 + 24)
		put_record(w, total, 0x10);
}

/* The segment fed in pieces of that many pages. */
static bool
complete(const struct writer *w, size_t pages)
{
	struct wal_page page;
	struct wal_scan scan;
	struct err err;
	size_t step = pages * PAGE;

	assert_int_equal(wal_page_parse(&page, w->data, SEGMENT, &err), ST_OK);
	wal_scan_begin(&scan, &page);
	for (size_t at = 0; at < SEGMENT; at += step)
	{
		bool fine;

		assert_false(wal_scan_complete(&scan));
		fine = wal_scan_feed(&scan, w->data + at,
							 SEGMENT - at < step ? SEGMENT - at : step);
		if (!fine)
		{
			assert_false(wal_scan_complete(&scan));
			return false;
		}
	}
	return wal_scan_complete(&scan);
}

static void
full_segment(void **state)
{
	struct writer w = writer_new();

	(void) state;
	fill(&w, SEGMENT);
	assert_true(complete(&w, 1));
	assert_true(complete(&w, 7));
	assert_true(complete(&w, SEGMENT / PAGE));
	free(w.data);
}

static void
one_record_over_all(void **state)
{
	struct writer w = {.data = calloc(1, SEGMENT)};
	uint8_t *tail = calloc(1, (size_t) 2 * SEGMENT);

	(void) state;
	assert_non_null(w.data);
	assert_non_null(tail);
	put_bytes(&w, tail, (size_t) 2 * SEGMENT);
	assert_true(complete(&w, 16));
	free(tail);
	free(w.data);
}

static void
stops_at_every_place(void **state)
{
	(void) state;
	for (size_t until = 200; until < (size_t) 6 * PAGE; until += 8)
	{
		struct writer w = writer_new();

		fill(&w, until);
		assert_false(complete(&w, 16));
		free(w.data);
	}
}

static void
ends_with_a_switch(void **state)
{
	(void) state;
	for (size_t until = 200; until < (size_t) 4 * PAGE; until += 8)
	{
		struct writer w = writer_new();

		fill(&w, until);
		put_record(&w, WAL_RECORD_HEADER_BYTES, SWITCH_INFO);
		assert_true(complete(&w, 16));
		/* The remains of a recycled segment behind. */
		w.data[(size_t) 100 * PAGE] = 1;
		assert_false(complete(&w, 16));
		free(w.data);
	}
}

/* Remains of a recycled segment: records, but of other places. */
static void
recycled_remains(void **state)
{
	struct writer old = writer_new();
	struct writer w = writer_new();
	size_t cut = (size_t) 500 * PAGE;

	(void) state;
	fill(&old, SEGMENT);
	fill(&w, cut);
	/* Within the last page that was written. */
	memcpy(w.data + w.at, old.data + w.at, PAGE - w.at % PAGE);
	assert_false(complete(&w, 16));
	/* Whole pages behind, with the addresses that they had. */
	memcpy(w.data + w.at, old.data + w.at, SEGMENT - w.at);
	for (size_t page = cut + (size_t) 20 * PAGE; page < SEGMENT; page += PAGE)
	{
		uint64_t address = BASE - SEGMENT + page;

		put(w.data + page + 8, &address, 8);
	}
	assert_false(complete(&w, 16));
	free(old.data);
	free(w.data);
}

static void
link_to_another_record(void **state)
{
	struct writer w = writer_new();

	(void) state;
	put_record(&w, 50, 0x10);
	w.before += 8;
	fill(&w, SEGMENT);
	assert_false(complete(&w, 16));
	free(w.data);
}

/* A crash cut a record off, and the next server wrote on behind it. */
static void
overwritten_record(void **state)
{
	struct writer w = writer_new();
	uint8_t record[2000] = {0};
	uint32_t total = sizeof(record);
	uint64_t last;

	(void) state;
	fill(&w, (size_t) 10 * PAGE);
	w.at = (w.at + 7) & ~(size_t) 7;
	last = w.before;
	put(record, &total, 4);
	put(record + 8, &last, 8);
	put_bytes(&w, record, PAGE - w.at % PAGE);
	put_page_header(&w, w.at, 0, OVERWRITE);
	w.at += 24;
	w.before = last;
	fill(&w, SEGMENT);
	assert_true(complete(&w, 16));
	/* Without the flag the record is missing its rest. */
	for (size_t page = PAGE; page < SEGMENT; page += PAGE)
		w.data[page + 2] &= (uint8_t) ~OVERWRITE;
	assert_false(complete(&w, 16));
	free(w.data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_segment),
		cmocka_unit_test(one_record_over_all),
		cmocka_unit_test(stops_at_every_place),
		cmocka_unit_test(ends_with_a_switch),
		cmocka_unit_test(recycled_remains),
		cmocka_unit_test(link_to_another_record),
		cmocka_unit_test(overwritten_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
