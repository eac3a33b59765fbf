/*
 * test_wal_times.c - the ends of transactions in WAL, on pages made here
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/wal_times.h"

#define PAGE  8192
#define PAGES 8
#define EPOCH INT64_C(946684800000000)

/* WAL in the making: records are cut at pages as the server does it. */
struct wal
{
	uint8_t data[PAGE * PAGES];
	size_t at;
};

static void
put(uint8_t *at, uint64_t value, size_t len)
{
	memcpy(at, &value, len);
}

static void
begin_page(struct wal *w, uint32_t rest)
{
	uint8_t *page = w->data + w->at;
	bool first = w->at == 0;

	put(page, 0xD110, 2);
	put(page + 2, (rest > 0 ? 1U : 0U) | (first ? 2U : 0U), 2);
	put(page + 16, rest, 4);
	if (first)
		put(page + 36, PAGE, 4);
	w->at += first ? 40 : 24;
}

static void
add_bytes(struct wal *w, const uint8_t *data, size_t len)
{
	while (len > 0)
	{
		size_t room = PAGE - w->at % PAGE;
		size_t n = len < room ? len : room;

		if (w->at % PAGE == 0)
		{
			begin_page(w, (uint32_t) len);
			continue;
		}
		memcpy(w->data + w->at, data, n);
		w->at += n;
		data += n;
		len -= n;
	}
}

static void
add_record(struct wal *w, uint8_t rmid, uint8_t info, const uint8_t *rest,
		   size_t rest_len)
{
	uint8_t *record = calloc(1, 24 + rest_len);

	assert_non_null(record);
	put(record, 24 + rest_len, 4);
	record[16] = info;
	record[17] = rmid;
	memcpy(record + 24, rest, rest_len);
	if (w->at % PAGE == 0)
		begin_page(w, 0);
	add_bytes(w, record, 24 + rest_len);
	w->at = (w->at + 7) & ~(size_t) 7;
	free(record);
}

static void
add_other(struct wal *w, size_t len)
{
	uint8_t *rest = malloc(len);

	assert_non_null(rest);
	memset(rest, 0xFF, len);
	add_record(w, 10, 0, rest, len);
	free(rest);
}

/* An end of a transaction, seconds after PostgreSQL's epoch. */
static void
add_end(struct wal *w, uint8_t info, uint64_t seconds)
{
	uint8_t rest[10] = {255, 8};

	put(rest + 2, seconds * 1000000, 8);
	add_record(w, 1, info, rest, sizeof(rest));
}

static struct wal_times *
scan(const struct wal *w, size_t step)
{
	struct wal_times *t = malloc(sizeof(*t));
	struct err err;

	assert_non_null(t);
	wal_times_begin(t);
	for (size_t at = 0; at < sizeof(w->data); at += step)
	{
		size_t n = sizeof(w->data) - at;

		assert_int_equal(
			wal_times_feed(t, w->data + at, n < step ? n : step, &err), ST_OK);
	}
	return t;
}

static void
expect(const struct wal *w, int64_t seconds)
{
	const size_t steps[] = {1, 7, 1000, PAGE, sizeof(w->data)};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
	{
		struct wal_times *t = scan(w, steps[i]);

		assert_int_equal(t->any, seconds > 0);
		if (seconds > 0)
			assert_true(t->latest_us == EPOCH + seconds * 1000000);
		assert_false(wal_times_open(t));
		free(t);
	}
}

static void
test_nothing(void **state)
{
	struct wal w = {.at = 0};

	(void) state;
	expect(&w, 0);
	add_other(&w, 100);
	expect(&w, 0);
}

static void
test_kinds(void **state)
{
	/* Commit, abort, commit and abort of prepared ones; prepare, assign. */
	const struct
	{
		uint8_t info;
		bool counts;
	} cases[] = {{0x00, true}, {0x80, true},  {0x20, true},  {0x30, true},
				 {0x40, true}, {0x10, false}, {0x50, false}, {0x60, false}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct wal w = {.at = 0};

		add_end(&w, cases[i].info, 77);
		expect(&w, cases[i].counts ? 77 : 0);
	}
}

static void
test_latest_wins(void **state)
{
	struct wal w = {.at = 0};

	(void) state;
	add_end(&w, 0, 5);
	add_end(&w, 0, 9);
	add_end(&w, 0x20, 7);
	expect(&w, 9);
}

