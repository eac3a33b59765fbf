/*
 * ready.h - the WAL files that wait to be archived, in the archiver's order
 *
 * pg_wal/archive_status has an empty file <name>.ready for each: history
 * files come first, then the others by name (PostgreSQL: pgarch.c).  A list
 * holds the first of them, as many as may be stored ahead, with what became
 * of each.  No thread of its own, no lock.
 */
#ifndef WALSHIP_READY_H
#define WALSHIP_READY_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "common/walname.h"

#define READY_MAX 256

enum ready_state
{
	READY_TODO,
	READY_BUSY, /* somebody stores it */
	READY_DONE  /* and has left its marker */
};

struct ready_file
{
	char name[WAL_NAME_MAX + 1];
	enum ready_state state;
};

struct ready
{
	DIR *dir;
	struct timespec changed; /* of the directory, when it was read */
	size_t count;
	struct ready_file files[READY_MAX]; /* in order */
	struct ready_file before[READY_MAX];
};

/* False if there is no such directory.  datadir is its parent's parent. */
extern bool ready_open(struct ready *ready, const char *datadir);
extern void ready_close(struct ready *ready);

/* True if the directory may have changed since it was read. */
extern bool ready_changed(const struct ready *ready);

/*
 * Reads the directory; files known before keep their state.  gone is told of
 * those that are not ready any more, unless it is NULL.
 */
typedef void (*ready_gone)(void *arg, const char *name);
extern void ready_read(struct ready *ready, ready_gone gone, void *arg);

/* The first in that state; NULL: none. */
extern struct ready_file *
ready_first(struct ready *ready, enum ready_state state);
extern struct ready_file *ready_find(struct ready *ready, const char *name);

/* Is that file ready, or any other one?  Both look at the directory. */
extern bool ready_is(const char *datadir, const char *name);
extern bool ready_others(const char *datadir, const char *name);

/* Pure. */
extern bool ready_is_history(const char *name);

/* Pure: history first, then by name; less than 0, 0, more than 0. */
extern int ready_order(const char *a, const char *b);

#endif
