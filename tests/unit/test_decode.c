#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/decode.h"

static void
test_hex32(void **state)
{
	uint32_t value = 0;

	(void) state;
	assert_true(hex_parse32("deadbeef", &value));
	assert_int_equal(value, 0xdeadbeef);
	assert_true(hex_parse32("00000000", &value));
	assert_int_equal(value, 0);
	assert_false(hex_parse32("DEADBEEF", &value));
	assert_false(hex_parse32("deadbee", &value));
	assert_false(hex_parse32("deadbeef0", &value));
	assert_false(hex_parse32("", &value));
}

static void
test_hex_text(void **state)
{
	char out[4];

	(void) state;
	assert_true(hex_decode_text("ff2f61", out, sizeof(out)));
	assert_string_equal(out, "\xff/a");
	assert_true(hex_decode_text("", out, sizeof(out)));
	assert_string_equal(out, "");
	assert_false(hex_decode_text("ff2f6162", out, sizeof(out)));
	assert_false(hex_decode_text("ff2", out, sizeof(out)));
	assert_false(hex_decode_text("6100", out, sizeof(out)));
	assert_false(hex_decode_text("6G", out, sizeof(out)));
}

static void
check64(const char *text, const char *expected)
{
	uint8_t out[6];
	size_t len = 0;

	if (expected == NULL)
	{
		assert_false(base64_decode(text, out, sizeof(out), &len));
		return;
	}
	assert_true(base64_decode(text, out, sizeof(out), &len));
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(out, expected, len);
}

/* The vectors of RFC 4648, and what is not quite base64. */
static void
test_base64(void **state)
{
	(void) state;
	check64("Zg==", "f");
	check64("Zm8=", "fo");
	check64("Zm9v", "foo");
	check64("Zm9vYg==", "foob");
	check64("Zm9vYmE=", "fooba");
	check64("Zm9vYmFy", "foobar");
	check64("+/+/", "\xfb\xff\xbf");
	check64("", NULL);
	check64("Zm9vYmFyYg==", NULL);
	check64("Zg=", NULL);
	check64("Zg", NULL);
	check64("Zg=a", NULL);
	check64("Z===", NULL);
	check64("====", NULL);
	check64("=", NULL);
	check64("Zh==", NULL);
	check64("Zm9=", NULL);
	check64("Zm9\n", NULL);
	check64("Zm-_", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hex32),
		cmocka_unit_test(test_hex_text),
		cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
