/*
 * manifest_stored.h - reading the manifest of a stored backup
 */
#ifndef BASEBACKUP_MANIFEST_STORED_H
#define BASEBACKUP_MANIFEST_STORED_H

#include "basebackup/manifest_read.h"
#include "common/err.h"
#include "common/repo.h"

/*
 * Gets the manifest and reads it to its end, as manifest_read.h says.
 * ST_MISSING: there is none.
 */
extern enum status
manifest_read_stored(struct repo *repo, const char *backup_id,
					 const struct manifest_handler *handler, void *arg,
					 struct err *err) ERR_CHECK;

#endif
