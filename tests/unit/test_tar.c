#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/tar.h"

/* What the parser told, as text: "F name size mode mtime", "+len", ".". */
struct seen
{
	char text[4096];
	size_t len;
	size_t data;
	enum status fail;
};

static enum status
seen_entry(void *arg, const struct tar_entry *e, struct err *err)
{
	struct seen *seen = arg;
	static const char letters[] = {'F', 'D', 'L'};

	if (seen->fail != ST_OK)
		return err_set(err, seen->fail, "as told");
	seen->len += (size_t) snprintf(
		seen->text + seen->len, sizeof(seen->text) - seen->len,
		"%c %s [%s] %llu %o %lld\n", letters[e->type], e->name, e->link,
		(unsigned long long) e->size, e->mode, (long long) e->mtime);
	return ST_OK;
}

static enum status
seen_data(void *arg, const void *data, size_t len, struct err *err)
{
	struct seen *seen = arg;

	(void) data;
	(void) err;
	seen->data += len;
	return ST_OK;
}

static enum status
seen_end(void *arg, struct err *err)
{
	struct seen *seen = arg;

	(void) err;
	seen->len += (size_t) snprintf(seen->text + seen->len,
								   sizeof(seen->text) - seen->len, "end %zu\n",
								   seen->data);
	seen->data = 0;
	return ST_OK;
}

static const struct tar_handler handler = {seen_entry, seen_data, seen_end};

static void
seal(uint8_t *block)
{
	unsigned sum = 0;

	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += block[i];
	(void) snprintf((char *) block + 148, 8, "%06o", sum);
	block[155] = ' ';
}

/* A text field, whose rest stays zero. */
static void
put(uint8_t *at, const char *text)
{
	while (*text != '\0')
		*at++ = (uint8_t) *text++;
}

static void
header(uint8_t *block, char type, const char *name, const char *link,
	   unsigned long long size)
{
	memset(block, 0, TAR_BLOCK);
	put(block, name);
	(void) snprintf((char *) block + 100, 8, "%07o", 0600U);
	(void) snprintf((char *) block + 108, 8, "%07o", 1000U);
	(void) snprintf((char *) block + 116, 8, "%07o", 1000U);
	(void) snprintf((char *) block + 124, 12, "%011llo", size);
	(void) snprintf((char *) block + 136, 12, "%011llo", 1700000000ULL);
	block[156] = (uint8_t) type;
	put(block + 157, link);
	put(block + 257, "ustar");
	put(block + 263, "00");
	seal(block);
}

static enum status
parse(const uint8_t *data, size_t len, size_t piece, struct seen *seen,
	  struct err *err)
{
	struct tar_parser tar;
	enum status status = ST_OK;

	memset(seen, 0, sizeof(*seen));
	tar_init(&tar, &handler, seen);
	for (size_t at = 0; at < len && status == ST_OK; at += piece)
		status = tar_feed(&tar, data + at, len - at < piece ? len - at : piece,
						  err);
	if (status == ST_OK)
		status = tar_finish(&tar, err);
	return status;
}

static void
test_archive_in_any_pieces(void **state)
{
	static const char expected[] =
		"D base [] 0 600 1700000000\n"
		"F base/1 [] 700 600 1700000000\nend 700\n"
		"F empty [] 0 600 1700000000\nend 0\n"
		"L pg_tblspc/16384 [/srv/ts] 0 600 1700000000\n"
		"F full [] 512 600 1700000000\nend 512\n";
	uint8_t data[TAR_BLOCK * 10] = {0};
	static const size_t pieces[] = {1, 7, 511, 512, 513, 4096, sizeof(data)};

	(void) state;
	header(data, '5', "base/", "", 0);
	header(data + TAR_BLOCK, '0', "base/1", "", 700);
	header(data + TAR_BLOCK * 4, '0', "empty", "", 0);
	header(data + TAR_BLOCK * 5, '2', "pg_tblspc/16384/", "/srv/ts", 0);
	header(data + TAR_BLOCK * 6, '0', "./full", "", 512);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		struct seen seen;
		struct err err;

		assert_int_equal(parse(data, sizeof(data), pieces[i], &seen, &err),
						 ST_OK);
		assert_string_equal(seen.text, expected);
	}
}

static void
test_base_256_size(void **state)
{
	uint8_t data[TAR_BLOCK];
	struct tar_parser tar;
	struct seen seen = {0};
	struct err err;

	(void) state;
	header(data, '0', "big", "", 0);
	memset(data + 124, 0, 12);
	data[124] = 0x80;
	data[131] = 3; /* 3 * 2^32 + 9 */
	data[135] = 9;
	seal(data);
	tar_init(&tar, &handler, &seen);
	assert_int_equal(tar_feed(&tar, data, sizeof(data), &err), ST_OK);
	assert_string_equal(seen.text, "F big [] 12884901897 600 1700000000\n");
	assert_int_equal(tar.data_left, 12884901897ULL);
	assert_int_equal(tar_finish(&tar, &err), ST_CORRUPT);
}

