/*
 * datadir.h - the data directory that a WAL file belongs to
 *
 * PostgreSQL runs archive_command and restore_command in its data directory
 * and names files relative to it; pg_rewind, and people, give an absolute
 * path from anywhere.  pg_wal may be a symbolic link, and the path one behind
 * it: then the working directory tells.
 */
#ifndef WALSHIP_DATADIR_H
#define WALSHIP_DATADIR_H

#include <limits.h>
#include <stdbool.h>

#include "common/err.h"
#include "common/walpage.h"

struct datadir
{
	char path[PATH_MAX];
	struct pg_control control;
};

/*
 * Finds the data directory of a file in pg_wal: the one above the file's, else
 * the working directory.  ST_MISSING: neither has a pg_control.
 * ST_CONFIG: both have one, of different clusters.  ST_IO, ST_CORRUPT: a
 * pg_control cannot be read.
 */
extern enum status datadir_find(const char *wal_path, struct datadir *out,
								struct err *err) ERR_CHECK;

/* True if the data directory at path holds a file of that name. */
extern bool datadir_has(const char *path, const char *name);

#endif
