/*
 * wal_file.h - a WAL file in pg_wal
 *
 * Opens and identifies a file, and notices when it changes while it is read.
 * Knows nothing of the repository.
 */
#ifndef WALSHIP_WAL_FILE_H
#define WALSHIP_WAL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/err.h"
#include "common/walname.h"
#include "common/walpage.h"

struct wal_file
{
	const char *path; /* borrowed */
	struct wal_name name;
	uint64_t size_bytes;
	struct wal_page page; /* of a segment or .partial */
	struct stat opened;   /* of the descriptor when it was opened */
	int fd;
	uint64_t offset; /* of the next wal_file_read */
};

/*
 * Opens the file, takes its name from the path, and checks that it is what
 * the name says and of that cluster: size, address, timeline and system
 * identifier of a segment's first page, grammar of a history or backup
 * history file.  ST_CONFIG: no WAL file's name, or no regular file.
 * ST_CORRUPT: it is not what its name says.  On success, to be closed.
 */
extern enum status
wal_file_open(struct wal_file *file, const char *path,
			  uint64_t system_identifier, struct err *err) ERR_CHECK;
extern void wal_file_close(struct wal_file *file);

/*
 * An object_source, the wal_file being its arg: the next len bytes.
 * wal_file_rewind starts again from the first.
 */
extern enum status
wal_file_read(void *arg, void *data, size_t len, struct err *err);
extern void wal_file_rewind(struct wal_file *file);

/* ST_IO if the file is not exactly the one that was opened any more. */
extern enum status
wal_file_unchanged(const struct wal_file *file, struct err *err) ERR_CHECK;

/*
 * Reads a whole segment and tells whether it holds WAL up to its end
 * (walscan.h).  A standby also archives segments that it has received in
 * part, and a crashed server leaves one.  Rewinds.
 */
extern enum status wal_file_complete(struct wal_file *file, bool *complete,
									 struct err *err) ERR_CHECK;

#endif
