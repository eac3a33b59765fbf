#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basebackup/reach.h"

static const char *const expired[] = {"a", "c", "d"};

/* What nobody refers to goes, of expired backups and of no other. */
static void
test_unknown(void **state)
{
	struct reach *reach;
	struct err err;

	(void) state;
	assert_int_equal(reach_new(expired, 3, &reach, &err), ST_OK);
	assert_false(reach_needs(reach, "a", OBJECT_PACK, 0));
	assert_false(reach_needs(reach, "d", OBJECT_DIGEST, 7));
	assert_true(reach_needs(reach, "b", OBJECT_PACK, 0));
	assert_true(reach_needs(reach, "", OBJECT_DIGEST, 7));
	assert_true(reach_needs(reach, "e", OBJECT_PACK, UINT32_MAX));
	reach_free(reach);

	assert_int_equal(reach_new(NULL, 0, &reach, &err), ST_OK);
	assert_true(reach_needs(reach, "a", OBJECT_PACK, 0));
	reach_free(reach);
}

static void
test_owner(void **state)
{
	struct reach *reach;
	struct err err;

	(void) state;
	assert_int_equal(reach_new(expired, 3, &reach, &err), ST_OK);
	reach_add_owner(reach, "c");
	reach_add_owner(reach, "b");
	assert_true(reach_needs(reach, "c", OBJECT_PACK, 5));
	assert_true(reach_needs(reach, "c", OBJECT_DIGEST, 5));
	assert_false(reach_needs(reach, "a", OBJECT_PACK, 5));
	assert_true(reach_needs(reach, "b", OBJECT_PACK, 5));
	reach_free(reach);
	reach_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
