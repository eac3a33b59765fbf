/*
 * start_read.h - reading a backup's start object (common/FORMAT.md, 4.1)
 */
#ifndef BASEBACKUP_START_READ_H
#define BASEBACKUP_START_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/backup_id.h"
#include "basebackup/page.h"
#include "common/err.h"
#include "common/repo.h"

struct backup_start
{
	char host[256];
	bool has_digest_key;
	uint8_t digest_key[PAGE_KEY_BYTES];
	size_t nbases;
	char (*bases)[BACKUP_ID_MAX]; /* their ids */
};

/*
 * ST_MISSING: there is none.  ST_CORRUPT: it is not a start of that backup.
 * On success *out is freed with backup_start_free.
 */
extern enum status
start_read(struct repo *repo, const char *backup_id, struct backup_start *out,
		   struct err *err) ERR_CHECK;
extern void backup_start_free(struct backup_start *start);

#endif
