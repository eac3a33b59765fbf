/*
 * status_server.h - what the server says of its own archiving
 *
 * One ordinary connection: any role may ask, and one with pg_monitor learns
 * which files wait to be archived, too.
 */
#ifndef BASEBACKUP_STATUS_SERVER_H
#define BASEBACKUP_STATUS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/pgconn.h"
#include "common/config.h"
#include "common/err.h"
#include "common/walname.h"

struct status_server
{
	bool reached;
	struct err why; /* it was not reached */

	uint64_t system_identifier;
	int version;
	bool in_recovery;
	uint32_t timeline;
	uint64_t lsn; /* written, or in recovery received or replayed */
	uint32_t segment_size;
	bool archives; /* archive_mode, and in recovery "always" */
	int64_t archive_timeout_s;
	int64_t clock_s; /* the server's */

	/* pg_stat_archiver; times 0 and names "": never. */
	uint64_t archived_count;
	uint64_t failed_count;
	char last_archived[WAL_NAME_MAX + 1];
	char last_failed[WAL_NAME_MAX + 1];
	int64_t last_archived_s;
	int64_t last_failed_s;
	bool failing; /* the last try failed */

	/* Files that wait; if the role may look. */
	bool ready_known;
	uint64_t ready_files;
	int64_t ready_age_s; /* of the oldest; 0: there is none */
};

/*
 * Asks.  A server that cannot be reached, or does not answer in time, is no
 * failure: out->reached says so, and out->why why.
 */
extern void
status_server_ask(struct pg_options *options, const struct config *cfg,
				  struct status_server *out);

#endif
