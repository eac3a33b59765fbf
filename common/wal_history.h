/*
 * wal_history.h - timeline histories in the repository
 */
#ifndef COMMON_WAL_HISTORY_H
#define COMMON_WAL_HISTORY_H

#include "common/err.h"
#include "common/repo.h"
#include "common/timeline.h"

#define WAL_HISTORY_BYTES_MAX ((size_t) 8 << 20)

/* ST_CORRUPT unless text is the history file of timeline, with ancestors. */
extern enum status wal_history_check(uint32_t timeline, const char *text,
									 size_t len, struct err *err) ERR_CHECK;

/*
 * Reads the history of a timeline, freed by timeline_history_free.  Timeline
 * 1 has none and is not asked for.  ST_MISSING: it is not in the repository.
 */
extern enum status
wal_history_get(struct repo *repo, uint32_t timeline,
				struct timeline_history *out, struct err *err) ERR_CHECK;

#endif
