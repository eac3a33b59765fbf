/*
 * receive.h - from the backup stream into packs and manifest
 *
 * Takes the tar archives apart, stores every file, checks all of it against
 * the server's own manifest, and keeps that one as a file too.
 */
#ifndef BASEBACKUP_RECEIVE_H
#define BASEBACKUP_RECEIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/archive_wait.h"
#include "basebackup/manifest.h"
#include "basebackup/pack.h"
#include "basebackup/progress.h"
#include "basebackup/stream.h"
#include "common/err.h"

#define RECEIVE_RANGES_MAX 64

/* All borrowed. */
struct receive_target
{
	struct pack_pool *pool;
	struct pack_writer *packs;
	struct manifest_writer *manifest;
	struct progress *progress;
	bool lz4; /* the archives come compressed */
	uint32_t page_size;
	uint32_t pages_max; /* as native_ask says, if only changes come; else 0 */
	uint64_t system_identifier;
	uint32_t data_directory_mode;
};

struct receive_result
{
	uint64_t stop_lsn;
	uint32_t stop_timeline;
	struct wal_range ranges[RECEIVE_RANGES_MAX]; /* by timeline */
	size_t nranges;
};

/*
 * Receives everything that stream has, up to the server's last word.  When it
 * returns ST_OK, all files are handed to the packs (not yet put) and proven
 * equal to what the server says it sent.
 */
extern enum status
receive_backup(struct stream *stream, const struct receive_target *target,
			   struct receive_result *result, struct err *err) ERR_CHECK;

#endif