/* Wherever a page ends within the record. */
static void
test_page_ends(void **state)
{
	(void) state;
	for (size_t len = PAGE - 180; len < PAGE - 60; len += 4)
	{
		struct wal w = {.at = 0};

		add_other(&w, len);
		add_end(&w, 0, 3);
		add_other(&w, (size_t) 2 * PAGE + len);
		add_end(&w, 0, 4);
		expect(&w, 4);
	}
}

static void
test_what_stands_before_the_data(void **state)
{
	uint8_t rest[32] = {253, 0, 0, 252, 0, 0, 0, 0, 254, 8, 0, 0, 0};
	struct wal w = {.at = 0};

	(void) state;
	put(rest + 13, 6000000, 8);
	add_record(&w, 1, 0, rest, 21);
	expect(&w, 6);
}

static void
test_other_managers_and_blocks(void **state)
{
	uint8_t rest[10] = {255, 8};
	uint8_t block[10] = {0};
	struct wal w = {.at = 0};

	(void) state;
	put(rest + 2, 6000000, 8);
	add_record(&w, 2, 0, rest, sizeof(rest));
	add_record(&w, 1, 0, block, sizeof(block));
	add_record(&w, 1, 0, rest, 1);
	expect(&w, 0);
}

/* Where the last record that is whole begins, also over pages. */
static void
test_where_the_last_record_begins(void **state)
{
	struct wal w = {.at = 0};
	struct wal_times *t;
	size_t last;

	(void) state;
	add_other(&w, 100);
	add_other(&w, (size_t) PAGE);
	last = w.at;
	add_end(&w, 0, 3);
	t = scan(&w, 1000);
	assert_true(t->any_record);
	assert_int_equal(t->last, last);
	free(t);

	/* One that goes on behind the end does not count. */
	put(w.data + w.at, sizeof(w.data), 4);
	t = scan(&w, PAGE);
	assert_int_equal(t->last, last);
	free(t);
}

/* A segment begins with the end of a record that is not there. */
static void
test_begins_within_a_record(void **state)
{
	struct wal w = {.at = 0};
	uint8_t rest[PAGE] = {0};

	(void) state;
	begin_page(&w, PAGE);
	memset(rest, 0xFF, sizeof(rest));
	add_bytes(&w, rest, sizeof(rest));
	w.at = (w.at + 7) & ~(size_t) 7;
	add_end(&w, 0, 8);
	expect(&w, 8);
}

/* A commit that continues in the next segment. */
static void
test_open_at_the_end(void **state)
{
	struct wal w = {.at = 0}, next = {.at = 0};
	uint8_t record[34] = {34, [24] = 255, [25] = 8};
	struct wal_times *t;
	struct err err;

	(void) state;
	add_other(&w, sizeof(w.data) - 40 - (size_t) 24 * (PAGES - 1) - 24 - 16);
	assert_int_equal(w.at, sizeof(w.data) - 16);
	record[17] = 1;
	put(record + 26, 9000000, 8);
	add_bytes(&w, record, 16);
	t = scan(&w, PAGE);
	assert_true(wal_times_open(t));
	assert_false(t->any);
	begin_page(&next, sizeof(record) - 16);
	add_bytes(&next, record + 16, sizeof(record) - 16);
	assert_int_equal(wal_times_feed(t, next.data, sizeof(next.data), &err),
					 ST_OK);
	assert_false(wal_times_open(t));
	assert_true(t->any);
	assert_true(t->latest_us == EPOCH + 9000000);
	free(t);
}

static void
test_a_record_that_was_given_up(void **state)
{
	struct wal w = {.at = 0};

	(void) state;
	add_other(&w, 3 * (size_t) PAGE);

	/* The server came back and began the second page anew. */
	w.at = PAGE;
	memset(w.data + PAGE, 0, sizeof(w.data) - PAGE);
	begin_page(&w, 0);
	add_end(&w, 0, 2);
	expect(&w, 2);
}

static void
test_page_size_is_checked(void **state)
{
	struct wal w = {.at = 0};

	(void) state;
	add_end(&w, 0, 5);
	put(w.data + 36, 3, 4);
	expect(&w, 0);
	put(w.data + 36, UINT32_MAX, 4);
	expect(&w, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_latest_wins),
		cmocka_unit_test(test_page_ends),
		cmocka_unit_test(test_what_stands_before_the_data),
		cmocka_unit_test(test_other_managers_and_blocks),
		cmocka_unit_test(test_where_the_last_record_begins),
		cmocka_unit_test(test_begins_within_a_record),
		cmocka_unit_test(test_open_at_the_end),
		cmocka_unit_test(test_a_record_that_was_given_up),
		cmocka_unit_test(test_page_size_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
