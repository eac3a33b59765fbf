/*
 * test_object.c - stored objects that are whole
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <lz4frame.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/object_internal.h"
#include "tests/unit/object_fixture.h"

struct sink
{
	uint8_t *data;
	size_t len;
	size_t room;
	enum status answer;
};

static enum status
collect(void *arg, const void *data, size_t len, struct err *err)
{
	struct sink *s = arg;

	if (s->answer != ST_OK)
		return err_set(err, s->answer, "the sink's own words");
	assert_true(len > 0 && len <= s->room - s->len);
	memcpy(s->data + s->len, data, len);
	s->len += len;
	return ST_OK;
}

static struct sink
new_sink(size_t room)
{
	struct sink s = {.data = malloc(room + 1), .room = room};

	assert_non_null(s.data);
	return s;
}

static void
round_trip(size_t plain_len, size_t piece, const struct keyring *ring)
{
	uint8_t *plain = make_content(plain_len);
	struct sink sink = new_sink(plain_len);
	struct object_reader *reader;
	struct object_buffer buf;
	struct err err;

	assert_int_equal(
		object_seal_bytes(&wal_id, plain, plain_len, ring, &buf, &err), ST_OK);
	assert_true(buf.len <= object_bound(plain_len, OBJECT_FRAME_SIZE));
	assert_int_equal(
		object_reader_new(&wal_id, ring, collect, &sink, &reader, &err),
		ST_OK);
	assert_null(object_reader_object(reader));
	for (size_t at = 0; at < buf.len; at += piece)
	{
		size_t n = piece < buf.len - at ? piece : buf.len - at;

		assert_int_equal(object_reader_feed(reader, buf.data + at, n, &err),
						 ST_OK);
	}
	assert_int_equal(object_reader_end(reader, &err), ST_OK);
	assert_int_equal(object_reader_end(reader, &err), ST_OK);
	assert_int_equal(sink.len, plain_len);
	assert_memory_equal(sink.data, plain, plain_len);
	assert_int_equal(object_reader_object(reader)->plain_len, plain_len);
	assert_string_equal(object_reader_object(reader)->name, wal_id.name);
	assert_int_equal(object_reader_feed(reader, "x", 1, &err), ST_CORRUPT);
	object_reader_free(reader);
	object_buffer_free(&buf);
	free(sink.data);
	free(plain);
}

static void
test_round_trip(void **state)
{
	static const size_t lens[] = {0,
								  1,
								  65536,
								  65537,
								  OBJECT_FRAME_SIZE - 1,
								  OBJECT_FRAME_SIZE,
								  OBJECT_FRAME_SIZE + 1,
								  3 * OBJECT_FRAME_SIZE + 77};
	static const size_t pieces[] = {1, 28, 1021, 65536, SIZE_MAX / 2};

	(void) state;
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
		for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++)
		{
			if (pieces[k] == 1 && lens[i] > 65536)
				continue;
			round_trip(lens[i], pieces[k], ring_a);
			round_trip(lens[i], pieces[k], ring_none);
		}
}

static void
test_open_bytes(void **state)
{
	uint8_t *plain = make_content(100000);
	struct object_buffer buf;
	uint8_t *out = NULL;
	size_t len = 0;
	struct err err;

	(void) state;
	assert_int_equal(
		object_seal_bytes(&wal_id, plain, 100000, ring_a, &buf, &err), ST_OK);
	assert_int_equal(object_open_bytes(&wal_id, buf.data, buf.len, ring_ba,
									   &out, &len, &err),
					 ST_OK);
	assert_int_equal(len, 100000);
	assert_memory_equal(out, plain, len);
	free(out);
	object_buffer_free(&buf);

	/* With two keys the first one seals. */
	assert_int_equal(object_seal_bytes(&wal_id, "", 0, ring_ba, &buf, &err),
					 ST_OK);
	assert_int_equal(object_open_bytes(&wal_id, buf.data, buf.len, ring_b,
									   &out, &len, &err),
					 ST_OK);
	assert_int_equal(len, 0);
	free(out);
	object_buffer_free(&buf);
	free(plain);
}

