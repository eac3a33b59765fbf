/*
 * fetch_segment.h - a segment out of the repository into a file
 *
 * One request, unless its first page is of an older timeline: then the
 * history that can allow that is a second one.
 */
#ifndef WALSHIP_FETCH_SEGMENT_H
#define WALSHIP_FETCH_SEGMENT_H

#include <signal.h>
#include <stdint.h>

#include "common/err.h"
#include "common/repo.h"
#include "common/walname.h"

struct fetch_segment
{
	struct repo *repo;           /* its system identifier is known */
	const struct wal_name *name; /* of a segment or .partial */
	const char *path;            /* the file to make */
	int64_t allowance_ms; /* without a byte; each that arrives renews it */
	const volatile sig_atomic_t *cancel; /* or NULL */
};

/*
 * After ST_OK the file is at path, whole, synced, authenticated, with the
 * right size, first page, cluster and timeline; *segment_size, unless NULL,
 * is its length.  After anything else there is no file.  ST_MISSING: there is
 * no such object.
 */
extern enum status
fetch_segment_get(const struct fetch_segment *get, uint32_t *segment_size,
				  struct err *err) ERR_CHECK;

/* Gives the store so long from now on. */
extern void fetch_segment_allow(struct repo *repo, int64_t allowance_ms,
								const volatile sig_atomic_t *cancel);

#endif
