/*
 * archive_wait.h - is the WAL that a backup needs in the archive?
 */
#ifndef BASEBACKUP_ARCHIVE_WAIT_H
#define BASEBACKUP_ARCHIVE_WAIT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/repo.h"

/* WAL of one timeline, end_lsn not included. */
struct wal_range
{
	uint32_t timeline;
	uint64_t start_lsn;
	uint64_t end_lsn;
};

/*
 * The segments of range i that must be in the archive.  The segment in which
 * the next timeline begins is taken from that one, as the server does it:
 * it begins with a copy of the old one's records.  False: none.
 */
extern bool
wal_range_segments(const struct wal_range *ranges, size_t nranges, size_t i,
				   uint32_t segment_size, uint64_t *first, uint64_t *last);

struct archive_wait
{
	const struct wal_range *ranges; /* by timeline */
	size_t nranges;
	uint32_t segment_size;
	bool from_standby;
	int64_t timeout_ms;
	const volatile sig_atomic_t *cancel;
};

/*
 * Returns ST_OK when the archive holds every segment of the ranges.
 * ST_DEADLINE, with what is missing and where to look, if they do not come.
 */
extern enum status
archive_wait(struct repo *repo, const struct archive_wait *wait,
			 struct err *err) ERR_CHECK;

#endif
