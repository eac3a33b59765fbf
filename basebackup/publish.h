/*
 * publish.h - the last steps of a backup, up to its manifest
 */
#ifndef BASEBACKUP_PUBLISH_H
#define BASEBACKUP_PUBLISH_H

#include <stdint.h>

#include "basebackup/manifest.h"
#include "basebackup/pack_pool.h"
#include "basebackup/pgconn.h"
#include "basebackup/receive.h"
#include "common/err.h"
#include "common/repo.h"

/* A backup whose packs are all put.  All but the summary is borrowed. */
struct publication
{
	struct repo *repo;
	struct pgconn *conn; /* replication, for a timeline's history */
	const char *backup_id;
	struct pack_pool *pool;
	const struct pack_writer *packs; /* finished */
	const struct base *base; /* whose packs are referred to; NULL: none */
	struct manifest_writer *manifest;
	struct receive_result received;
	struct manifest_summary summary;
	int64_t start_put_ms; /* publish_clock_ms, after start was put */
};

/* A clock that also counts while the machine sleeps. */
extern int64_t publish_clock_ms(void);

/*
 * Stores the timeline's history if the archive has none, waits for the WAL,
 * checks the age of start and that every pack exists, puts the manifest.
 */
extern enum status
publish_backup(struct publication *pub, struct err *err) ERR_CHECK;

#endif
