#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/filemap.h"

#define A    "0000000003000028-00000001-20261121T010203Z"
#define B    "0000000004000028-00000001-20261122T010203Z"
#define PAGE 8192
#define PACK ((uint64_t) 1 << FILEMAP_PACK_BITS)

static const char *const names[] = {A, B};

static const char *
name(void *arg, uint32_t source)
{
	(void) arg;
	assert_in_range(source, 0, 1);
	return names[source];
}

/* What a map was decoded to. */
struct seen
{
	size_t nsources;
	char sources[4][BACKUP_ID_MAX];
	size_t count;
	struct filemap_extent extents[4096];
	enum status fail;
};

static enum status
take_source(void *arg, uint32_t source, const char *backup_id, struct err *err)
{
	struct seen *seen = arg;

	(void) err;
	assert_int_equal(source, seen->nsources);
	assert_true(seen->nsources < 4);
	memcpy(seen->sources[seen->nsources++], backup_id, BACKUP_ID_MAX);
	return ST_OK;
}

static enum status
take_extent(void *arg, const struct filemap_extent *extent, struct err *err)
{
	struct seen *seen = arg;

	if (seen->fail != ST_OK)
		return err_set(err, seen->fail, "as told");
	assert_true(seen->count < 4096);
	seen->extents[seen->count++] = *extent;
	return ST_OK;
}

static const struct filemap_handler handler = {take_source, take_extent};
static struct seen seen;

static enum status
decode(const void *data, size_t len, uint64_t length, struct err *err)
{
	memset(&seen, 0, sizeof(seen));
	return filemap_decode(data, len, length, &handler, &seen, err);
}

static void
check_round(const struct filemap_extent *extents, size_t count)
{
	struct filemap_buffer buf = {0};
	uint64_t length = 0;
	struct err err;

	for (size_t i = 0; i < count; i++)
		length += extents[i].length;
	assert_int_equal(
		filemap_encode(extents, count, PAGE, name, NULL, &buf, &err), ST_OK);
	assert_int_equal(decode(buf.data, buf.len, length, &err), ST_OK);
	assert_int_equal(seen.count, count);
	for (size_t i = 0; i < count; i++)
	{
		const struct filemap_extent *e = &seen.extents[i];

		assert_int_equal(e->n, extents[i].n);
		assert_int_equal(e->position, extents[i].position);
		assert_int_equal(e->length, extents[i].length);
		if (extents[i].source == FILEMAP_ZEROS)
			assert_int_equal(e->source, FILEMAP_ZEROS);
		else
			assert_string_equal(seen.sources[e->source],
								names[extents[i].source]);
	}
	/* No shorter or longer map, and no other length, is accepted. */
	assert_int_equal(decode(buf.data, buf.len, length - 1, &err), ST_CORRUPT);
	assert_int_equal(decode(buf.data, buf.len, length + 1, &err), ST_CORRUPT);
	for (size_t len = 0; len < buf.len; len++)
		assert_int_equal(decode(buf.data, len, length, &err), ST_CORRUPT);
	filemap_buffer_free(&buf);
}

/* The bytes that FORMAT.md says. */
static void
test_known(void **state)
{
	static const struct filemap_extent extents[] = {
		{1, 0, 0, PAGE},
		{FILEMAP_ZEROS, 0, 0, (uint64_t) 2 * PAGE},
		{1, 0, PAGE, 100},
		{1, 0, 0, PAGE},
	};
	static const uint8_t expected[] = {
		0x80, 0x40,    /* unit 8192 */
		1,             /* one source */
		4,             /* four extents */
		2,    2,       /* source 1 at 0, a page */
		0,    4,       /* two pages of zeros */
		2,    0xC9, 1, /* where the last one ended, 100 bytes */
		3,    2,       /* a page, somewhere else: */
		0x8F, 0x83, 2, /* 8292 back: -((m + 1) / 2), odd */
	};
	struct filemap_buffer buf = {0};
	struct err err;
	const size_t id = BACKUP_ID_MAX - 1;

	(void) state;
	assert_int_equal(filemap_encode(extents, 4, PAGE, name, NULL, &buf, &err),
					 ST_OK);
	assert_memory_equal(buf.data, expected, 3);
	assert_memory_equal(buf.data + 3, B, id);
	assert_int_equal(buf.len, sizeof(expected) + id);
	assert_memory_equal(buf.data + 3 + id, expected + 3, sizeof(expected) - 3);
	filemap_buffer_free(&buf);
	check_round(extents, 4);
}

