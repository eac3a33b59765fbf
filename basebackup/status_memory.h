/*
 * status_memory.h - what `walship status` remembers of what it has listed
 *
 * A small file in the spool, so that a listing of a million segments need not
 * begin at the first one each time.  It is never taken for proof that
 * something is there now:
 *
 * - What is remembered of WAL are blocks of MEMORY_BLOCK segments, aligned, of
 *   which every segment was there when the block was listed.  A block in which
 *   anything was missing, or to which something may still be added, is not
 *   remembered, and is listed each time.  So a gap that was ever seen is seen
 *   again, and one that has been filled is gone.
 * - Of what is skipped, the first and the last segment are looked at.  If
 *   either is not there, nothing that is remembered of the timeline counts,
 *   and all of it is listed.
 * - A block counts for MEMORY_AGE_MAX_S and not longer, and each run lists the
 *   MEMORY_AGAIN longest unseen blocks again before that.  So a segment that
 *   vanishes from the middle of a block is missed at once in archives of up
 *   to so many blocks, else within a day, and status tells since when it has
 *   not looked.  `walship verify`, and `walship status --full`, believe
 *   nothing of this.
 * - A file that is damaged, from another format, or from the future by this
 *   host's clock is no memory.  One that was altered on purpose can hide a gap
 *   for a day; the spool is closed to everybody but us.
 *
 * The greatest segment of each timeline and the newest backup that were seen
 * serve the opposite purpose: a store that shows less than it once did has
 * hidden or rewound something.
 *
 *     walship-status-v1 <segment size> LF
 *     block <timeline> <block> <seen> <objects> <bytes> <class or -> LF
 *     end <timeline> <segment> <seen> LF
 *     newest <backup id> <seen> LF
 *     usage <backup id> <seen> <kind> <objects> <bytes> <class or -> LF
 *     sum <CRC-32C of all that before, 8 hex digits> LF
 *
 * All numbers are decimal.  Parsing and formatting are pure.
 */
#ifndef BASEBACKUP_STATUS_MEMORY_H
#define BASEBACKUP_STATUS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/backup_id.h"
#include "basebackup/usage.h"
#include "common/err.h"
#include "common/spool.h"

#define MEMORY_BLOCK     4096
#define MEMORY_AGAIN     4
#define MEMORY_AGE_MAX_S 86400

struct memory_block
{
	uint32_t timeline;
	uint64_t block; /* its first segment is block * MEMORY_BLOCK */
	int64_t seen_s;
	struct usage_row usage; /* all of its objects are of one class */
};

/* The greatest segment of a timeline. */
struct memory_end
{
	uint32_t timeline;
	uint64_t segment;
	int64_t seen_s;
};

/* A row of what a complete backup takes. */
struct memory_usage
{
	char backup_id[BACKUP_ID_MAX];
	int64_t seen_s;
	struct usage_row usage;
};

/* All arrays are in the order in which they were added. */
struct memory
{
	uint32_t segment_size; /* 0: nothing is known of WAL */
	size_t nblocks, blocks_room;
	struct memory_block *blocks; /* by timeline and number, ascending */
	size_t nends, ends_room;
	struct memory_end *ends;
	size_t nusages, usages_room;
	struct memory_usage *usages;
	char newest[BACKUP_ID_MAX]; /* "": none */
	int64_t newest_seen_s;
};

/* All zero is an empty memory. */
extern void memory_free(struct memory *memory);

extern enum status
memory_add_block(struct memory *memory, const struct memory_block *block,
				 struct err *err) ERR_CHECK;
extern enum status
memory_add_end(struct memory *memory, const struct memory_end *end,
			   struct err *err) ERR_CHECK;
extern enum status
memory_add_usage(struct memory *memory, const struct memory_usage *usage,
				 struct err *err) ERR_CHECK;

/* The block, or NULL. */
extern const struct memory_block *
memory_find_block(const struct memory *memory, uint32_t timeline,
				  uint64_t block);

/* The end of that timeline, or NULL. */
extern const struct memory_end *
memory_find_end(const struct memory *memory, uint32_t timeline);

/* Can that storage class be written down? */
extern bool memory_takes_class(const char *storage_class);

/*
 * Forgets the blocks, and backups' sizes, that are too old to count, and the
 * MEMORY_AGAIN longest unseen of the other blocks.
 */
extern void memory_fade(struct memory *memory, int64_t now_s);

/*
 * Reads the text of a file.  ST_CORRUPT: it is none, and nothing is in *out.
 * Otherwise *out is freed with memory_free.
 */
extern enum status memory_parse(const char *text, size_t len, int64_t now_s,
								struct memory *out, struct err *err) ERR_CHECK;

/* The text, freed with free(). */
extern enum status memory_format(const struct memory *memory, char **text,
								 size_t *len, struct err *err) ERR_CHECK;

/*
 * From and to the spool.  Without a spool, or where it may not be written,
 * nothing is remembered.
 */
extern void
memory_load(const struct spool *spool, int64_t now_s, struct memory *out);
extern void
memory_save(const struct spool *spool, const struct memory *memory);

#endif
