/*
 * status_spool.h - what lies in this host's spool
 */
#ifndef BASEBACKUP_STATUS_SPOOL_H
#define BASEBACKUP_STATUS_SPOOL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/key.h"
#include "common/walname.h"

#define STATUS_SPOOL_PUSHED_MAX 1024

struct status_spool
{
	bool usable;
	char path[PATH_MAX];
	uint64_t pushed_files; /* that wal-push has stored ahead of their calls */
	uint64_t ahead_files;  /* that wal-fetch has fetched ahead */
	uint64_t ahead_bytes;

	/* Segments among pushed_files, as far as there is room. */
	size_t npushed;
	char pushed[STATUS_SPOOL_PUSHED_MAX][WAL_NAME_MAX + 1];
};

/*
 * Looks; a spool that cannot be used is none.  ring NULL: the keys are not
 * known, and neither is what they have to do with.
 */
extern void
status_spool_look(const struct config *cfg, const struct keyring *ring,
				  uint64_t system_identifier, struct status_spool *out);

#endif
