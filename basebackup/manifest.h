/*
 * manifest.h - writing a backup's manifest (common/FORMAT.md, 4.3)
 *
 * Lines go to temporary files as they come, so that memory grows neither with
 * files nor with packs; manifest_seal puts them into the order of the format
 * and seals the whole.
 */
#ifndef BASEBACKUP_MANIFEST_H
#define BASEBACKUP_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/pack.h"
#include "basebackup/pack_pool.h"
#include "common/err.h"
#include "common/object.h"

/* The summary line.  Strings are borrowed. */
struct manifest_summary
{
	const char *id;
	uint64_t system_identifier;
	const char *label;
	size_t nannotations;
	const char *const *annotations; /* "KEY=VALUE" */
	int server_version;
	uint32_t timeline;
	size_t nbases;
	const char *const *bases;
	const char *full;          /* the full backup that began the chain */
	const uint8_t *digest_key; /* PAGE_KEY_BYTES */
	uint64_t start_lsn;
	uint64_t stop_lsn;
	int64_t start_time; /* seconds since 1970 */
	int64_t stop_time;
	bool server_clock; /* the times are of the server's clock */
	uint32_t wal_segment_size;
	uint32_t page_size;
	bool data_checksums;
	bool checksums_verified; /* by the server, as it sent the pages */
	uint32_t data_directory_mode;
	bool from_standby;
	uint64_t files; /* set by the writer, as are the next six */
	uint64_t bytes;
	uint64_t packs; /* this backup's own, as are its digests */
	uint64_t stored_bytes;
	uint64_t referenced_bytes;
	uint64_t digests;
	uint64_t digest_bytes;
	const char *host;
	int64_t duration_ms;
};

struct manifest_writer;

extern enum status
manifest_writer_new(struct manifest_writer **out, struct err *err) ERR_CHECK;
extern void manifest_writer_free(struct manifest_writer *writer);

/* Lines, in any order but for packs and digests, which ascend by index. */
extern enum status
manifest_add_tablespace(struct manifest_writer *writer, uint32_t oid,
						const char *location, struct err *err) ERR_CHECK;
extern enum status
manifest_add_setting(struct manifest_writer *writer, const char *name,
					 const char *value, const char *source,
					 struct err *err) ERR_CHECK;
extern enum status
manifest_add_config(struct manifest_writer *writer, const char *path,
					const struct stored_file *file, struct err *err) ERR_CHECK;

/* Directories of tablespaces go behind those of the data directory. */
extern enum status
manifest_add_dir(struct manifest_writer *writer, const char *path,
				 uint32_t mode, bool in_tablespace, struct err *err) ERR_CHECK;

struct manifest_file
{
	const char *path;
	uint32_t mode;
	int64_t mtime;
	const struct stored_file *stored;
};

extern enum status
manifest_add_file(struct manifest_writer *writer,
				  const struct manifest_file *file, struct err *err) ERR_CHECK;

/* A pack or a digest object that files refer to. */
struct manifest_object
{
	enum pack_kind kind;
	uint32_t index;        /* by which they do */
	const char *backup_id; /* whose it is, */
	bool own;              /* this one's, or an older one's */
	uint32_t n;
	const uint8_t *header;
	size_t header_len;
	const uint32_t *frames; /* stored length of each */
	size_t nframes;
	uint32_t data_len;
	const uint32_t *live; /* bytes in use, by frame of data; NULL: all */
};

extern enum status manifest_add_object(struct manifest_writer *writer,
									   const struct manifest_object *object,
									   struct err *err) ERR_CHECK;

/*
 * Completes the summary and seals the manifest into buf, which is made here.
 * name is the object's logical name.
 */
extern enum status
manifest_seal(struct manifest_writer *writer, struct manifest_summary *summary,
			  const char *name, const struct keyring *ring,
			  struct object_buffer *buf, struct err *err) ERR_CHECK;

#endif
