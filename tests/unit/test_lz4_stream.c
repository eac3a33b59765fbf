#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lz4frame.h>

#include "common/lz4_stream.h"

#define PLAIN_BYTES ((size_t) 3 << 20)

struct got
{
	uint8_t *data;
	size_t len;
	bool fail;
};

static enum status
take(void *arg, const void *data, size_t len, struct err *err)
{
	struct got *got = arg;

	if (got->fail)
		return err_set(err, ST_IO, "as told");
	assert_true(len <= PLAIN_BYTES - got->len);
	memcpy(got->data + got->len, data, len);
	got->len += len;
	return ST_OK;
}

struct fixture
{
	uint8_t *plain;
	uint8_t *frame;
	size_t len;
	struct got got;
	struct lz4_stream *stream;
};

/* Half zeros and half noise; linked blocks, as the server makes them. */
static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	LZ4F_preferences_t prefs = LZ4F_INIT_PREFERENCES;
	size_t room;
	uint32_t x = 1;
	struct err err;

	if (f == NULL)
		return -1;
	prefs.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
	room = LZ4F_compressFrameBound(PLAIN_BYTES, &prefs);
	f->plain = calloc(1, PLAIN_BYTES);
	f->frame = calloc(1, room);
	f->got.data = calloc(1, PLAIN_BYTES);
	for (size_t i = PLAIN_BYTES / 2; i < PLAIN_BYTES; i++)
		f->plain[i] = (uint8_t) ((x = x * 1103515245U + 12345U) >> 16);
	f->len = LZ4F_compressFrame(f->frame, room, f->plain, PLAIN_BYTES, &prefs);
	if (LZ4F_isError(f->len) ||
		lz4_stream_new(take, &f->got, &f->stream, &err) != ST_OK)
		return -1;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	lz4_stream_free(f->stream);
	free(f->plain);
	free(f->frame);
	free(f->got.data);
	free(f);
	return 0;
}

static enum status
decode(struct fixture *f, size_t len, size_t piece, struct err *err)
{
	enum status status = ST_OK;

	f->got.len = 0;
	lz4_stream_begin(f->stream);
	for (size_t at = 0; at < len && status == ST_OK; at += piece)
		status = lz4_stream_feed(f->stream, f->frame + at,
								 len - at < piece ? len - at : piece, err);
	return status == ST_OK ? lz4_stream_finish(f->stream, err) : status;
}

static void
test_pieces(void **state)
{
	static const size_t pieces[] = {1, 7, 65536, 32773, PLAIN_BYTES * 2};
	struct fixture *f = *state;
	struct err err;

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		assert_int_equal(decode(f, f->len, pieces[i], &err), ST_OK);
		assert_int_equal(f->got.len, PLAIN_BYTES);
		assert_memory_equal(f->got.data, f->plain, PLAIN_BYTES);
	}
}

static void
test_refused(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_int_equal(decode(f, f->len - 1, 4096, &err), ST_CORRUPT);
	assert_non_null(strstr(err.message, "too early"));
	assert_int_equal(decode(f, 0, 1, &err), ST_CORRUPT);
	assert_int_equal(decode(f, f->len, 4096, &err), ST_OK);
	assert_int_equal(lz4_stream_feed(f->stream, "", 0, &err), ST_OK);
	assert_int_equal(lz4_stream_feed(f->stream, "x", 1, &err), ST_CORRUPT);
	assert_non_null(strstr(err.message, "behind"));
	f->frame[f->len - 1] ^= 1;
	assert_int_equal(decode(f, f->len, 4096, &err), ST_CORRUPT);
	assert_non_null(strstr(err.message, "damaged"));
	f->frame[0] ^= 1;
	assert_int_equal(decode(f, f->len, 4096, &err), ST_CORRUPT);
}

static void
test_sink_fails(void **state)
{
	struct fixture *f = *state;
	struct err err;

	f->got.fail = true;
	assert_int_equal(decode(f, f->len, 4096, &err), ST_IO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sink_fails, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
