/*
 * lz4_stream.c - an LZ4 frame that comes in pieces
 */
#include "common/lz4_stream.h"

#include <lz4frame.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define OUT_BYTES ((size_t) 256 << 10)

struct lz4_stream
{
	lz4_sink sink;
	void *arg;
	LZ4F_dctx *decoder;
	bool ended;
	uint8_t out[OUT_BYTES];
};

enum status
lz4_stream_new(lz4_sink sink, void *arg, struct lz4_stream **out,
			   struct err *err)
{
	struct lz4_stream *s = calloc(1, sizeof(*s));

	if (s == NULL || LZ4F_isError(LZ4F_createDecompressionContext(
						 &s->decoder, LZ4F_VERSION)))
	{
		free(s);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	s->sink = sink;
	s->arg = arg;
	*out = s;
	return ST_OK;
}

void
lz4_stream_free(struct lz4_stream *s)
{
	if (s == NULL)
		return;
	(void) LZ4F_freeDecompressionContext(s->decoder);
	free(s);
}

void
lz4_stream_begin(struct lz4_stream *s)
{
	LZ4F_resetDecompressionContext(s->decoder);
	s->ended = false;
}

enum status
lz4_stream_feed(struct lz4_stream *s, const void *data, size_t len,
				struct err *err)
{
	const uint8_t *p = data;
	size_t made;

	/* Input may be used up while output still waits inside. */
	do
	{
		size_t used = len;
		size_t left;
		enum status status = ST_OK;

		if (s->ended)
			return len == 0 ? ST_OK
							: err_set(err, ST_CORRUPT,
									  "bytes behind the end of LZ4 data");
		made = sizeof(s->out);
		left = LZ4F_decompress(s->decoder, s->out, &made, p, &used, NULL);
		if (LZ4F_isError(left))
			return err_set(err, ST_CORRUPT, "damaged LZ4 data: %s",
						   LZ4F_getErrorName(left));
		s->ended = left == 0;
		if (made > 0)
			status = s->sink(s->arg, s->out, made, err);
		if (status != ST_OK)
			return status;
		p += used;
		len -= used;
	} while (len > 0 || made == sizeof(s->out));
	return ST_OK;
}

enum status
lz4_stream_finish(const struct lz4_stream *s, struct err *err)
{
	if (s->ended)
		return ST_OK;
	return err_set(err, ST_CORRUPT, "LZ4 data ends too early");
}