/* Every offset that FORMAT.md gives. */
static void
test_header(void **state)
{
	struct object_id id = {OBJECT_PACK, 0x1122334455667788, "backup/x/pack/0"};
	struct object sealed, plain, again;
	struct err err;
	const uint8_t *h = sealed.header;

	(void) state;
	assert_int_equal(
		object_begin(&sealed, &id, 0x010203040506, 4096, ring_a, &err), ST_OK);
	assert_int_equal(sealed.header_len, 82 + 15);
	assert_memory_equal(h, "\x57\x2a\x4d\x18\x59\0\0\0walship\1\3\1\0\0", 20);
	assert_memory_equal(h + 20, "\0\x10\0\0\x88\x77\x66\x55\x44\x33\x22\x11",
						12);
	assert_memory_equal(h + 32, "\6\5\4\3\2\1\0\0", 8);
	assert_memory_equal(h + 40, "\xc8\x88\x81\x36\x55\x55\xb1\x0c", 8);
	assert_memory_equal(h + 64, "\x0f\0backup/x/pack/0", 17);

	assert_int_equal(
		object_begin(&plain, &id, 0, OBJECT_FRAME_SIZE, ring_none, &err),
		ST_OK);
	assert_int_equal(plain.header[17], 0);
	assert_int_equal(get_le64(plain.header + 40), 0);
	assert_memory_not_equal(plain.header + 48, h + 48, 16);

	assert_int_equal(
		object_parse(&again, &id, h, sealed.header_len, ring_a, &err), ST_OK);
	assert_memory_equal(&again, &sealed, sizeof again);
	object_wipe(&again);
	for (size_t i = 0; i < sizeof again.key; i++)
		assert_int_equal(again.key[i], 0);
}

/* The same name twice gives two salts and so two keys. */
static void
test_keys_differ(void **state)
{
	struct object one, two;
	struct err err;

	(void) state;
	assert_int_equal(object_begin(&one, &wal_id, 5, 16, ring_a, &err), ST_OK);
	assert_int_equal(object_begin(&two, &wal_id, 5, 16, ring_a, &err), ST_OK);
	assert_memory_not_equal(one.key, two.key, sizeof one.key);
}

static void
test_begin_refuses(void **state)
{
	struct object_id id = wal_id;
	char name[OBJECT_NAME_MAX + 2];
	struct object obj;
	struct err err;

	(void) state;
	memset(name, 'a', sizeof name);
	name[OBJECT_NAME_MAX] = '\0';
	id.name = name;
	assert_int_equal(object_begin(&obj, &id, 5, 16, ring_a, &err), ST_OK);
	assert_int_equal(obj.header_len, OBJECT_HEADER_MAX);
	name[OBJECT_NAME_MAX] = 'a';
	name[OBJECT_NAME_MAX + 1] = '\0';
	assert_int_equal(object_begin(&obj, &id, 5, 16, ring_a, &err), ST_CONFIG);
	id.name = "";
	assert_int_equal(object_begin(&obj, &id, 5, 16, ring_a, &err), ST_CONFIG);
	id.name = "wal/a b";
	assert_int_equal(object_begin(&obj, &id, 5, 16, ring_a, &err), ST_CONFIG);
	assert_int_equal(object_begin(&obj, &wal_id, UINT64_MAX, 16, ring_a, &err),
					 ST_CONFIG);
}

