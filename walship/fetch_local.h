/*
 * fetch_local.h - what the server's pg_wal has that the archive lacks
 */
#ifndef WALSHIP_FETCH_LOCAL_H
#define WALSHIP_FETCH_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/walname.h"
#include "walship/wal_file.h"

/* The path of name in the directory of path; false if it does not fit. */
extern bool
fetch_local_beside(const char *path, const char *name, char *out, size_t room);

/* What pg_wal, where path lies, has of a segment that the archive lacks. */
enum fetch_local
{
	LOCAL_NOTHING,
	LOCAL_PART, /* of the segment; the server finds it by itself */
	LOCAL_USED  /* all of it, now also at path */
};

/*
 * The salvaged WAL of a server that died before it could archive it.  Only a
 * whole segment is used; a last, partly filled one the server finds by
 * itself, once it is told that the archive ends.
 */
extern enum fetch_local
fetch_local_salvage(const struct wal_name *name, const char *path,
					uint64_t system_identifier);

/*
 * True if pg_wal, where path lies, has the history of a newer timeline, or if
 * that cannot be told: a server puts there what it is to follow.
 */
extern bool fetch_local_knows_newer(const char *path, uint32_t timeline);

/* Copies an open file to path, synced, all at once. */
extern enum status fetch_local_copy(struct wal_file *file, const char *path,
									struct err *err) ERR_CHECK;

#endif
