/*
 * lz4_stream.h - an LZ4 frame that comes in pieces
 *
 * For what others have compressed: one frame of any block size, with linked
 * blocks or without, and nothing behind it.  Bytes are handed on as they are
 * decoded: its checksums, if it has any, are proven only at its end.  A fixed
 * amount of memory, besides what LZ4 takes for a block.  Not for the objects
 * of a repository, whose frames object.h reads.
 */
#ifndef COMMON_LZ4_STREAM_H
#define COMMON_LZ4_STREAM_H

#include <stddef.h>

#include "common/err.h"

/* Receives decoded bytes; any status but ST_OK ends the call with it. */
typedef enum status (*lz4_sink)(void *arg, const void *data, size_t len,
								struct err *err);

struct lz4_stream;

/* The sink is borrowed. */
extern enum status
lz4_stream_new(lz4_sink sink, void *arg, struct lz4_stream **out,
			   struct err *err) ERR_CHECK;
extern void lz4_stream_free(struct lz4_stream *stream);

/* Begins another frame, whatever became of the one before. */
extern void lz4_stream_begin(struct lz4_stream *stream);

/* ST_CORRUPT for what is no LZ4 frame, and for bytes behind its end. */
extern enum status lz4_stream_feed(struct lz4_stream *stream, const void *data,
								   size_t len, struct err *err) ERR_CHECK;

/* ST_CORRUPT unless the frame has come to its end. */
extern enum status
lz4_stream_finish(const struct lz4_stream *stream, struct err *err) ERR_CHECK;

#endif
