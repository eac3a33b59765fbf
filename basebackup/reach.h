/*
 * reach.h - what of expired backups other backups still need
 *
 * A pack or digest object of an expired backup stays while the manifest of
 * another refers to it (common/FORMAT.md, section 7).  Memory: a bit for each
 * such object.
 */
#ifndef BASEBACKUP_REACH_H
#define BASEBACKUP_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/repo.h"

struct reach;

/* expired: the ids of the expired backups in order, borrowed. */
extern enum status reach_new(const char *const *expired, size_t nexpired,
							 struct reach **out, struct err *err) ERR_CHECK;
extern void reach_free(struct reach *reach);

/*
 * What the manifest of that backup refers to is needed.  Reads the manifest;
 * ST_MISSING if there is none.
 */
extern enum status
reach_add_manifest(struct reach *reach, struct repo *repo,
				   const char *backup_id, struct err *err) ERR_CHECK;

/* All that belongs to that backup is needed. */
extern void reach_add_owner(struct reach *reach, const char *backup_id);

/* Is the n-th object of that kind, of that expired backup, needed? */
extern bool reach_needs(const struct reach *reach, const char *backup_id,
						enum object_kind kind, uint32_t n);

#endif
