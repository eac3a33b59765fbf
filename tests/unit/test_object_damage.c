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

/* The header's checksum is no secret: whoever changes a header mends it. */
static void
mend(struct fixture *f)
{
	size_t len = f->obj.header_len;

	assert_int_equal(
		crypto_generichash(f->data + len - 16, 16, f->data, len - 16, NULL, 0),
		0);
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
		struct err err;

		make(&f, &wal_id, sealed);
		for (size_t len = 0; len < f.len; len++)
			refused(f.data, len, sealed);
		assert_int_equal(
			try_open(&wal_id, f.data, f.len - 1, ring_of(sealed), &err),
			ST_CORRUPT);
		assert_non_null(strstr(err.message, "it is truncated"));
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

/* What parsing says of a header that lies in memory of just that length. */
static enum status
parse_alone(const uint8_t *header, size_t len, int sealed, struct err *err)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct object obj;
	enum status status;

	assert_non_null(copy);
	memcpy(copy, header, len);
	status = object_parse(&obj, &wal_id, copy, len, ring_of(sealed), err);
	free(copy);
	return status;
}

static void
test_cut_header(void **state)
{
	struct fixture f;
	struct err err;

	(void) state;
	make(&f, &wal_id, 1);
	for (size_t len = 0; len < f.at[0]; len++)
	{
		assert_int_equal(parse_alone(f.data, len, 1, &err), ST_CORRUPT);
		assert_non_null(strstr(err.message, "ends within its header"));
	}
	assert_int_equal(parse_alone(f.data, f.at[0], 1, &err), ST_OK);

	/* Lengths that no header has. */
	for (uint32_t follows = 0; follows < 300; follows++)
	{
		if (follows >= 75 && follows <= 274)
			continue;
		put_le32(f.data + 4, follows);
		assert_int_equal(parse_alone(f.data, 8 + follows, 1, &err),
						 ST_CORRUPT);
		assert_non_null(strstr(err.message, "does not begin with a header"));
	}
}

/* A header that is wrong, with a right checksum, for the reason given. */
static void
test_forged_header(void **state)
{
	static const struct
	{
		size_t at;
		uint8_t value;
		const char *said;
	} changes[] = {
		{0, 0x58, "does not begin with a header"},
		{8, 'W', "does not begin with a header"},
		{15, 2, "its format version is 2"},
		{16, 0, "malformed"},
		{16, 8, "malformed"},
		{16, 6, "it is a mark, not a WAL file"},
		{17, 2, "malformed"},
		{18, 1, "malformed"},
		{19, 1, "malformed"},
		{20, 0, "malformed"},
		{22, 0x40, "malformed"},
		{24, 0, "it was stored as"},
		{64, 0, "malformed"},
		{64, 36, "malformed"},
		{65, 1, "malformed"},
		{66, 'W', "it was stored as"},
		{66, 0, "malformed"},
		{66, ' ', "malformed"},
		{70, '\n', "malformed"},
		{102, 0xff, "malformed"},
	};

	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
		for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
		{
			struct fixture f;
			struct err err;

			make(&f, &wal_id, sealed);
			f.data[changes[i].at] = changes[i].value;
			mend(&f);
			assert_int_equal(parse_alone(f.data, f.at[0], sealed, &err),
							 ST_CORRUPT);
			if (strstr(err.message, changes[i].said) == NULL)
				fail_msg("byte %zu: %s", changes[i].at, err.message);
		}
}

/* What a header may say, but this object was not made with. */
static void
test_forged_values(void **state)
{
	static const struct
	{
		size_t at;
		uint8_t flip;
	} changes[] = {
		{20, 1},                         /* frame size 17 */
		{20, 0x18},                      /* 8 */
		{22, 0x3f},                      /* almost 4 MiB */
		{32, 1},    {32, 6},    {39, 1}, /* length of the content */
		{48, 1},    {63, 0x80},          /* salt */
	};

	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
		for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
		{
			struct fixture f;

			make(&f, &wal_id, sealed);
			f.data[changes[i].at] ^= changes[i].flip;
			mend(&f);
			refused(f.data, f.len, sealed);
		}
}

