/*
 * status_window.h - what can be recovered along a timeline
 *
 * Pure.  A window is a stretch of WAL without a gap together with the
 * backups in it: from the end of the first of them, recovery reaches any
 * moment up to the window's end.  Behind a gap the next window begins with
 * the end of the first backup that began behind it.
 */
#ifndef BASEBACKUP_STATUS_WINDOW_H
#define BASEBACKUP_STATUS_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/manifest_read.h"
#include "basebackup/status_wal.h"
#include "common/err.h"
#include "common/timeline.h"

struct window
{
	uint64_t from_lsn;
	int64_t from_s; /* the end of its first backup */
	uint64_t to_lsn;
	int64_t to_s; /* its last segment was stored; 0: not known */
	size_t nbackups;
};

/* Segments that are not there. */
struct window_gap
{
	uint32_t timeline; /* in whose name they should be */
	uint64_t first;
	uint64_t last;
};

#define WINDOW_GAPS_MAX 1000

struct timeline_windows
{
	uint32_t timeline;
	size_t nwindows;
	struct window *windows; /* in order */
	size_t ngaps;           /* those that are told */
	struct window_gap *gaps;
	uint64_t gaps_found; /* all of them */
	uint64_t segments_missing;
};

/*
 * Along history, with those of the backups (in order of their LSNs) that lead
 * along it, start at window_lsn or later, and have their own WAL.  No window
 * is no error.  On success *out is freed with timeline_windows_free.
 */
extern enum status
timeline_windows_find(const struct timeline_history *history,
					  const struct wal_map *map,
					  const struct backup_summary *const *backups,
					  size_t nbackups, uint64_t window_lsn,
					  struct timeline_windows *out, struct err *err) ERR_CHECK;
extern void timeline_windows_free(struct timeline_windows *windows);

/* Is what makes it consistent there? */
extern bool window_backup_whole(const struct wal_map *map,
								const struct backup_summary *backup);

/*
 * A picture: out, of width characters and a zero, shows the way from the
 * first window's beginning to the last one's end as '=', gaps as 'x', and each
 * backup's end as 'B'.
 */
extern void
window_draw(const struct timeline_windows *windows,
			const struct timeline_history *history,
			const struct backup_summary *const *backups, size_t nbackups,
			uint32_t segment_size, char *out, size_t width);

#endif
