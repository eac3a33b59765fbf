/*
 * keep.h - which backups to keep, and which WAL with them
 *
 * Pure.  Backups come in the order of their ids, so of their LSNs: that order
 * says which is newer, never a clock alone.  Their times only say which day,
 * week, month or year they count for, and whether they lie in the window.
 *
 * The window is the time in which any moment can be recovered.  It takes the
 * backups in it, those that it begins with, and all WAL from there on.  Of a
 * backup outside only the WAL is kept that makes it consistent: it restores
 * to its own end.
 */
#ifndef BASEBACKUP_KEEP_H
#define BASEBACKUP_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/manifest_read.h"
#include "common/timeline.h"
#include "common/walname.h"

/* Why a backup is kept. */
#define KEEP_PINNED  0x01u /* it has a keep object */
#define KEEP_LAST    0x02u
#define KEEP_DAILY   0x04u
#define KEEP_WEEKLY  0x08u
#define KEEP_MONTHLY 0x10u
#define KEEP_YEARLY  0x20u
#define KEEP_WITHIN  0x40u  /* it ended in the window */
#define KEEP_WINDOW  0x80u  /* the window begins with it */
#define KEEP_NEWEST  0x100u /* nothing else could be restored */

#define KEEP_WITHIN_ALL INT64_MAX

/*
 * How many, 0: not kept by that rule.  Of each UTC day, ISO week, month or
 * year that has a backup the last one counts.
 */
struct keep_rules
{
	uint32_t last;
	uint32_t daily;
	uint32_t weekly;
	uint32_t monthly;
	uint32_t yearly;
	int64_t within_s; /* the window's length; KEEP_WITHIN_ALL: whatever the
					   * other rules keep lies in the window */
	bool none_left;   /* even the newest may go */
};

struct keep_backup
{
	const struct backup_summary *summary;
	bool pinned;
	bool good;        /* its WAL is there: only then it counts */
	unsigned reasons; /* out: KEEP_*; 0: it goes */
};

/* The timelines of the archive, in ascending order, each with its history. */
struct keep_timelines
{
	size_t ntimelines;
	const struct timeline_history *histories;
};

/* What is known of the WAL to keep. */
struct keep_wal
{
	const struct keep_backup *backups; /* borrowed */
	size_t nbackups;
	uint32_t segment_size;
	uint64_t window_lsn; /* the window's WAL; UINT64_MAX: there is none */
};

/* Fills in the reasons; returns how many backups are kept. */
extern size_t keep_backups(const struct keep_rules *rules, int64_t now_s,
						   const struct keep_timelines *timelines,
						   struct keep_backup *backups, size_t nbackups);

/*
 * Where the window's WAL begins: at the earliest start of the backups that
 * are in the window or begin it.
 */
extern uint64_t
keep_window_lsn(const struct keep_rules *rules,
				const struct keep_backup *backups, size_t nbackups);

/*
 * Is this file of the archive still needed?  Histories always are.  A
 * .backup, a .partial, and a file set aside (FORMAT.md section 5; name being
 * the part in front of the digest) is needed as long as its segment.
 */
extern bool
keep_wal_needed(const struct keep_wal *wal, const struct wal_name *name);

#endif