static void
test_forged_key(void **state)
{
	struct fixture f;
	struct err err;

	(void) state;
	make(&f, &wal_id, 0);
	f.data[40] = 1;
	mend(&f);
	assert_int_equal(parse_alone(f.data, f.at[0], 0, &err), ST_CORRUPT);
	f.data[40] = 0;
	f.data[17] = 1;
	mend(&f);
	assert_int_equal(parse_alone(f.data, f.at[0], 0, &err), ST_AUTH);
	assert_non_null(strstr(err.message, "no key is configured"));

	make(&f, &wal_id, 1);
	f.data[40] ^= 1;
	mend(&f);
	assert_int_equal(parse_alone(f.data, f.at[0], 1, &err), ST_AUTH);
	assert_non_null(strstr(err.message, "is not configured"));
	memcpy(f.data + 40, f.obj.key_id, sizeof f.obj.key_id);
	f.data[17] = 0;
	mend(&f);
	assert_int_equal(parse_alone(f.data, f.at[0], 1, &err), ST_CORRUPT);
	assert_non_null(strstr(err.message, "it is not encrypted"));
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

static enum status
count_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	(void) data;
	(void) err;
	*(size_t *) arg += len;
	return ST_OK;
}

/* Genuine frames that are together longer or shorter than the header says. */
static void
test_other_length(void **state)
{
	static const struct
	{
		uint64_t said;
		size_t lens[3]; /* of the frames */
	} cases[] = {
		{20, {16, 16, 0}}, {40, {16, 16, 0}}, {17, {16, 16, 16}},
		{1, {16, 0, 0}},   {17, {16, 0, 0}},  {16, {16, 16, 0}},
	};

	(void) state;
	for (int sealed = 0; sealed < 2; sealed++)
		for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		{
			struct object_codec *codec;
			struct object_reader *reader;
			struct object obj;
			uint8_t data[1024];
			size_t len, delivered = 0;
			enum status status;
			struct err err;

			assert_int_equal(object_codec_new(&codec, &err), ST_OK);
			assert_int_equal(object_begin(&obj, &wal_id, cases[i].said, 16,
										  ring_of(sealed), &err),
							 ST_OK);
			memcpy(data, obj.header, len = obj.header_len);
			for (uint32_t n = 0; n < 3 && cases[i].lens[n] > 0; n++)
			{
				bool final = n == 2 || cases[i].lens[n + 1] == 0;
				size_t stored_len;

				assert_int_equal(object_seal_frame(&obj, codec, n, final,
												   content, cases[i].lens[n],
												   data + len, &stored_len,
												   &err),
								 ST_OK);
				len += stored_len;
			}
			refused(data, len, sealed);
			assert_int_equal(object_reader_new(&wal_id, ring_of(sealed),
											   count_bytes, &delivered,
											   &reader, &err),
							 ST_OK);
			status = object_reader_feed(reader, data, len, &err);
			if (status == ST_OK)
				status = object_reader_end(reader, &err);
			assert_int_equal(status, ST_CORRUPT);
			assert_true(delivered <= cases[i].said);
			object_reader_free(reader);
			object_codec_free(codec);
		}
}

/* An empty frame is the only one of an object without content. */
static void
test_empty_frame(void **state)
{
	struct object_codec *codec;
	struct fixture f;
	uint8_t plain[FRAME_SIZE];
	size_t len;
	struct err err;

	(void) state;
	assert_int_equal(object_codec_new(&codec, &err), ST_OK);
	make_fixture(&f, &wal_id, "", 0, FRAME_SIZE, ring_none);
	for (uint32_t number = 0; number < 2; number++)
		for (int final = 0; final < 2; final++)
		{
			bool good = number == 0 && final;

			put_le32(f.data + f.at[0] + PLAIN_NUMBER, number);
			put_le32(f.data + f.at[0] + PLAIN_FINAL, (uint32_t) final);
			assert_int_equal(object_open_frame(&f.obj, codec, number, final,
											   f.data + f.at[0],
											   f.at[1] - f.at[0], plain, &len,
											   &err),
							 good ? ST_OK : ST_CORRUPT);
		}
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
			if (tries[i].shorter > 0)
				assert_non_null(strstr(err.message, "bytes long"));
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
		cmocka_unit_test(test_cut_header),
		cmocka_unit_test(test_forged_header),
		cmocka_unit_test(test_forged_values),
		cmocka_unit_test(test_forged_key),
		cmocka_unit_test(test_huge_length),
		cmocka_unit_test(test_other_length),
		cmocka_unit_test(test_empty_frame),
		cmocka_unit_test(test_frame_length),
		cmocka_unit_test(test_open_frame_misuse),
	};

	return cmocka_run_group_tests(tests, make_rings, free_rings);
}
