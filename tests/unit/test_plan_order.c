#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/plan_files.h"
#include "basebackup/tempfile.h"

#define PACKS   37
#define EXTENTS 20000

/* A plan of nothing but extents, in an order that is not that of the packs. */
static void
make_plan(struct plan *plan, struct plan_files *files)
{
	struct err err;

	memset(plan, 0, sizeof(*plan));
	memset(files, 0, sizeof(*files));
	plan->files = files;
	plan->npacks = PACKS;
	files->pack_extents = calloc(PACKS, sizeof(*files->pack_extents));
	assert_non_null(files->pack_extents);
	assert_int_equal(tempfile_open(&files->extents, &err), ST_OK);
	for (uint32_t i = 0; i < EXTENTS; i++)
	{
		/* Pack 5 has a quarter of them, pack 6 none. */
		uint32_t pack = i % 4 == 0 ? 5 : i * 7919U % PACKS;
		struct plan_extent extent = {.entry = i,
									 .pack = pack == 6 ? 7 : pack,
									 .position = i * 104729U % 16777216U,
									 .length = 1,
									 .at = i};

		files->pack_extents[extent.pack]++;
		files->nextents++;
		assert_int_equal(
			tempfile_write(files->extents, &extent, sizeof(extent), &err),
			ST_OK);
	}
}

static void
free_plan(struct plan_files *files)
{
	if (files->sorted != NULL && files->sorted != files->extents)
		(void) fclose(files->sorted);
	(void) fclose(files->extents);
	free(files->pack_extents);
	free(files->batches);
}

/* Every extent comes once, packs and positions ascend, batches are small. */
static void
check_order(uint64_t batch_max, size_t batches_min, size_t batches_max)
{
	struct plan plan;
	struct plan_files files;
	struct err err;
	uint64_t last = 0;
	size_t seen = 0;
	bool *found = calloc(EXTENTS, sizeof(*found));

	assert_non_null(found);
	make_plan(&plan, &files);
	assert_int_equal(plan_order(&plan, batch_max, &err), ST_OK);
	assert_in_range(plan.nbatches, batches_min, batches_max);
	for (size_t batch = 0; batch < plan.nbatches; batch++)
	{
		struct plan_extent *extents;
		size_t count;

		assert_int_equal(plan_get_batch(&plan, batch, &extents, &count, &err),
						 ST_OK);
		assert_true(count <= batch_max ||
					extents[0].pack == extents[count - 1].pack);
		for (size_t i = 0; i < count; i++)
		{
			uint64_t place =
				(uint64_t) extents[i].pack << 32 | extents[i].position;

			assert_true(place >= last);
			last = place;
			assert_false(found[extents[i].entry]);
			found[extents[i].entry] = true;
			assert_true(extents[i].at == extents[i].entry);
			seen++;
		}
		free(extents);
	}
	assert_int_equal(seen, EXTENTS);
	free_plan(&files);
	free(found);
}

static void
test_batches(void **state)
{
	(void) state;
	check_order(UINT64_MAX, 1, 1);
	check_order(EXTENTS, 1, 1);
	check_order(EXTENTS - 1, 2, 2);
	check_order(6000, 4, 5);
	check_order(1000, 15, PACKS);
	check_order(1, PACKS - 1, PACKS);
}

static void
test_nothing(void **state)
{
	struct plan_files files = {.nextents = 0};
	struct plan plan = {.files = &files};
	struct err err;

	(void) state;
	assert_int_equal(plan_order(&plan, PLAN_BATCH_MAX, &err), ST_OK);
	assert_int_equal(plan.nbatches, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
