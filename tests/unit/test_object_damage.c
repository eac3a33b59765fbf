/*
 * test_object_damage.c - stored objects that are not what they should be
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>

#include "common/bytes.h"
#include "common/object_internal.h"
#include "tests/unit/object_fixture.h"

static const char content[] = "0123456789abcdefghijklmnopqrstuvwxyz";
#define CONTENT_LEN 36
#define FRAME_SIZE  16

static void
make(struct fixture *f, const struct object_id *id, int sealed)
{
	make_fixture(f, id, content, CONTENT_LEN, FRAME_SIZE, ring_of(sealed));
}

static void
refused(const uint8_t *data, size_t len, int sealed)
{
	struct err err;

	assert_int_equal(try_open(&wal_id, data, len, ring_of(sealed), &err),
					 ST_CORRUPT);
}

static void
test_every_bit(void **state)
{
	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
	{
		struct fixture f;
		struct err err;

		make(&f, &wal_id, sealed);
		assert_int_equal(
			try_open(&wal_id, f.data, f.len, ring_of(sealed), &err), ST_OK);
		for (size_t bit = 0; bit < 8 * f.len; bit++)
		{
			f.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
			assert_int_equal(
				try_open(&wal_id, f.data, f.len, ring_of(sealed), &err),
				ST_CORRUPT);
			f.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
		}
	}
}

static void
test_every_length(void **state)
{
	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
	{
		struct fixture f;

		make(&f, &wal_id, sealed);
		for (size_t len = 0; len < f.len; len++)
			refused(f.data, len, sealed);
		refused(f.data, f.len + 1, sealed);
		/* One whole frame more: the last again, or the header. */
		memcpy(f.data + f.len, f.data + f.at[2], f.at[3] - f.at[2]);
		refused(f.data, f.len + f.at[3] - f.at[2], sealed);
		memcpy(f.data + f.len, f.data, f.at[0]);
		refused(f.data, f.len + f.at[0], sealed);
	}
}

/* Frames of f in another order: each digit of plan is a frame's number. */
static size_t
arrange(const struct fixture *f, const char *plan, uint8_t *out)
{
	size_t len = f->at[0];

	memcpy(out, f->data, len);
	for (; *plan != '\0'; plan++)
	{
		size_t n = (size_t) (*plan - '0');

		memcpy(out + len, f->data + f->at[n], f->at[n + 1] - f->at[n]);
		len += f->at[n + 1] - f->at[n];
	}
	return len;
}

static void
test_every_order(void **state)
{
	static const char *const plans[] = {
		"",    "0",   "1",   "2",   "01",   "02",   "12",   "10",   "20",
		"21",  "021", "102", "120", "201",  "210",  "0012", "0112", "0122",
		"000", "111", "222", "011", "0121", "2012", "0120", "002",
	};
	uint8_t out[4096];

	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
	{
		struct fixture f;
		struct err err;

		make(&f, &wal_id, sealed);
		assert_int_equal(try_open(&wal_id, out, arrange(&f, "012", out),
								  ring_of(sealed), &err),
						 ST_OK);
		for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++)
			refused(out, arrange(&f, plans[i], out), sealed);
	}
}

/* Two objects that differ in nothing but their salts, and in one thing. */
static void
test_parts_of_another(void **state)
{
	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
	{
		struct fixture a, b;

		make(&a, &wal_id, sealed);
		make(&b, &wal_id, sealed);
		assert_int_equal(a.len, b.len);
		for (size_t n = 0; n < a.frames; n++)
		{
			uint8_t mixed[4096];

			memcpy(mixed, a.data, a.len);
			memcpy(mixed + a.at[n], b.data + b.at[n], b.at[n + 1] - b.at[n]);
			refused(mixed, a.len, sealed);
		}
		memcpy(a.data, b.data, b.at[0]);
		refused(a.data, a.len, sealed);
	}
}

static void
test_identity(void **state)
{
	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
	{
		struct object_id id = wal_id;
		struct fixture f;
		struct err err;

		make(&f, &wal_id, sealed);
		id.name = "wal/00000001/000000010000000000000002";
		assert_int_equal(try_open(&id, f.data, f.len, ring_of(sealed), &err),
						 ST_CORRUPT);
		assert_non_null(strstr(err.message, wal_id.name));
		id = wal_id;
		id.system_identifier++;
		assert_int_equal(try_open(&id, f.data, f.len, ring_of(sealed), &err),
						 ST_CORRUPT);
		id = wal_id;
		id.kind = OBJECT_MARK;
		assert_int_equal(try_open(&id, f.data, f.len, ring_of(sealed), &err),
						 ST_CORRUPT);
		assert_non_null(strstr(err.message, "a WAL file, not a mark"));
		id = wal_id;
		id.name = NULL;
		assert_int_equal(try_open(&id, f.data, f.len, ring_of(sealed), &err),
						 ST_OK);
	}
}

