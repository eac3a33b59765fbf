/*
 * plan.h - what a restore has to do, from a backup's manifest
 *
 * Takes the manifest apart into files, extents and packs, and puts the
 * extents into the order in which they are fetched: pack by pack, so that
 * each pack is read once.  All that grows with the database lies in temporary
 * files; in memory are 12 bytes for each file, 16 for each pack, and one
 * batch of extents at a time.
 *
 * Built and sorted by one thread; then read-only, and safe from any thread,
 * but for plan_file_done.
 */
#ifndef BASEBACKUP_PLAN_H
#define BASEBACKUP_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/manifest_read.h"
#include "common/err.h"
#include "common/repo.h"

/* Where an entry goes; tablespaces follow, in the order of the plan's. */
enum plan_area
{
	PLAN_DATA,
	PLAN_CONFIG,    /* configuration from outside the data directory */
	PLAN_TABLESPACE /* the first of them */
};

enum plan_type
{
	PLAN_FILE,
	PLAN_DIR
};

struct plan_entry
{
	enum plan_type type;
	uint32_t area;
	mode_t mode;
	int64_t mtime;
	uint64_t size;
	uint32_t crc32c;
	char path[MANIFEST_PATH_MAX + 1]; /* below the area; "." is its root */
};

/* A tablespace whose files lie elsewhere, behind a symbolic link. */
struct plan_tablespace
{
	uint32_t oid;
	char *location;
	uint64_t bytes; /* it takes on disk */
};

struct plan_extent
{
	uint32_t entry;
	uint32_t pack;
	uint32_t position; /* in the pack's data */
	uint32_t length;
	uint64_t at; /* in the file */
};

/* What it takes to read a pack. */
struct plan_pack
{
	const char *backup;
	uint32_t n;
	size_t header_len;
	uint8_t header[OBJECT_HEADER_MAX];
	size_t nframes;
	uint32_t frames[MANIFEST_FRAMES_MAX];
};

struct plan_setting
{
	char *name;
	char *value;
};

struct plan
{
	struct backup_summary summary;
	size_t ntablespaces;
	struct plan_tablespace *tablespaces;
	size_t nrecorded; /* all settings of the server, as recorded */
	struct plan_setting *recorded;

	bool subscribes; /* pg_subscription has, or had, rows */

	uint32_t nentries;
	size_t nconfigs;
	uint64_t data_bytes; /* what the data directory takes on disk */
	uint64_t config_bytes;
	uint64_t fetch_bytes; /* stored bytes of the packs in use */
	uint64_t write_bytes; /* content that comes from packs */

	uint32_t npacks;
	size_t nbackups; /* whose packs are referred to */
	char **backups;
	size_t nbatches;

	struct plan_files *files; /* the temporary files, and the way in */
};

/*
 * Reads and checks the manifest of that backup.  ST_CORRUPT also if it is of
 * another one, or lacks what no data directory is without.  *out is freed
 * with plan_free; no file of the target is touched.
 */
extern enum status plan_load(struct repo *repo, const char *backup_id,
							 struct plan **out, struct err *err) ERR_CHECK;
extern void plan_free(struct plan *plan);

/* A setting of the server; NULL: not recorded. */
extern const char *plan_setting(const struct plan *plan, const char *name);

/* The number-th entry, in the manifest's order. */
extern enum status
plan_get_entry(const struct plan *plan, uint32_t number,
			   struct plan_entry *out, struct err *err) ERR_CHECK;

/* out is big: not for the stack. */
extern enum status
plan_get_pack(const struct plan *plan, uint32_t number, struct plan_pack *out,
			  struct err *err) ERR_CHECK;

/* Is anything taken from this pack? */
extern bool plan_uses_pack(const struct plan *plan, uint32_t number);

/*
 * The extents of a batch, in the order of packs and positions.  A pack's
 * extents are all in one batch.  *out is freed by free().
 */
extern enum status plan_get_batch(const struct plan *plan, size_t number,
								  struct plan_extent **out, size_t *out_len,
								  struct err *err) ERR_CHECK;

/*
 * Notes that part of an entry has been restored: len bytes with this CRC from
 * offset at on.  Parts come in any order; safe from any thread.
 */
extern void plan_part_done(struct plan *plan, uint32_t entry, uint64_t size,
						   uint64_t at, uint64_t len, uint32_t crc);

/* Zeros that a file holds and no pack does. */
struct plan_zeros
{
	uint32_t entry;
	uint64_t at;
	uint64_t length;
};

/* While the plan is built: notes them, and that they are done. */
extern enum status
plan_add_zeros(struct plan *plan, const struct plan_zeros *zeros,
			   uint64_t size, struct err *err) ERR_CHECK;

/* Calls visit for all of them, file by file. */
extern enum status
plan_each_zeros(const struct plan *plan,
				enum status (*visit)(void *arg, const struct plan_zeros *zeros,
									 struct err *err),
				void *arg, struct err *err) ERR_CHECK;

/* True if all that was noted for an entry gives the manifest's checksum. */
extern bool plan_entry_intact(const struct plan *plan, uint32_t number);

/*
 * The name under which a file is written.  It is the entry's path but for
 * pg_control, without which no server starts: that gets its own name
 * (PLAN_CONTROL_FILE) only when all else is done.
 */
#define PLAN_CONTROL_FILE    "global/pg_control"
#define PLAN_CONTROL_PENDING "global/pg_control.walship"
extern const char *plan_pending_path(const struct plan_entry *entry);

#endif
