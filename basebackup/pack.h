/*
 * pack.h - files into packs
 *
 * Takes files one after another, cuts them into chunks of at most
 * PACK_CHUNK_MAX bytes that begin at multiples of it in their file, and lays
 * the chunks into packs in the order they come (common/FORMAT.md, 4.2).  A
 * chunk lies in one pack.  A chunk of zeros is not stored.  What becomes of a
 * chunk is settled at its end, before it leaves the pack in the making.
 *
 * One thread uses a writer; the packs are sealed and put by a pool behind it.
 */
#ifndef BASEBACKUP_PACK_H
#define BASEBACKUP_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "basebackup/pack_pool.h"
#include "common/err.h"

#define PACK_CHUNK_MAX ((size_t) 1 << 20)
#define PACK_PATH_MAX  4096

/* For a file whose size is known only at its end. */
#define PACK_SIZE_UNKNOWN UINT64_MAX

#define EXTENT_ZEROS (-1)

struct extent
{
	int64_t pack; /* its number, or EXTENT_ZEROS */
	uint64_t position;
	uint64_t length;
};

/* A file as stored.  Lives until the writer's next file. */
struct stored_file
{
	uint64_t size;
	uint32_t crc32c;
	size_t nextents;
	struct extent *extents;
};

struct pack_writer;

extern enum status
pack_writer_new(struct pack_pool *pool, struct pack_writer **out,
				struct err *err) ERR_CHECK;
extern void pack_writer_free(struct pack_writer *writer);

/* path is what the pack's table says; copied. */
extern enum status
pack_file_begin(struct pack_writer *writer, const char *path, uint64_t size,
				struct err *err) ERR_CHECK;
extern enum status pack_file_data(struct pack_writer *writer, const void *data,
								  size_t len, struct err *err) ERR_CHECK;
extern enum status
pack_file_end(struct pack_writer *writer, const struct stored_file **out,
			  struct err *err) ERR_CHECK;

/* Hands over the last pack and waits until all are in the store. */
extern enum status
pack_writer_finish(struct pack_writer *writer, struct err *err) ERR_CHECK;

#endif