static void
test_name_of_full_length(void **state)
{
	uint8_t data[TAR_BLOCK * 3] = {0};
	char name[101];
	struct seen seen;
	struct err err;

	(void) state;
	memset(name, 'n', 100);
	name[100] = '\0';
	header(data, '0', name, "", 0);
	assert_int_equal(parse(data, sizeof(data), 512, &seen, &err), ST_OK);
	assert_memory_equal(seen.text + 2, name, 100);
	assert_int_equal(seen.text[102], ' ');
}

static void
refuse(char type, const char *name, unsigned long long size)
{
	uint8_t data[TAR_BLOCK * 4] = {0};
	struct seen seen;
	struct err err;

	header(data, type, name, "", size);
	assert_int_equal(parse(data, sizeof(data), 512, &seen, &err), ST_CORRUPT);
	assert_int_equal(seen.len, 0);
}

static void
test_unsafe_entries_refused(void **state)
{
	static const char *const names[] = {
		"/etc/passwd", "../x", "a/../b", "a/..",  "..", ".",
		"././a",       "a//b", "",       "a/./b", "a/"};

	(void) state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		refuse('0', names[i], 0);
	refuse('5', "/", 0);
	refuse('5', "a//", 0);
	refuse('5', "a/", 512);
	refuse('2', "a/", 512);
	for (int type = 0; type < 256; type++)
	{
		if (type != '0' && type != '2' && type != '5')
			refuse((char) type, "name", 0);
	}
}

static void
test_damage_refused(void **state)
{
	uint8_t data[TAR_BLOCK * 4] = {0};
	struct seen seen;
	struct err err;

	(void) state;
	header(data, '0', "name", "", 0);
	/* Any flipped bit; the checksum itself may be written in several ways. */
	for (size_t bit = 0; bit < TAR_BLOCK * 8; bit++)
	{
		if (bit / 8 >= 148 && bit / 8 < 156)
			continue;
		data[bit / 8] ^= (uint8_t) (1U << (bit % 8));
		assert_int_not_equal(parse(data, TAR_BLOCK * 3, 512, &seen, &err),
							 ST_OK);
		data[bit / 8] ^= (uint8_t) (1U << (bit % 8));
	}
	assert_int_equal(parse(data, TAR_BLOCK * 3, 512, &seen, &err), ST_OK);
	assert_int_equal(parse(data, TAR_BLOCK * 2, 512, &seen, &err), ST_CORRUPT);
	assert_int_equal(parse(data, TAR_BLOCK * 3 - 1, 512, &seen, &err),
					 ST_CORRUPT);
	data[TAR_BLOCK * 4 - 1] = 1;
	assert_int_equal(parse(data, TAR_BLOCK * 4, 512, &seen, &err), ST_CORRUPT);
	memset(data, 0, sizeof(data));
	header(data + TAR_BLOCK, '0', "late", "", 0);
	assert_int_equal(parse(data, sizeof(data), 512, &seen, &err), ST_CORRUPT);
}

static void
test_not_plain_ustar_refused(void **state)
{
	uint8_t data[TAR_BLOCK * 3] = {0};
	struct seen seen;
	struct err err;

	(void) state;
	header(data, '0', "name", "", 0);
	put(data + 345, "prefix");
	seal(data);
	assert_int_equal(parse(data, sizeof(data), 512, &seen, &err), ST_CORRUPT);
	header(data, '0', "name", "", 0);
	put(data + 257, "ustar  ");
	seal(data);
	assert_int_equal(parse(data, sizeof(data), 512, &seen, &err), ST_CORRUPT);
	header(data, '0', "name", "", 0);
	memset(data + 124, 0xFF, 12);
	seal(data);
	assert_int_equal(parse(data, sizeof(data), 512, &seen, &err), ST_CORRUPT);
	header(data, '0', "name", "", 0);
	put(data + 124, "0000000008x");
	seal(data);
	assert_int_equal(parse(data, sizeof(data), 512, &seen, &err), ST_CORRUPT);
}

static void
test_handler_ends_parse(void **state)
{
	uint8_t data[TAR_BLOCK * 3] = {0};
	struct tar_parser tar;
	struct seen seen = {.fail = ST_CANCELLED};
	struct err err;

	(void) state;
	header(data, '0', "name", "", 0);
	tar_init(&tar, &handler, &seen);
	assert_int_equal(tar_feed(&tar, data, sizeof(data), &err), ST_CANCELLED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_archive_in_any_pieces),
		cmocka_unit_test(test_base_256_size),
		cmocka_unit_test(test_name_of_full_length),
		cmocka_unit_test(test_unsafe_entries_refused),
		cmocka_unit_test(test_damage_refused),
		cmocka_unit_test(test_not_plain_ustar_refused),
		cmocka_unit_test(test_handler_ends_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
