/*
 * scratch_dir.h - a directory of our own for as long as we live
 *
 * It holds a copy of a cluster and a server on it (scratch_server.h), and is
 * locked by a flock that ends with this process, however that ends.  So what a
 * killed process left is known by its mark, and that nobody holds the lock.
 */
#ifndef BASEBACKUP_SCRATCH_DIR_H
#define BASEBACKUP_SCRATCH_DIR_H

#include <limits.h>

#include "common/err.h"

struct scratch
{
	char dir[PATH_MAX - 256];
	char data[PATH_MAX - 128]; /* to be made */
	char socket[PATH_MAX - 128];
	char spool[PATH_MAX - 128]; /* of its wal-fetch */
	int lock;                   /* -1: there is none */
};

/*
 * Makes a directory of its own in parent, and says where, after it has
 * removed what killed processes of this user left there.  ST_CONFIG: a path
 * that is too long for a socket.
 */
extern enum status scratch_make(struct scratch *scratch, const char *parent,
								struct err *err) ERR_CHECK;

/*
 * Removes it with all that is in it; a failure is only logged.  Fine if there
 * is none.
 */
extern void scratch_remove(struct scratch *scratch);

#endif
