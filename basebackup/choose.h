/*
 * choose.h - which backup leads to a recovery target, and which WAL it takes
 *
 * Pure.  A backup leads to a target if its timeline is the target's or an
 * ancestor of it, if it ended before the next timeline forked off, and if it
 * ended before the target (PostgreSQL refuses to stop before a backup is
 * consistent).
 */
#ifndef BASEBACKUP_CHOOSE_H
#define BASEBACKUP_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/manifest_read.h"
#include "common/err.h"
#include "common/timeline.h"

enum target_kind
{
	TARGET_END,       /* all the WAL there is */
	TARGET_IMMEDIATE, /* the end of the backup */
	TARGET_TIME,
	TARGET_LSN,
	TARGET_XID,
	TARGET_NAME
};

enum target_inclusive
{
	INCLUSIVE_DEFAULT,
	INCLUSIVE_YES,
	INCLUSIVE_NO
};

struct recovery_target
{
	enum target_kind kind;
	int64_t time_us;    /* TARGET_TIME, microseconds since 1970 */
	uint64_t lsn;       /* TARGET_LSN */
	const char *text;   /* TARGET_XID, TARGET_NAME: as given */
	const char *action; /* "pause", "promote", "shutdown"; NULL: default */
	enum target_inclusive inclusive;
};

/* Does the history pass through the whole backup? */
extern bool choose_leads_to(const struct backup_summary *backup,
							const struct timeline_history *history);

/*
 * The newest of the backups that leads to target along history (of the
 * target's timeline); with id, that one or a refusal.  *out is its index.
 * ST_MISSING: there is no backup at all, or none of that id.  ST_CONFIG: none
 * leads there; the nearest that is possible is named.
 */
extern enum status
choose_backup(const struct backup_summary *const *backups, size_t nbackups,
			  const struct timeline_history *history,
			  const struct recovery_target *target, const char *id,
			  size_t *out, struct err *err) ERR_CHECK;

/*
 * A moment that target is surely not behind, as LSN: the end of the first
 * backup on this history that began later.  UINT64_MAX where none is known.
 */
extern uint64_t
choose_limit(const struct backup_summary *const *backups, size_t nbackups,
			 const struct timeline_history *history,
			 const struct recovery_target *target);

/* Segments that recovery reads from one timeline. */
struct wal_span
{
	uint32_t timeline;
	uint64_t first;
	uint64_t last; /* UINT64_MAX: up to the archive's end */
};

/*
 * The segments from start_lsn on timeline start_timeline to the one with
 * end_lsn (UINT64_MAX: up to the archive's end), along history.  PostgreSQL
 * takes each from the newest timeline that had begun by then.  spans has room
 * for history->nentries; returns how many there are.
 */
extern size_t
choose_spans(const struct timeline_history *history, uint32_t start_timeline,
			 uint64_t start_lsn, uint64_t end_lsn, uint32_t segment_size,
			 struct wal_span *spans);

#endif
