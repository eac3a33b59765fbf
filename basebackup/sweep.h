/*
 * sweep.h - removing from directories what a backup does not have
 *
 * Nothing that a symbolic link points to is ever touched: links are removed
 * themselves.
 */
#ifndef BASEBACKUP_SWEEP_H
#define BASEBACKUP_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/* What becomes of something that was found. */
enum sweep_verdict
{
	SWEEP_REMOVE, /* a directory with all that is in it */
	SWEEP_KEEP,   /* of a directory, what is in it is asked about, too */
	SWEEP_LEAVE   /* it and all that is in it */
};

enum sweep_type
{
	SWEEP_FILE, /* a regular one */
	SWEEP_DIR,
	SWEEP_LINK, /* a symbolic one */
	SWEEP_OTHER
};

/*
 * path is relative to the directory that is swept; fd and name are for a
 * look at it.
 */
typedef enum sweep_verdict (*sweep_judge)(void *arg, enum sweep_type type,
										  const char *path, int fd,
										  const char *name);

/*
 * Sweeps the directory fd, whose name is for messages.  Directories that are
 * entered become their owner's to read and write.  ST_IO: something could not
 * be removed.
 */
extern enum status sweep_directory(int fd, const char *name, sweep_judge judge,
								   void *arg, struct err *err) ERR_CHECK;

/*
 * Removes the directory path with all that is in it; fine if it is not
 * there.
 */
extern enum status sweep_remove(const char *path, struct err *err) ERR_CHECK;

/* What lies there takes on disk, as far as it can be read. */
extern uint64_t sweep_measure(const char *path);

#endif