/* Any frame by itself, in any order, as a restore reads them. */
static void
test_frames(void **state)
{
	const struct keyring *rings[] = {ring_a, ring_none};
	static const char plain[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	struct object_codec *codec;
	struct err err;

	(void) state;
	assert_int_equal(object_codec_new(&codec, &err), ST_OK);
	for (size_t i = 0; i < 2; i++)
	{
		struct fixture f;
		struct object obj;
		char out[16];

		make_fixture(&f, &wal_id, plain, 36, 16, rings[i]);
		assert_int_equal(f.frames, 3);
		assert_int_equal(
			object_parse(&obj, &wal_id, f.data, f.len, rings[i], &err), ST_OK);
		for (size_t n = 3; n-- > 0;)
		{
			size_t stored_len = f.at[n + 1] - f.at[n], len = 0;

			assert_int_equal(object_frame_length(&obj, f.data + f.at[n],
												 OBJECT_FRAME_PREFIX, &len,
												 &err),
							 ST_OK);
			assert_int_equal(len, stored_len);
			assert_int_equal(object_open_frame(&obj, codec, (uint32_t) n,
											   n == 2, f.data + f.at[n],
											   stored_len, out, &len, &err),
							 ST_OK);
			assert_int_equal(len, n == 2 ? 4 : 16);
			assert_memory_equal(out, plain + 16 * n, len);
		}
	}
	object_codec_free(codec);
}

/* The bound covers noise of every size at which LZ4 changes its mind. */
static void
test_bound(void **state)
{
	static const size_t lens[] = {1,      65535,   65536,   65537,   262144,
								  262145, 1048576, 1048577, 4194303, 4194304};
	uint8_t *noise = malloc(OBJECT_FRAME_MAX);
	uint8_t *out = malloc(object_frame_bound(OBJECT_FRAME_MAX));
	uint8_t *back = malloc(OBJECT_FRAME_MAX);
	LZ4F_preferences_t prefs = LZ4F_INIT_PREFERENCES;
	struct object_codec *codec;
	struct err err;
	uint32_t x = 2463534242;

	(void) state;
	prefs.frameInfo.blockSizeID = LZ4F_max4MB;
	prefs.frameInfo.blockChecksumFlag = LZ4F_blockChecksumEnabled;
	prefs.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
	assert_int_equal(object_codec_new(&codec, &err), ST_OK);
	for (size_t i = 0; i < OBJECT_FRAME_MAX; i++)
	{
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		noise[i] = (uint8_t) x;
	}
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
		for (int sealed = 0; sealed < 2; sealed++)
		{
			size_t stored_len, len;
			struct object obj;

			assert_int_equal(object_begin(&obj, &wal_id, lens[i],
										  OBJECT_FRAME_MAX,
										  sealed ? ring_a : ring_none, &err),
							 ST_OK);
			assert_int_equal(object_seal_frame(&obj, codec, 0, true, noise,
											   lens[i], out, &stored_len,
											   &err),
							 ST_OK);
			assert_true(stored_len <= object_frame_bound(lens[i]));
			assert_true(LZ4F_compressFrameBound(lens[i], &prefs) + PLAIN_LZ4 <=
						object_frame_bound(lens[i]));
			assert_int_equal(object_open_frame(&obj, codec, 0, true, out,
											   stored_len, back, &len, &err),
							 ST_OK);
			assert_int_equal(len, lens[i]);
			assert_memory_equal(back, noise, len);
		}
	assert_int_equal(object_bound(UINT64_MAX, 16), SIZE_MAX);
	object_codec_free(codec);
	free(back);
	free(out);
	free(noise);
}

/* The stock reader skips our header and prefixes and finds the content. */
static void
test_is_lz4(void **state)
{
	const size_t plain_len = 2 * OBJECT_FRAME_SIZE + 5;
	uint8_t *plain = make_content(plain_len);
	uint8_t *out = malloc(plain_len);
	struct object_buffer buf;
	LZ4F_dctx *dctx;
	size_t in = 0, got = 0;
	struct err err;

	(void) state;
	assert_int_equal(
		object_seal_bytes(&wal_id, plain, plain_len, ring_none, &buf, &err),
		ST_OK);
	assert_false(
		LZ4F_isError(LZ4F_createDecompressionContext(&dctx, LZ4F_VERSION)));
	while (in < buf.len)
	{
		size_t src = buf.len - in, dst = plain_len - got;

		assert_false(LZ4F_isError(LZ4F_decompress(dctx, out + got, &dst,
												  buf.data + in, &src, NULL)));
		in += src;
		got += dst;
	}
	assert_int_equal(got, plain_len);
	assert_memory_equal(out, plain, plain_len);
	(void) LZ4F_freeDecompressionContext(dctx);
	object_buffer_free(&buf);
	free(out);
	free(plain);
}

static void
test_sink_fails(void **state)
{
	struct sink sink = {.answer = ST_IO};
	struct object_reader *reader;
	struct fixture f;
	struct err err;

	(void) state;
	make_fixture(&f, &wal_id, "0123456789abcdefghij", 20, 16, ring_a);
	assert_int_equal(
		object_reader_new(&wal_id, ring_a, collect, &sink, &reader, &err),
		ST_OK);
	assert_int_equal(object_reader_feed(reader, f.data, f.len, &err), ST_IO);
	memset(&err, 0, sizeof err);
	assert_int_equal(object_reader_end(reader, &err), ST_IO);
	assert_string_equal(err.message, "the sink's own words");
	assert_int_equal(object_reader_feed(reader, "", 0, &err), ST_IO);
	object_reader_free(reader);
}

struct source
{
	const uint8_t *data;
	size_t left;
};

static enum status
supply(void *arg, void *data, size_t len, struct err *err)
{
	struct source *s = arg;

	if (len > s->left)
		return err_set(err, ST_IO, "the source ends");
	memcpy(data, s->data, len);
	s->data += len;
	s->left -= len;
	return ST_OK;
}

static void
test_seal_from_source(void **state)
{
	const size_t len = 18 << 20;
	uint8_t *plain = make_content(len);
	struct source source = {plain, len};
	struct object_buffer buf = {0}, untouched = {0};
	uint8_t *out;
	size_t out_len;
	struct err err;

	(void) state;
	assert_int_equal(object_seal(&wal_id, len, supply, &source, ring_a, NULL,
								 SIZE_MAX, &buf, &err),
					 ST_OK);
	assert_true(buf.mapped);
	assert_int_equal(object_open_bytes(&wal_id, buf.data, buf.len, ring_a,
									   &out, &out_len, &err),
					 ST_OK);
	assert_int_equal(out_len, len);
	assert_memory_equal(out, plain, len);
	free(out);
	object_buffer_free(&buf);
	assert_null(buf.data);

	source = (struct source){plain, len - 1};
	assert_int_equal(object_seal(&wal_id, len, supply, &source, ring_a, NULL,
								 SIZE_MAX, &buf, &err),
					 ST_IO);
	assert_string_equal(err.message, "the source ends");
	assert_memory_equal(&buf, &untouched, sizeof buf);
	free(plain);
}

/* Noise takes what it is long; half of that is too little, and leaves nothing.
 */
static void
test_seal_into_memory(void **state)
{
	const size_t len = 3 << 20;
	const size_t whole = object_bound(len, OBJECT_FRAME_SIZE);
	uint8_t *plain = malloc(len);
	struct source source = {plain, len};
	struct object_buffer buf = {0}, untouched = {0};
	struct err err;

	(void) state;
	assert_non_null(plain);
	randombytes_buf(plain, len);
	assert_int_equal(object_seal(&wal_id, len, supply, &source, ring_a, NULL,
								 whole / 2, &buf, &err),
					 ST_NOMEM);
	assert_memory_equal(&buf, &untouched, sizeof buf);
	source = (struct source){plain, len};
	assert_int_equal(object_seal(&wal_id, len, supply, &source, ring_a, NULL,
								 whole, &buf, &err),
					 ST_OK);
	assert_true(buf.len > len && buf.len <= whole);
	object_buffer_free(&buf);

	/* What is compressible fits. */
	memset(plain, 'x', len);
	source = (struct source){plain, len};
	assert_int_equal(object_seal(&wal_id, len, supply, &source, ring_a, NULL,
								 whole / 2, &buf, &err),
					 ST_OK);

	/* The same memory serves the next one, which may be larger. */
	object_buffer_trim(&buf);
	randombytes_buf(plain, len);
	source = (struct source){plain, len};
	assert_int_equal(object_seal(&wal_id, len, supply, &source, ring_a, NULL,
								 whole, &buf, &err),
					 ST_OK);
	assert_true(buf.len > len && buf.room == whole);
	source = (struct source){plain, len - 1};
	assert_int_equal(object_seal(&wal_id, len, supply, &source, ring_a, NULL,
								 whole, &buf, &err),
					 ST_IO);
	assert_memory_equal(&buf, &untouched, sizeof buf);
	free(plain);
}

static void
test_buffer(void **state)
{
	const size_t limit = OBJECT_BUFFER_MEMORY;
	struct object_buffer buf;
	char dir[] = "/tmp/walship-test-XXXXXX";
	struct err err;

	(void) state;
	assert_true(object_bound((uint64_t) 16 << 20, OBJECT_FRAME_SIZE) <= limit);
	assert_int_equal(object_buffer_new(&buf, limit, NULL, &err), ST_OK);
	assert_false(buf.mapped);
	memset(buf.data, 'x', buf.room);
	buf.len = 5;
	object_buffer_trim(&buf);
	assert_int_equal(buf.room, 5);
	assert_memory_equal(buf.data, "xxxxx", 5);
	object_buffer_free(&buf);

	assert_non_null(mkdtemp(dir));
	assert_int_equal(object_buffer_new(&buf, limit + 1, dir, &err), ST_OK);
	assert_true(buf.mapped);
	assert_int_equal(buf.room, limit + 1);
	memset(buf.data, 'x', buf.room);
	buf.len = 5;
	object_buffer_trim(&buf);
	assert_int_equal(buf.room, sysconf(_SC_PAGESIZE));
	assert_memory_equal(buf.data, "xxxxx", 5);
	assert_int_equal(rmdir(dir), 0); /* nothing is left in it */
	object_buffer_free(&buf);

	assert_int_equal(object_buffer_new(&buf, limit + 1, dir, &err), ST_IO);
	assert_non_null(strstr(err.message, dir));
	assert_int_equal(object_buffer_new(&buf, SIZE_MAX / 4, NULL, &err), ST_IO);
	assert_non_null(strstr(err.message, "could not reserve"));
	object_buffer_free(NULL);
}

/* Known answers, from another implementation of BLAKE2b. */
static void
test_wal_digest(void **state)
{
	uint8_t *plain = make_content(700000);
	struct source source = {(const uint8_t *) "hello", 5};
	char hex[OBJECT_WAL_DIGEST_HEX];
	struct err err;

	(void) state;
	assert_int_equal(object_wal_digest(5, supply, &source, ring_a, hex, &err),
					 ST_OK);
	assert_string_equal(hex, "45f678ba0828496c");
	source = (struct source){(const uint8_t *) "hello", 5};
	assert_int_equal(
		object_wal_digest(5, supply, &source, ring_none, hex, &err), ST_OK);
	assert_string_equal(hex, "1d8cb451baf32f5a");
	source = (struct source){plain, 700000};
	assert_int_equal(
		object_wal_digest(700000, supply, &source, ring_ba, hex, &err), ST_OK);
	assert_int_equal(source.left, 0);
	assert_int_equal(object_wal_digest(1, supply, &source, ring_a, hex, &err),
					 ST_IO);
	free(plain);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_open_bytes),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_keys_differ),
		cmocka_unit_test(test_begin_refuses),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_is_lz4),
		cmocka_unit_test(test_sink_fails),
		cmocka_unit_test(test_seal_from_source),
		cmocka_unit_test(test_seal_into_memory),
		cmocka_unit_test(test_buffer),
		cmocka_unit_test(test_wal_digest),
	};

	return cmocka_run_group_tests(tests, make_rings, free_rings);
}
