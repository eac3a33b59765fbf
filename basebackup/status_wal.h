/*
 * status_wal.h - which WAL the archive holds, listed from where it matters
 *
 * Lists the WAL of every timeline, but for the blocks that a memory vouches
 * for (status_memory.h says why that is safe).  Runs on the caller's repo
 * handle, in its thread.
 */
#ifndef BASEBACKUP_STATUS_WAL_H
#define BASEBACKUP_STATUS_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/status_memory.h"
#include "basebackup/usage.h"
#include "common/err.h"
#include "common/repo.h"
#include "common/walname.h"

/* Segments first to last are all there, and none beside them. */
struct wal_stretch
{
	uint64_t first;
	uint64_t last;
	int64_t modified_s; /* of the last one, by the store's clock */
};

struct wal_line
{
	uint32_t timeline;
	size_t nstretches, room;
	struct wal_stretch *stretches; /* in order; none touches the next */
	uint64_t segments;
	uint64_t skipped;            /* of them, those not looked at now */
	int64_t seen_s;              /* skipped: when that was longest ago */
	char last[WAL_NAME_MAX + 1]; /* the greatest segment's name, or "" */
	int64_t last_modified_s;
};

struct wal_map
{
	uint32_t segment_size; /* 0: not known, and there are no stretches */
	size_t nlines;
	struct wal_line *lines; /* by timeline */
	struct usage usage;
	uint64_t entries; /* that the store has listed */
};

/*
 * memory: what is remembered, faded (memory_fade); counts only if its
 * segment_size is this one.  What has been seen is added to found, an empty
 * memory.  segment_size 0: it is not known; then names are all that is told.
 * On success *out is freed with wal_map_free.
 */
extern enum status
wal_map_load(struct repo *repo, uint32_t segment_size,
			 const struct memory *memory, int64_t now_s, struct memory *found,
			 struct wal_map *out, struct err *err) ERR_CHECK;
extern void wal_map_free(struct wal_map *map);

/* The line of that timeline, or NULL. */
extern const struct wal_line *
wal_map_find(const struct wal_map *map, uint32_t timeline);

/* Are segments first to last of that timeline all there? */
extern bool wal_map_holds(const struct wal_map *map, uint32_t timeline,
						  uint64_t first, uint64_t last);

/*
 * Adds segments first to last to a line, behind those that it has.  For
 * wal_map_load and tests.
 */
extern enum status
wal_line_add(struct wal_line *line, uint64_t first, uint64_t last,
			 int64_t modified_s, struct err *err) ERR_CHECK;

#endif
