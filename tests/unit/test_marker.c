/*
 * test_marker.c - "this very file is durably stored"
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "walship/marker.h"

#define NAME  "000000010000000000000A01"
#define BOOT  "2f9a1c1e-58c5-4a26-9d5a-0f0f0f0f0f0f"
#define ASIDE "wal/00000001/" NAME ".0123456789abcdef"

static const struct stat a_stat = {
	.st_size = 16777216,
	.st_dev = 0xfe00,
	.st_ino = 0xa77938,
	.st_mtim = {.tv_sec = 1795222800, .tv_nsec = 123456789},
	.st_ctim = {.tv_sec = 1795222801, .tv_nsec = 987654321}};

static struct marker_file
a_file(const struct stat *st)
{
	return (struct marker_file){.system_identifier = UINT64_MAX,
								.boot = BOOT,
								.name = NAME,
								.stat = st};
}

/* Independently made, so that a change of the format is noticed. */
static void
known_text(void **state)
{
	struct marker_file file = a_file(&a_stat);
	char text[MARKER_TEXT_MAX];
	static const char expected[] =
		"walship-pushed-v1 18446744073709551615 " BOOT " " NAME
		" 1000000 fe00 a77938 6b00ed10.75bcd15 6b00ed11.3ade68b1\n\n";
	size_t len = marker_format(text, &file, "");

	(void) state;
	assert_int_equal(len, sizeof(expected) - 1 + 33);
	assert_memory_equal(text, expected, sizeof(expected) - 1);
	assert_int_equal(text[len - 1], '\n');
}

static void
text_and_back(void **state)
{
	struct marker_file file = a_file(&a_stat);
	char text[MARKER_TEXT_MAX];
	char object[OBJECT_NAME_MAX + 1] = "untouched";
	char longest[OBJECT_NAME_MAX + 2];
	size_t len = marker_format(text, &file, ASIDE);

	(void) state;
	assert_true(marker_parse(text, len, &file, object));
	assert_string_equal(object, ASIDE);
	len = marker_format(text, &file, "");
	assert_true(marker_parse(text, len, &file, object));
	assert_string_equal(object, "");

	memset(longest, 'a', sizeof(longest));
	longest[OBJECT_NAME_MAX + 1] = '\0';
	assert_int_equal(marker_format(text, &file, longest), 0);
	longest[OBJECT_NAME_MAX] = '\0';
	len = marker_format(text, &file, longest);
	assert_true(marker_parse(text, len, &file, object));
	assert_string_equal(object, longest);
}

/* Whatever differs of the file, the cluster or the host, it is another's. */
static void
of_another_file(void **state)
{
	struct marker_file file = a_file(&a_stat);
	struct stat others[7];
	char text[MARKER_TEXT_MAX];
	char object[OBJECT_NAME_MAX + 1] = "untouched";
	size_t len = marker_format(text, &file, "");

	(void) state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		others[i] = a_stat;
	others[0].st_size--;
	others[1].st_dev++;
	others[2].st_ino++;
	others[3].st_mtim.tv_sec++;
	others[4].st_mtim.tv_nsec++;
	others[5].st_ctim.tv_sec--;
	others[6].st_ctim.tv_nsec++;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
	{
		file.stat = &others[i];
		assert_false(marker_parse(text, len, &file, object));
	}
	file = a_file(&a_stat);
	file.system_identifier--;
	assert_false(marker_parse(text, len, &file, object));
	file = a_file(&a_stat);
	file.boot = "2f9a1c1e-58c5-4a26-9d5a-0f0f0f0f0f0e";
	assert_false(marker_parse(text, len, &file, object));
	file = a_file(&a_stat);
	file.name = "000000010000000000000A02";
	assert_false(marker_parse(text, len, &file, object));
	assert_string_equal(object, "untouched");
}

