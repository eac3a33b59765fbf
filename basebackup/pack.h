/*
 * pack.h - files into packs
 *
 * Takes files one after another, page by page, and lays into packs what the
 * base does not hold at the same place (common/FORMAT.md, 4).  A file's
 * extents then point partly into older packs.  Pages are compared by keyed
 * digest and CRC; each file's digests, and its maps if it has many extents,
 * go into digest objects, but for parts that are as in the base.
 *
 * Packs are numbered with those of the base first (base_packs), then ours;
 * digest objects likewise.
 *
 * One thread uses a writer; the packs are sealed and put by a pool behind it.
 * Memory, beside the pool's: 24 bytes for each extent of the file in hand, at
 * most EXTENTS_MAX, and 4 for each frame of the base's packs.
 */
#ifndef BASEBACKUP_PACK_H
#define BASEBACKUP_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/base.h"
#include "basebackup/pack_pool.h"
#include "basebackup/salvage.h"
#include "basebackup/stored.h"
#include "common/err.h"

#define PACK_CHUNK_MAX ((size_t) 1 << 20)
#define PACK_PATH_MAX  4096

/* For a file whose size is known only at its end. */
#define PACK_SIZE_UNKNOWN UINT64_MAX

/* All borrowed until pack_writer_free. */
struct pack_source
{
	struct pack_pool *pool;
	uint32_t page_size;
	const uint8_t
		*digest_key;         /* PAGE_KEY_BYTES; the base's, if there is one */
	struct base *base;       /* NULL: everything is stored */
	struct salvage *salvage; /* NULL: no attempt died; its packs are among
							  * the base's */
	const bool *retired;     /* by number: store again what such a pack of the
							  * base holds; NULL: none */
};

/* Bytes of content, uncompressed. */
struct pack_counts
{
	uint64_t changed;   /* stored because the base does not hold them */
	uint64_t rewritten; /* stored again only because their pack retires */
	uint64_t salvaged;  /* not stored, but found in packs of dead backups */
	uint64_t referred;  /* not stored, but found in the base's packs */
	uint64_t zeros;     /* not stored, being zero */
};

struct pack_writer;

extern enum status
pack_writer_new(const struct pack_source *source, struct pack_writer **out,
				struct err *err) ERR_CHECK;
extern void pack_writer_free(struct pack_writer *writer);

/* path is what the pack's table says and where the base is asked; copied. */
extern enum status
pack_file_begin(struct pack_writer *writer, const char *path, uint64_t size,
				struct err *err) ERR_CHECK;
extern enum status pack_file_data(struct pack_writer *writer, const void *data,
								  size_t len, struct err *err) ERR_CHECK;

/*
 * The next len bytes are those that the base holds at this place of the file,
 * which nobody needs to send again.  What has been given so far and len are
 * whole pages, or len reaches the file's end in both.  Content of a pack that
 * retires is read back from the store.  ST_CORRUPT if the base has no such
 * content.
 */
extern enum status pack_file_refer(struct pack_writer *writer, uint64_t len,
								   struct err *err) ERR_CHECK;

/* The base's file of the path in hand; NULL: it has none. */
extern const struct stored_file *
pack_file_base(const struct pack_writer *writer);

/* The file lives until the next begins. */
extern enum status
pack_file_end(struct pack_writer *writer, const struct stored_file **out,
			  struct err *err) ERR_CHECK;

/* Hands over what is left and waits until all is in the store. */
extern enum status
pack_writer_finish(struct pack_writer *writer, struct err *err) ERR_CHECK;

extern const struct pack_counts *
pack_writer_counts(const struct pack_writer *writer);

/*
 * How many bytes of each frame of the base's number-th pack have been referred
 * to; NULL if none has.
 */
extern const uint32_t *
pack_writer_live(const struct pack_writer *writer, uint32_t number);

/* Has the base's number-th digest object been referred to? */
extern bool
pack_writer_uses_digest(const struct pack_writer *writer, uint32_t number);

#endif
