#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/crc32c.h"

/* RFC 3720, B.4, and the check value of the CRC catalogues. */
static void
test_known_answers(void **state)
{
	uint8_t block[32];

	(void) state;
	assert_int_equal(crc32c_update(0, "", 0), 0);
	assert_int_equal(crc32c_update(0, "123456789", 9), 0xE3069283U);
	memset(block, 0, sizeof(block));
	assert_int_equal(crc32c_update(0, block, sizeof(block)), 0x8A9136AAU);
	memset(block, 0xFF, sizeof(block));
	assert_int_equal(crc32c_update(0, block, sizeof(block)), 0x62A8AB43U);
	for (uint8_t i = 0; i < 32; i++)
		block[i] = i;
	assert_int_equal(crc32c_update(0, block, sizeof(block)), 0x46DD794EU);
	for (uint8_t i = 0; i < 32; i++)
		block[i] = (uint8_t) (31 - i);
	assert_int_equal(crc32c_update(0, block, sizeof(block)), 0x113FDB5CU);
}

static void
fill(uint8_t *data, size_t len)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < len; i++)
	{
		x = x * 1103515245U + 12345U;
		data[i] = (uint8_t) (x >> 16);
	}
}

static void
test_table_agrees(void **state)
{
	uint8_t data[300];

	(void) state;
	fill(data, sizeof(data));
	for (size_t from = 0; from < 9; from++)
	{
		for (size_t len = 0; from + len <= sizeof(data); len++)
			assert_int_equal(crc32c_update(77, data + from, len),
							 crc32c_update_table(77, data + from, len));
	}
}

/* Long enough for several rounds of whatever works side by side. */
static void
test_long_agrees(void **state)
{
	static uint8_t data[40000];

	(void) state;
	fill(data, sizeof(data));
	for (size_t len = 0; len + 7 <= sizeof(data); len += 1 + len / 17)
	{
		for (size_t from = 0; from < 8; from += 7)
			assert_int_equal(crc32c_update(77, data + from, len),
							 crc32c_update_table(77, data + from, len));
	}
}

static void
test_pieces_and_combine(void **state)
{
	uint8_t data[300];
	uint32_t whole;

	(void) state;
	fill(data, sizeof(data));
	whole = crc32c_update(0, data, sizeof(data));
	for (size_t cut = 0; cut <= sizeof(data); cut++)
	{
		uint32_t a = crc32c_update(0, data, cut);
		uint32_t b = crc32c_update(0, data + cut, sizeof(data) - cut);

		assert_int_equal(crc32c_update(a, data + cut, sizeof(data) - cut),
						 whole);
		assert_int_equal(crc32c_combine(a, b, sizeof(data) - cut), whole);
	}
}

static void
test_zeros(void **state)
{
	static const uint8_t zeros[100000];
	uint32_t a = crc32c_update(0, "abc", 3);

	(void) state;
	assert_int_equal(crc32c_zeros(a, 0), a);
	assert_int_equal(crc32c_zeros(0, 32), 0x8A9136AAU);
	assert_int_equal(crc32c_zeros(a, sizeof(zeros)),
					 crc32c_update(a, zeros, sizeof(zeros)));
	/* Far lengths: in two steps and in one. */
	assert_int_equal(crc32c_zeros(crc32c_zeros(a, UINT64_C(1) << 40), 5),
					 crc32c_zeros(a, (UINT64_C(1) << 40) + 5));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_table_agrees),
		cmocka_unit_test(test_long_agrees),
		cmocka_unit_test(test_pieces_and_combine),
		cmocka_unit_test(test_zeros),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
