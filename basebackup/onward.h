/*
 * onward.h - how far recovery from a backup can go
 *
 * Outside keep_within, expire keeps of a backup's WAL only what makes it
 * consistent: it restores to its own end, and nothing later can be reached
 * from it.  What the archive holds says so: a later segment is there, but not
 * the one that would have to come next.
 */
#ifndef BASEBACKUP_ONWARD_H
#define BASEBACKUP_ONWARD_H

#include <stdbool.h>

#include "basebackup/histories.h"
#include "basebackup/manifest_read.h"
#include "common/err.h"
#include "common/repo.h"

/*
 * *out: the WAL behind the backup's end is absent along each timeline that
 * leads on from it, and on one of them there is later WAL.  False for a
 * backup at the archive's end.  A request for each backup, where WAL follows.
 */
extern enum status
onward_is_barred(struct repo *repo, const struct histories *histories,
				 const struct backup_summary *backup, bool *out,
				 struct err *err) ERR_CHECK;

#endif
