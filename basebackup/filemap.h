/*
 * filemap.h - where the pieces of part of a file are (common/FORMAT.md, 4.5)
 *
 * A file whose extents are too many for a line of the manifest has a map for
 * each part of FILEMAP_PART_PAGES pages.  A map names packs by backup and
 * number, not by a manifest's index, so that a later backup can refer to it
 * as it stands.  Pure; decoding is safe for any bytes.
 */
#ifndef BASEBACKUP_FILEMAP_H
#define BASEBACKUP_FILEMAP_H

#include <stddef.h>
#include <stdint.h>

#include "basebackup/backup_id.h"
#include "common/err.h"

#define FILEMAP_PART_PAGES 4096
#define FILEMAP_BYTES_MAX  ((size_t) 4 << 20) /* of one part's map */
#define FILEMAP_ZEROS      UINT32_MAX
#define FILEMAP_PACK_BITS  24 /* a pack's data: 16 MiB */

struct filemap_extent
{
	uint32_t source; /* whose pack, or FILEMAP_ZEROS */
	uint32_t n;      /* the pack's number there; 0 for zeros */
	uint32_t position;
	uint64_t length;
};

/* A map in the making; the buffer grows and is used again. */
struct filemap_buffer
{
	uint8_t *data;
	size_t len;
	size_t room;
};

extern void filemap_buffer_free(struct filemap_buffer *buf);

/* The id of the backup that an extent's source means. */
typedef const char *(*filemap_name)(void *arg, uint32_t source);

/*
 * Encodes extents, at least one, whose sources are any numbers that name
 * tells apart; neighbours should have been joined.  Replaces what is in buf.
 * ST_NOMEM; ST_CORRUPT for extents that are none, or far too many.
 */
extern enum status
filemap_encode(const struct filemap_extent *extents, size_t count,
			   uint32_t page_size, filemap_name name, void *arg,
			   struct filemap_buffer *buf, struct err *err) ERR_CHECK;

/*
 * Told in the map's order: each source with its number, from 0 on, then each
 * extent.  Any status but ST_OK ends the decoding with it.
 */
struct filemap_handler
{
	enum status (*source)(void *arg, uint32_t source, const char *backup_id,
						  struct err *err);
	enum status (*extent)(void *arg, const struct filemap_extent *extent,
						  struct err *err);
};

/* length: what the extents make up together.  ST_CORRUPT. */
extern enum status
filemap_decode(const uint8_t *data, size_t len, uint64_t length,
			   const struct filemap_handler *handler, void *arg,
			   struct err *err) ERR_CHECK;

#endif
