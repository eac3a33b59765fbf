/*
 * native.h - incremental backups that the server makes, PostgreSQL 17 and on
 *
 * The server sends only what changed since an earlier backup, whose manifest
 * it is shown first.  Whether it can is asked here; whatever speaks against
 * it is a reason to read all, never a failure of the backup.
 */
#ifndef BASEBACKUP_NATIVE_H
#define BASEBACKUP_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/pgconn.h"
#include "common/deadline.h"
#include "common/err.h"

#define NATIVE_WHY_MAX ERR_MESSAGE_MAX

/*
 * False, with the reason, for a server whose incrementals cannot be had or
 * may be wrong: PostgreSQL 17.11 and 18.6 mended that.  Pure.  version: like
 * 170011.  A build from the middle of development says 0 as its minor, as
 * 19's first release does: it is trusted to have had the same fixes.
 */
extern bool native_version_good(int version, char why[NATIVE_WHY_MAX]);

/*
 * Asks on the replication connection.  *good false: why says the reason.
 * *pages_max: how many pages a file of a relation has at most.
 */
extern enum status
native_ask(struct pgconn *conn, uint32_t page_size,
		   const struct deadline *deadline, bool *good, uint32_t *pages_max,
		   char why[NATIVE_WHY_MAX], struct err *err) ERR_CHECK;

/*
 * Shows the server the earlier backup's manifest: begin, data in pieces, end.
 * ST_SERVER or ST_AUTH if the server refuses it: after pgconn_drain the
 * connection can then be used for a full backup.
 */
extern enum status
native_upload_begin(struct pgconn *conn, const struct deadline *deadline,
					struct err *err) ERR_CHECK;
extern enum status
native_upload_data(struct pgconn *conn, const struct deadline *deadline,
				   const void *data, size_t len, struct err *err) ERR_CHECK;
extern enum status
native_upload_end(struct pgconn *conn, const struct deadline *deadline,
				  struct err *err) ERR_CHECK;

/*
 * Removes the lines "INCREMENTAL FROM ..." from a backup_label in place: with
 * them a server refuses to start.  Returns the new length.  Pure.
 */
extern size_t native_strip_label(char *text, size_t len);

#endif