/* Torn, or altered in any bit. */
static void
damaged(void **state)
{
	struct marker_file file = a_file(&a_stat);
	char text[MARKER_TEXT_MAX];
	char object[OBJECT_NAME_MAX + 1];
	size_t len = marker_format(text, &file, ASIDE);

	(void) state;
	for (size_t cut = 0; cut < len; cut++)
	{
		assert_false(marker_parse(text, cut, &file, object));
		assert_false(
			marker_parse(text + cut + 1, len - cut - 1, &file, object));
	}
	for (size_t bit = 0; bit < 8 * len; bit++)
	{
		text[bit / 8] = (char) (text[bit / 8] ^ (1 << bit % 8));
		assert_false(marker_parse(text, len, &file, object));
		text[bit / 8] = (char) (text[bit / 8] ^ (1 << bit % 8));
	}
	text[len] = '\n';
	assert_false(marker_parse(text, len + 1, &file, object));
	assert_true(marker_parse(text, len, &file, object));
}

static int64_t
settles(int64_t ctime_ms, int64_t now_ms)
{
	struct stat st = {
		.st_ctim = {.tv_sec = (time_t) (ctime_ms / 1000),
					.tv_nsec = (long) (ctime_ms % 1000) * 1000000}};
	struct timespec now = {.tv_sec = (time_t) (now_ms / 1000),
						   .tv_nsec = (long) (now_ms % 1000) * 1000000};

	return marker_settles_ms(&st, &now);
}

/* A second change within one tick of the clock must not pass unseen. */
static void
young_files(void **state)
{
	(void) state;
	assert_true(settles(1000001, 1000021) == 0);
	assert_true(settles(1000001, 1000020) == 1);
	assert_true(settles(1000001, 1000001) == 20);
	assert_true(settles(1000999, 1001001) == 18);
	assert_true(settles(1000001, 9000000) == 0);
	/* A file system that counts seconds. */
	assert_true(settles(1000000, 1002999) == 1);
	assert_true(settles(1000000, 1003000) == 0);
	/* A clock that was set back, or is another host's. */
	assert_true(settles(1000001, 900000) > MARKER_SOON_MS);
	assert_true(settles(INT64_C(1) << 52, 5) > MARKER_SOON_MS);
	assert_true(settles(5, INT64_C(1) << 52) == 0);
}

static void
in_the_spool(void **state)
{
	struct marker_file file = a_file(&a_stat);
	char dir[] = "/tmp/test_marker.XXXXXX";
	char object[OBJECT_NAME_MAX + 1];
	char boot[MARKER_BOOT_MAX];
	char again[MARKER_BOOT_MAX];
	struct spool spool = {.fd = -1};

	(void) state;
	assert_false(marker_leave(&spool, &file, ""));
	assert_false(marker_find(&spool, &file, object));
	assert_non_null(mkdtemp(dir));
	spool.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(spool.fd >= 0);
	assert_false(marker_find(&spool, &file, object));
	assert_true(marker_leave(&spool, &file, ASIDE));
	assert_true(marker_find(&spool, &file, object));
	assert_string_equal(object, ASIDE);
	assert_true(marker_leave(&spool, &file, ""));
	assert_true(marker_find(&spool, &file, object));
	assert_string_equal(object, "");

	/* One of a name that leads elsewhere is not followed. */
	spool_remove(&spool, NAME);
	assert_int_equal(symlinkat("elsewhere", spool.fd, NAME), 0);
	assert_false(marker_find(&spool, &file, object));
	spool_remove(&spool, NAME);
	spool_close(&spool);
	assert_int_equal(rmdir(dir), 0);

	assert_true(marker_boot(boot));
	assert_true(marker_boot(again));
	assert_string_equal(boot, again);
	assert_int_equal(strlen(boot), 36);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_text),      cmocka_unit_test(text_and_back),
		cmocka_unit_test(of_another_file), cmocka_unit_test(damaged),
		cmocka_unit_test(young_files),     cmocka_unit_test(in_the_spool),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
