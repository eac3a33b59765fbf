/*
 * fetch_spool.h - segments that were fetched ahead
 *
 * A directory of the spool for one data directory (spool_open_below), with a
 * file for each segment that is ready, under its name.  A file gets that name
 * only when it is whole, verified and synced (fetch_target.h), and is never
 * changed afterwards, so whatever has a segment's name is that segment: a
 * kill or a power cut leaves nothing else.  Since objects are never
 * rewritten, it stays right for as long as the repository, its key, the
 * cluster and the name are the same; the directory belongs to one of each.
 * What remains is a repository that somebody deleted and made again under
 * the same address: so no file is used that is older than an hour.
 *
 * Beside them: "asked" (fetch_note.h), "lock" (worker.h), and for each segment
 * that the worker is fetching an empty file "<name>.coming"; and "pause".
 */
#ifndef WALSHIP_FETCH_SPOOL_H
#define WALSHIP_FETCH_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/spool.h"
#include "common/walname.h"

#define FETCH_SPOOL_AGE_MAX_S 3600

/*
 * Puts a segment that is ready at path and returns true; the file there is
 * whole, verified, and survives a power cut or is asked for again.  It is
 * moved; copied to another file system, or if keep is set.  One that is too
 * old, or not what it should be, is removed.
 */
extern bool
fetch_spool_take(const struct spool *spool, const struct wal_name *name,
				 const char *path, uint64_t system_identifier, bool keep,
				 uint32_t *segment_size);

extern bool
fetch_spool_has(const struct spool *spool, const struct wal_name *name);

/* The mark of a segment that is being fetched. */
extern void
fetch_spool_coming(const struct spool *spool, const struct wal_name *name);
extern void
fetch_spool_came(const struct spool *spool, const struct wal_name *name);
extern bool
fetch_spool_comes(const struct spool *spool, const struct wal_name *name);

/*
 * After a failure nothing is fetched ahead for a while: a full disk, say,
 * would otherwise make each call fetch four segments in vain.
 */
#define FETCH_SPOOL_PAUSE_S 30
extern void fetch_spool_pause(const struct spool *spool);
extern bool fetch_spool_paused(const struct spool *spool);

/* Removes the segments before that one, on any timeline. */
extern void fetch_spool_pass(const struct spool *spool, uint64_t segno,
							 uint32_t segment_size);

/*
 * Removes what is not to be used any more: all of it, or what is too old or
 * has no segment's name.  The lock stays, and so does, unless all, the note.
 */
extern void fetch_spool_clean(const struct spool *spool, bool all);

/* fetch_spool_clean, not all, of the same cluster's other directories. */
extern void fetch_spool_clean_others(const struct spool *spool);

#endif
