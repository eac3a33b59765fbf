/*
 * verify_wal.h - gaps in the archived WAL
 */
#ifndef BASEBACKUP_VERIFY_WAL_H
#define BASEBACKUP_VERIFY_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/choose.h"
#include "common/err.h"
#include "common/repo.h"

/*
 * Is an object with that name, "wal/...", a file that was archived?  Others
 * did not come from us.
 */
extern bool verify_is_wal(const char *name);

/* Segments first to last are not there, though later ones are needed. */
typedef void (*gap_sink)(void *arg, uint32_t timeline, uint64_t first,
						 uint64_t last);

/*
 * Looks at the segments of span, its last ARCHIVE_OPEN: up to the greatest
 * that is there.  Adds to *files those found.
 */
extern enum status
verify_wal_span(struct repo *repo, const struct wal_span *span,
				uint32_t segment_size, gap_sink sink, void *arg,
				uint64_t *files, struct err *err) ERR_CHECK;

#endif
