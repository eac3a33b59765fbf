/*
 * manifest_read.h - reading a backup's manifest (common/FORMAT.md 4.3)
 *
 * Pure: a parser that is fed the manifest's content in pieces of any size and
 * calls a handler for each line, after all that a line says has been checked
 * against the format: types and ranges, order of lines, paths that stay below
 * the data directory and occur once, extents that make up their files and
 * packs that exist, counts.  Only manifest_end's success makes the whole of
 * it good.
 *
 * What a file's maps say is not looked at: they lie in other objects.
 *
 * Memory: the longest line, 8 bytes for each path and 4 for each pack and
 * digest object.
 * Failures are ST_CORRUPT with the line's number, ST_CONFIG for a feature
 * that this version does not know, or what a handler returned.
 */
#ifndef BASEBACKUP_MANIFEST_READ_H
#define BASEBACKUP_MANIFEST_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "basebackup/backup_id.h"
#include "basebackup/jsonl.h"
#include "basebackup/page.h"
#include "common/err.h"
#include "common/object.h"

#define MANIFEST_PATH_MAX  1024 /* bytes, without a terminating zero */
#define MANIFEST_LABEL_MAX 1024
#define MANIFEST_HOST_MAX  255

/* Bytes of all annotations, each with a terminating zero; how many. */
#define MANIFEST_ANNOTATIONS_MAX 1024
#define MANIFEST_ANNOTATIONS     16
#define MANIFEST_VERSION_MAX     63
#define MANIFEST_FRAMES_MAX      65536 /* of one pack */
#define MANIFEST_PACK_DATA       ((uint32_t) 16 << 20)
#define MANIFEST_PACKS_MAX       ((uint32_t) 1 << 24) /* 256 TB of data */

/* What this version knows of "requires". */
#define MANIFEST_FEATURE_MAPS "maps"

struct backup_summary
{
	char id[BACKUP_ID_MAX];
	size_t nbases;
	uint64_t system_identifier;
	char label[MANIFEST_LABEL_MAX + 1];
	size_t nannotations;
	char annotations[MANIFEST_ANNOTATIONS_MAX]; /* one after another */
	int server_version;                         /* 150020 */
	uint32_t timeline;
	uint64_t start_lsn;
	uint64_t stop_lsn;
	int64_t start_time; /* seconds since 1970 */
	int64_t stop_time;
	bool server_clock; /* the times are the server's, not the client's */
	uint32_t wal_segment_size;
	uint32_t page_size;
	bool data_checksums;
	bool checksums_verified;
	mode_t data_directory_mode;
	bool from_standby;
	uint64_t files;
	uint64_t bytes;
	uint64_t packs;
	uint64_t stored_bytes;
	uint64_t referenced_bytes;
	uint64_t digests;
	uint64_t digest_bytes;
	char full[BACKUP_ID_MAX]; /* the full one that began the chain, or "" */
	bool has_digest_key;
	uint8_t digest_key[PAGE_KEY_BYTES];
	char host[MANIFEST_HOST_MAX + 1];
	char walship_version[MANIFEST_VERSION_MAX + 1];
	uint64_t duration_ms;
};

/* A file, or a configuration file from outside the data directory. */
struct manifest_entry
{
	const char *path; /* relative; absolute for a configuration file */
	mode_t mode;
	int64_t mtime; /* seconds; 0 for a configuration file without one */
	uint64_t size;
	uint32_t crc32c;
	size_t nextents;
	const int64_t *extents; /* triples: pack, position, length; checked */

	/* Triples of digest object, position and length, checked. */
	size_t nmaps;        /* above 0: the maps tell the extents */
	const int64_t *maps; /* one for each part */
	size_t npages;       /* 0: there are no page digests */
	const int64_t *pages;
};

/* A pack, or a digest object. */
struct manifest_pack
{
	uint32_t index; /* ascends; what is left out is referred to by nothing */
	const char *backup; /* id */
	uint32_t n;
	const uint8_t *header;
	size_t header_len;
	size_t nframes; /* the table's frame included */
	const int64_t *frames;
	uint32_t data_len;   /* bytes of data; 0: unknown */
	const int64_t *live; /* bytes in use, by frame of data; NULL: all */
	uint32_t data_used;  /* where the last piece of it ends that a line of the
						  * manifest refers to; maps may refer to more */
};

/*
 * What to do with each line; NULL: nothing.  The pointers are valid within
 * the call only.  Any status but ST_OK ends the reading with it.
 */
struct manifest_handler
{
	enum status (*summary)(void *arg, const struct backup_summary *summary,
						   struct err *err);
	enum status (*tablespace)(void *arg, uint32_t oid, const char *location,
							  struct err *err);
	enum status (*setting)(void *arg, const char *name, const char *value,
						   struct err *err);
	enum status (*config)(void *arg, const struct manifest_entry *file,
						  struct err *err);
	enum status (*dir)(void *arg, const char *path, mode_t mode,
					   struct err *err);
	enum status (*file)(void *arg, const struct manifest_entry *file,
						struct err *err);
	enum status (*digest)(void *arg, const struct manifest_pack *digest,
						  struct err *err);
	enum status (*pack)(void *arg, const struct manifest_pack *pack,
						struct err *err);
};

struct manifest_reader;

/* handler and arg are borrowed until manifest_reader_free. */
extern enum status
manifest_reader_new(const struct manifest_handler *handler, void *arg,
					struct manifest_reader **out, struct err *err) ERR_CHECK;
extern void manifest_reader_free(struct manifest_reader *reader);

/* Has a store_sink's shape, the reader being its arg. */
extern enum status manifest_reader_feed(void *reader, const void *data,
										size_t len, struct err *err);
extern enum status
manifest_reader_end(struct manifest_reader *reader, struct err *err) ERR_CHECK;

/* The summary alone, from the content of the manifest's first frame. */
extern enum status
manifest_summary_parse(const void *data, size_t len,
					   struct backup_summary *out, struct err *err) ERR_CHECK;

/*
 * True for a path that stays where it is put: not empty, not too long, and
 * without empty, "." and ".." components.
 */
extern bool manifest_path_valid(const char *path);

#endif
