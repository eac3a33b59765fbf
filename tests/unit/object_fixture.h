/*
 * object_fixture.h - keys, content and small objects for the tests of object
 */
#ifndef TESTS_OBJECT_FIXTURE_H
#define TESTS_OBJECT_FIXTURE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/object.h"

/* Keys of the bytes 0 to 31 and 32 to 63. */
#define KEY_A                          \
	"walship-key-v1 c88881365555b10c " \
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY_B                          \
	"walship-key-v1 7572087421ed787e " \
	"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\n"

#define SYSTEM 7300000000000000001

static const struct object_id wal_id = {
	OBJECT_WAL, SYSTEM, "wal/00000001/000000010000000000000001"};

static struct keyring *ring_a;
static struct keyring *ring_b;
static struct keyring *ring_ba; /* B seals, both open */
static struct keyring *ring_none;

static inline struct keyring *
parse_ring(const char *text)
{
	struct keyring *ring = NULL;
	struct err err;

	assert_int_equal(keyring_parse("test", text, strlen(text), &ring, &err),
					 ST_OK);
	return ring;
}

static inline int
make_rings(void **state)
{
	struct err err;

	(void) state;
	ring_a = parse_ring(KEY_A);
	ring_b = parse_ring(KEY_B);
	ring_ba = parse_ring(KEY_B KEY_A);
	assert_int_equal(keyring_none(&ring_none, &err), ST_OK);
	return 0;
}

static inline int
free_rings(void **state)
{
	(void) state;
	keyring_free(ring_a);
	keyring_free(ring_b);
	keyring_free(ring_ba);
	keyring_free(ring_none);
	return 0;
}

static inline const struct keyring *
ring_of(int sealed)
{
	return sealed ? ring_a : ring_none;
}

/* Half noise, half repetition, the same in every run. */
static inline uint8_t *
make_content(size_t len)
{
	uint8_t *data = malloc(len + 1);
	uint64_t x = 88172645463325252u;

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
	{
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = (i / 512) % 2 ? (uint8_t) x : (uint8_t) (i / 64);
	}
	return data;
}

/* An object in memory, and where each of its frames begins. */
#define FIXTURE_FRAMES_MAX 8
struct fixture
{
	struct object obj;
	uint8_t data[4096];
	size_t len;
	size_t frames;
	size_t at[FIXTURE_FRAMES_MAX + 1]; /* the last is the end */
};

/* Seals plain in frames of frame_size bytes. */
static inline void
make_fixture(struct fixture *f, const struct object_id *id, const void *plain,
			 size_t plain_len, uint32_t frame_size, const struct keyring *ring)
{
	struct object_codec *codec;
	struct err err;
	size_t left = plain_len;

	memset(f, 0, sizeof *f);
	assert_int_equal(object_codec_new(&codec, &err), ST_OK);
	assert_int_equal(
		object_begin(&f->obj, id, plain_len, frame_size, ring, &err), ST_OK);
	memcpy(f->data, f->obj.header, f->obj.header_len);
	f->len = f->obj.header_len;
	do
	{
		size_t n = left < frame_size ? left : frame_size;
		size_t stored_len;

		assert_true(f->frames < FIXTURE_FRAMES_MAX);
		assert_true(f->len + object_frame_bound(n) <= sizeof f->data);
		f->at[f->frames] = f->len;
		assert_int_equal(
			object_seal_frame(&f->obj, codec, (uint32_t) f->frames, n == left,
							  (const uint8_t *) plain + (plain_len - left), n,
							  f->data + f->len, &stored_len, &err),
			ST_OK);
		f->len += stored_len;
		f->frames++;
		left -= n;
	} while (left > 0);
	f->at[f->frames] = f->len;
	object_codec_free(codec);
}

/* What opening says; nothing may be handed out with a failure. */
static inline enum status
try_open(const struct object_id *id, const uint8_t *data, size_t len,
		 const struct keyring *ring, struct err *err)
{
	uint8_t *out = NULL;
	size_t out_len = 0;
	enum status status;

	status = object_open_bytes(id, data, len, ring, &out, &out_len, err);
	if (status == ST_OK)
		free(out);
	else
	{
		assert_null(out);
		assert_int_equal(err->status, status);
		if (id->name != NULL)
			assert_non_null(strstr(err->message, id->name));
	}
	return status;
}

#endif