static void
test_keys(void **state)
{
	(void) state;
	for (enum object_kind kind = OBJECT_WAL; kind <= OBJECT_REPORT; kind++)
	{
		struct object_id id = {kind, SYSTEM, "some/name"};
		struct fixture f;
		struct err err;

		make(&f, &id, 0);
		assert_int_equal(try_open(&id, f.data, f.len, ring_a, &err),
						 ST_CORRUPT);
		assert_non_null(strstr(err.message, "not encrypted"));
		make(&f, &id, 1);
		assert_int_equal(try_open(&id, f.data, f.len, ring_none, &err),
						 ST_AUTH);
		assert_int_equal(try_open(&id, f.data, f.len, ring_b, &err), ST_AUTH);
		assert_non_null(strstr(err.message, "c88881365555b10c"));
		assert_int_equal(try_open(&id, f.data, f.len, ring_ba, &err), ST_OK);
	}
}

/* The header's checksum is no secret: whoever changes a header mends it. */
static void
mend(struct fixture *f)
{
	size_t len = f->obj.header_len;

	assert_int_equal(
		crypto_generichash(f->data + len - 16, 16, f->data, len - 16, NULL, 0),
		0);
}

/* A header that is wrong, with a right checksum, is not believed. */
static void
test_forged_header(void **state)
{
	static const struct
	{
		size_t at;
		uint8_t value;
	} changes[] = {
		{4, 0xff},  {8, 'W'},  {15, 2},        {16, 0},  {16, 2},   {16, 8},
		{17, 2},    {17, 1},   {17, 0},        {18, 1},  {20, 0},   {20, 15},
		{22, 0xff}, {24, 0},   {32, 35},       {32, 37}, {39, 1},   {40, 1},
		{48, 0},    {64, 200}, {65, 1},        {66, 0},  {66, 'W'}, {70, '\n'},
		{64, 0},    {64, 36},  {66 + 36, '2'}, {20, 17}, {20, 255},
	};

	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
		for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
		{
			struct fixture f;
			struct err err;
			enum status status;

			make(&f, &wal_id, sealed);
			if (f.data[changes[i].at] == changes[i].value)
				continue;
			f.data[changes[i].at] = changes[i].value;
			mend(&f);
			status = try_open(&wal_id, f.data, f.len, ring_of(sealed), &err);
			assert_true(status == ST_CORRUPT ||
						(status == ST_AUTH && changes[i].at == 40) ||
						(status == ST_AUTH && changes[i].at == 17));
		}
}

/* A length that no memory holds is not believed either. */
static void
test_huge_length(void **state)
{
	struct object_id id = wal_id;
	struct object_codec *codec;
	struct object obj;
	uint8_t data[4096];
	size_t len;
	struct err err;

	(void) state;
	assert_int_equal(object_codec_new(&codec, &err), ST_OK);
	assert_int_equal(
		object_begin(&obj, &id, (uint64_t) 1 << 40, 1 << 20, ring_none, &err),
		ST_OK);
	memcpy(data, obj.header, obj.header_len);
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(object_seal_frame(&obj, codec, 0, false, content, 36,
										   data + obj.header_len, &len, &err),
						 ST_OK);
		data[obj.header_len + len] = 0x5d;
	}
	assert_int_equal(
		try_open(&id, data, obj.header_len + len + 1, ring_none, &err),
		ST_CORRUPT);
	object_codec_free(codec);
}

/* Lengths of frames that would make a reader allocate or wait. */
static void
test_frame_length(void **state)
{
	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
	{
		size_t at = sealed ? 4 : 16;
		struct fixture f;
		struct err err;
		size_t len = 1;

		make(&f, &wal_id, sealed);
		assert_int_equal(
			object_frame_length(&f.obj, f.data + f.at[0], 7, &len, &err),
			ST_OK);
		assert_int_equal(len, 0);
		put_le32(f.data + f.at[0] + at, 0xffffffff);
		assert_int_equal(
			object_frame_length(&f.obj, f.data + f.at[0], 28, &len, &err),
			ST_CORRUPT);
		put_le32(f.data + f.at[0] + at, sealed ? 26 : 10);
		assert_int_equal(
			object_frame_length(&f.obj, f.data + f.at[0], 28, &len, &err),
			ST_CORRUPT);
		assert_int_equal(object_frame_length(&f.obj, f.data, 28, &len, &err),
						 ST_CORRUPT);
	}
}

static void
test_open_frame_misuse(void **state)
{
	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
	{
		struct object_codec *codec;
		struct fixture f;
		uint8_t out[FRAME_SIZE];
		struct err err;
		size_t len;
		const struct
		{
			uint32_t number;
			bool final;
			size_t shorter;
		} tries[] = {
			{1, false, 0}, {0, true, 0}, {0, false, 1}, {0, false, 999}};

		make(&f, &wal_id, sealed);
		assert_int_equal(object_codec_new(&codec, &err), ST_OK);
		for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++)
		{
			size_t stored_len = f.at[1] - f.at[0];

			stored_len -=
				tries[i].shorter > stored_len ? stored_len : tries[i].shorter;
			assert_int_equal(object_open_frame(&f.obj, codec, tries[i].number,
											   tries[i].final,
											   f.data + f.at[0], stored_len,
											   out, &len, &err),
							 ST_CORRUPT);
		}
		object_codec_free(codec);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_every_order),
		cmocka_unit_test(test_parts_of_another),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_forged_header),
		cmocka_unit_test(test_huge_length),
		cmocka_unit_test(test_frame_length),
		cmocka_unit_test(test_open_frame_misuse),
	};

	return cmocka_run_group_tests(tests, make_rings, free_rings);
}
