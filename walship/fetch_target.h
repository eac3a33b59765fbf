/*
 * fetch_target.h - the file that wal-fetch makes
 *
 * Its bytes gather in a file without a name, in the directory where it will
 * lie, and get their name, all at once and synced, only by publishing.  So
 * not even a killed process leaves a part of a file behind.  Where the file
 * system has no such files, a temporary name serves.
 */
#ifndef WALSHIP_FETCH_TARGET_H
#define WALSHIP_FETCH_TARGET_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/walpage.h"

struct fetch_target
{
	const char *path; /* borrowed */
	const char *base; /* its last component */
	int dir_fd;
	int fd;
	bool named; /* by temp, instead of not at all */
	char temp[NAME_MAX + 1];
	uint64_t len_bytes;                  /* written so far */
	uint8_t head[WAL_LONG_HEADER_BYTES]; /* the first bytes written */
};

/* On success either published or aborted later; abort is fine after both. */
extern enum status
fetch_target_open(struct fetch_target *target, const char *path,
				  struct err *err) ERR_CHECK;

/*
 * A store_sink, the target being its arg: appends.  ST_CORRUPT beyond the
 * length of the longest segment.
 */
extern enum status
fetch_target_write(void *arg, const void *data, size_t len, struct err *err);

/* Syncs, names, and syncs the directory; replaces what had the name. */
extern enum status
fetch_target_publish(struct fetch_target *target, struct err *err) ERR_CHECK;
extern void fetch_target_abort(struct fetch_target *target);

#endif
