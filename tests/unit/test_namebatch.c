/*
 * test_namebatch.c - the smallest of many names, whatever their order
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/namebatch.h"

#define NAMES_MAX 500

static char names[NAMES_MAX][16];
static uint32_t seed;

static uint32_t
draw(uint32_t below)
{
	seed = seed * 1664525U + 1013904223U;
	return (seed >> 8) % below;
}

static void
shuffle(size_t count)
{
	for (size_t i = count; i > 1; i--)
	{
		size_t j = draw((uint32_t) i);
		char swap[16];

		memcpy(swap, names[i - 1], sizeof(swap));
		memcpy(names[i - 1], names[j], sizeof(swap));
		memcpy(names[j], swap, sizeof(swap));
	}
}

/* Passes until all are seen, as a listing does them. */
static void
walk(size_t count, size_t max_names, size_t max_bytes)
{
	char cursor[16] = "";
	size_t seen = 0;
	bool more = true;

	while (more)
	{
		struct namebatch batch;

		namebatch_init(&batch, max_names, max_bytes);
		for (size_t i = 0; i < count; i++)
			if (strcmp(names[i], cursor) > 0)
				assert_true(namebatch_add(&batch, names[i]));
		namebatch_sort(&batch);
		assert_true(batch.nnames <= max_names);
		assert_true(batch.used <= max_bytes && batch.room <= max_bytes);
		for (size_t i = 0; i < batch.nnames; i++)
		{
			char expected[16];

			snprintf(expected, sizeof(expected), "n%06zu", seen);
			assert_string_equal(namebatch_get(&batch, i), expected);
			memcpy(cursor, expected, sizeof(cursor));
			seen++;
		}
		more = batch.cut;
		assert_true(!more || batch.nnames > 0);
		namebatch_free(&batch);
	}
	assert_int_equal(seen, count);
}

static void
test_any_order(void **state)
{
	(void) state;
	for (uint32_t round = 0; round < 3000; round++)
	{
		size_t count;

		seed = round;
		count = draw(NAMES_MAX);
		for (size_t i = 0; i < count; i++)
			snprintf(names[i], sizeof(names[i]), "n%06zu", i);
		if (round % 3 != 0)
			shuffle(count); /* else: ascending */
		walk(count, 2 + draw(40), SIZE_MAX);
		walk(count, SIZE_MAX, (size_t) 8 * (2 + draw(40)));
	}
}

static void
test_descending(void **state)
{
	(void) state;
	for (size_t i = 0; i < NAMES_MAX; i++)
		snprintf(names[i], sizeof(names[i]), "n%06zu", NAMES_MAX - 1 - i);
	walk(NAMES_MAX, 7, SIZE_MAX);
	walk(NAMES_MAX, SIZE_MAX, 100);
}

static void
test_empty(void **state)
{
	struct namebatch batch;

	(void) state;
	namebatch_init(&batch, 0, 0);
	namebatch_sort(&batch);
	assert_int_equal(batch.nnames, 0);
	assert_false(batch.cut);
	namebatch_free(&batch);
	namebatch_free(&batch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_descending),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
