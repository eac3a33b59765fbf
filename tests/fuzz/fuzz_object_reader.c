/*
 * fuzz_object_reader.c - the reader of whole objects
 *
 * The first byte says what the rest is: a stored object, unsealed or sealed;
 * an LZ4 frame to be placed where only a key holder could place one; or
 * content, which must come back whole, and not at all after a change.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/object_internal.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key_text[] =
	"walship-key-v1 c88881365555b10c "
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
static const struct object_id id = {OBJECT_WAL, 7, "wal/00000001/x"};

static struct keyring *rings[2];
static struct object_codec *codec;

#define INPUT_MAX 4096

struct sink
{
	uint8_t data[INPUT_MAX];
	size_t len;
};

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static enum status
collect(void *arg, const void *data, size_t len, struct err *err)
{
	struct sink *s = arg;

	if (len > sizeof s->data - s->len)
		return err_set(err, ST_IO, "too much for this test");
	memcpy(s->data + s->len, data, len);
	s->len += len;
	return ST_OK;
}

/* Feeds a stored object in pieces whose lengths its own bytes choose. */
static enum status
open_object(const uint8_t *stored, size_t len, bool sealed, struct sink *sink)
{
	struct object_reader *reader;
	struct err err;
	enum status status;

	sink->len = 0;
	require(object_reader_new(&id, rings[sealed], collect, sink, &reader,
							  &err) == ST_OK);
	status = ST_OK;
	for (size_t at = 0; status == ST_OK && at < len;)
	{
		size_t n = 1 + (size_t) stored[at] * 3;

		if (n > len - at)
			n = len - at;
		status = object_reader_feed(reader, stored + at, n, &err);
		at += n;
	}
	if (status == ST_OK)
		status = object_reader_end(reader, &err);
	if (status == ST_OK)
		require(object_reader_object(reader)->plain_len == sink->len);
	else
		require(object_reader_end(reader, &err) == status);
	object_reader_free(reader);
	return status;
}

static void
begin(struct object *obj, uint64_t plain_len, uint32_t frame_size, bool sealed)
{
	struct err err;

	require(object_begin(obj, &id, plain_len, frame_size, rings[sealed],
						 &err) == ST_OK);
}

/* data: frame size, length of the content, LZ4 frame. */
static void
place_lz4(const uint8_t *data, size_t size, bool sealed)
{
	uint8_t stored[OBJECT_HEADER_MAX + PLAIN_LZ4 + INPUT_MAX + 64];
	uint8_t nonce[24] = {0};
	uint8_t *frame;
	struct object obj;
	struct sink sink;

	if (size < 4)
		return;
	begin(&obj, get_le16(data), (uint32_t) 1 + get_le16(data + 2), sealed);
	data += 4;
	size -= 4;
	memcpy(stored, obj.header, obj.header_len);
	frame = stored + obj.header_len;
	if (sealed)
	{
		nonce[8] = 1;
		put_le32(frame, MAGIC_SEALED);
		put_le32(frame + 4, (uint32_t) size + SEALED_TAG_BYTES);
		(void) crypto_aead_xchacha20poly1305_ietf_encrypt(
			frame + SEALED_LZ4, NULL, data, size, obj.header, obj.header_len,
			NULL, nonce, obj.key);
		frame += SEALED_LZ4 + size + SEALED_TAG_BYTES;
	}
	else
	{
		put_le32(frame, MAGIC_PLAIN);
		put_le32(frame + 4, PLAIN_LZ4 - PLAIN_NUMBER);
		put_le32(frame + PLAIN_NUMBER, 0);
		put_le32(frame + PLAIN_FINAL, 1);
		put_le32(frame + PLAIN_LZ4_LEN, (uint32_t) size);
		memcpy(frame + PLAIN_BIND,
			   obj.header + obj.header_len - HEADER_CHECKSUM_BYTES,
			   PLAIN_BIND_BYTES);
		memcpy(frame + PLAIN_LZ4, data, size);
		frame += PLAIN_LZ4 + size;
	}
	(void) open_object(stored, (size_t) (frame - stored), sealed, &sink);
}

/* data: frame size, what to change, content. */
static void
round_trip(const uint8_t *data, size_t size, bool sealed)
{
	static uint8_t stored[OBJECT_HEADER_MAX + INPUT_MAX + 256 * (size_t) 100];
	size_t len, left, change;
	uint32_t frame_size, number = 0;
	struct object obj;
	struct sink sink;
	struct err err;

	if (size < 5)
		return;
	frame_size = 16 + (uint32_t) get_le16(data);
	change = get_le16(data + 2);
	data += 4;
	left = size -= 4;
	begin(&obj, size, frame_size, sealed);
	memcpy(stored, obj.header, obj.header_len);
	len = obj.header_len;
	do
	{
		size_t n = left < frame_size ? left : frame_size;
		size_t stored_len;

		require(object_seal_frame(&obj, codec, number++, n == left,
								  data + (size - left), n, stored + len,
								  &stored_len, &err) == ST_OK);
		len += stored_len;
		left -= n;
	} while (left > 0);
	require(open_object(stored, len, sealed, &sink) == ST_OK);
	require(sink.len == size && memcmp(sink.data, data, size) == 0);

	stored[change % len] ^= (uint8_t) (1 << change / 8192);
	require(open_object(stored, len, sealed, &sink) != ST_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sink sink;
	struct err err;
	bool sealed;

	if (codec == NULL)
	{
		require(object_codec_new(&codec, &err) == ST_OK);
		require(keyring_none(&rings[0], &err) == ST_OK);
		require(keyring_parse("key", key_text, sizeof key_text - 1, &rings[1],
							  &err) == ST_OK);
	}
	if (size < 1 || size > INPUT_MAX)
		return 0;
	sealed = data[0] & 1;
	switch (data[0] / 2 % 3)
	{
		case 0:
			(void) open_object(data + 1, size - 1, sealed, &sink);
			break;
		case 1:
			place_lz4(data + 1, size - 1, sealed);
			break;
		default:
			round_trip(data + 1, size - 1, sealed);
			break;
	}
	return 0;
}
