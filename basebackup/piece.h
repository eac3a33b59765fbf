/*
 * piece.h - pieces of stored objects, in memory
 *
 * Bytes by range, as they are stored, and the first frame of an object of
 * which no more is known than its name and its size.
 */
#ifndef BASEBACKUP_PIECE_H
#define BASEBACKUP_PIECE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/repo.h"

/* A buffer; all zero is an empty one. */
struct piece
{
	uint8_t *data;
	size_t len;
	size_t room;
};

/* Has room for so many bytes in all; what is in it stays. */
extern enum status
piece_reserve(struct piece *piece, size_t room, struct err *err) ERR_CHECK;
extern void piece_free(struct piece *piece);

/*
 * Appends len bytes, from offset on, of the object of that name.  Statuses of
 * store_get; after a failure some of them may be there.
 */
extern enum status
piece_append(struct piece *piece, struct repo *repo, const char *name,
			 uint64_t offset, size_t len, struct err *err) ERR_CHECK;

struct first_frame
{
	struct object obj; /* the header */
	size_t stored_len; /* of the frame */
	uint8_t *plain;
	size_t plain_len;
};

/*
 * Reads and authenticates the first frame of an object of size bytes, as a
 * listing told: by one request if header and frame have at most guess bytes
 * (at least OBJECT_HEADER_MAX + OBJECT_FRAME_PREFIX), else by two. ST_CORRUPT,
 * ST_AUTH, and what store_get says; out is to be freed only after success.
 */
extern enum status
first_frame_read(struct repo *repo, const struct object_id *id, uint64_t size,
				 size_t guess, struct first_frame *out,
				 struct err *err) ERR_CHECK;
extern void first_frame_free(struct first_frame *first);

#endif