static void
test_borders(void **state)
{
	static const struct filemap_extent extents[] = {
		{0, 7, PACK - 1, 1}, /* up to a pack's end, */
		{0, 8, 0, PACK},     /* on in the next, */
		{0, 9, 0, 1},
		{1, UINT32_MAX, PACK - 5, 5}, /* and the last address */
		{0, 0, 0, 3},
		{1, 0, 1, 1},
		{FILEMAP_ZEROS, 0, 0, (uint64_t) 1 << 40},
	};

	(void) state;
	check_round(extents, sizeof(extents) / sizeof(extents[0]));
}

static void
test_random(void **state)
{
	static struct filemap_extent extents[3000];

	(void) state;
	srandom(5);
	for (int turn = 0; turn < 3; turn++)
	{
		for (size_t i = 0; i < 3000; i++)
		{
			uint32_t source = (uint32_t) random() % 3;
			uint32_t position = (uint32_t) (random() % 2048) * PAGE;

			extents[i] = (struct filemap_extent){
				source, (uint32_t) random() % 9, position, PAGE};
			if (source == 2)
				extents[i] =
					(struct filemap_extent){FILEMAP_ZEROS, 0, 0, PAGE};
		}
		check_round(extents, turn == 0 ? 1 : turn == 1 ? 300 : 100);
	}
}

static void
test_not_encoded(void **state)
{
	static const struct filemap_extent bad[] = {
		{0, 0, 0, 0},
		{0, 0, PACK, 1},
		{0, 0, 1, PACK},
		{FILEMAP_ZEROS, 1, 0, 1},
		{FILEMAP_ZEROS, 0, 1, 1},
		{FILEMAP_ZEROS, 0, 0, UINT64_MAX},
	};
	struct filemap_buffer buf = {0};
	struct err err;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			filemap_encode(&bad[i], 1, PAGE, name, NULL, &buf, &err),
			ST_CORRUPT);
	filemap_buffer_free(&buf);
}

/* A map by hand: unit 1, one source, and then these bytes. */
static enum status
decode_tail(const uint8_t *tail, size_t len, uint64_t length)
{
	uint8_t data[256] = {1, 1};
	struct err err;

	memcpy(data + 2, A, BACKUP_ID_MAX - 1);
	memcpy(data + 2 + BACKUP_ID_MAX - 1, tail, len);
	return decode(data, 2 + BACKUP_ID_MAX - 1 + len, length, &err);
}

#define TAIL(...) \
	(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static void
test_not_decoded(void **state)
{
	struct err err;

	(void) state;
	assert_int_equal(decode_tail(TAIL(1, 2, 2), 1), ST_OK);
	assert_int_equal(decode_tail(TAIL(1, 2, 3), 1), ST_OK);
	assert_int_equal(decode_tail(TAIL(1, 2, 0), 0), ST_CORRUPT); /* empty */
	assert_int_equal(decode_tail(TAIL(1, 1, 2), 1), ST_CORRUPT);
	assert_int_equal(decode_tail(TAIL(1, 4, 2), 1), ST_CORRUPT);
	assert_int_equal(decode_tail(TAIL(1, 3, 2, 3), 1), ST_CORRUPT); /* -1 */
	assert_int_equal(decode_tail(TAIL(1, 3, 2, 4), 1), ST_OK);
	assert_int_equal(decode_tail(TAIL(1, 2, 2, 0), 1), ST_CORRUPT);
	assert_int_equal(decode_tail(TAIL(2, 2, 2), 1), ST_CORRUPT);
	assert_int_equal(decode_tail(TAIL(0x81, 0, 2, 2), 1), ST_CORRUPT);
	assert_int_equal(decode_tail(TAIL(1, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
									  0xFF, 0xFF, 0xFF, 1),
								 1),
					 ST_CORRUPT);
	/* Units and sources that are none. */
	assert_int_equal(decode("\0\0\1\0\2", 5, 1, &err), ST_CORRUPT);
	assert_int_equal(decode("\x81\x80\x04\0\1\0\2", 7, 1, &err), ST_CORRUPT);
	assert_int_equal(decode("\1\1x\1\0\2", 6, 1, &err), ST_CORRUPT);
	assert_int_equal(decode("\1\0\1\0\2", 5, 1, &err), ST_OK);
	assert_int_equal(decode("\1\0\0", 3, 0, &err), ST_OK);
}

static void
test_handler_fails(void **state)
{
	struct err err;

	(void) state;
	memset(&seen, 0, sizeof(seen));
	seen.fail = ST_IO;
	assert_int_equal(filemap_decode((const uint8_t *) "\1\0\1\0\2", 5, 1,
									&handler, &seen, &err),
					 ST_IO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_borders),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_not_encoded),
		cmocka_unit_test(test_not_decoded),
		cmocka_unit_test(test_handler_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
