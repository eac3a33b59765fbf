/*
 * marker.h - "this very file is durably stored"
 *
 * What is stored ahead of its call leaves a marker in the spool, under the
 * file's name.  The call for the file believes it only if the file in pg_wal
 * is still the one that was read: same name, size, device, inode, and times
 * of its last changes, of the same cluster, on the same boot of this host.
 * The repository and its key are told by where the spool lies (spool.h), the
 * data directory, too.
 *
 *     walship-pushed-v1 <system identifier> <boot id> <name> <size>
 *         <device> <inode> <mtime> <ctime> LF      (one line, hex numbers)
 *     <name of the object, if it is not the usual one> LF
 *     <BLAKE2b of both lines, 32 hex digits> LF
 *
 * A marker that is lost, damaged or in doubt costs one comparison with the
 * store, never more; the call that believes it removes it.
 *
 * A kernel stamps changes with the time of its last tick, so a file that is
 * changed twice within one tick may keep its times.  Only a file whose last
 * change lies further back than that when it is read gets a marker.
 *
 * Out of scope: an object that somebody deletes from the repository between
 * marker and call.
 */
#ifndef WALSHIP_MARKER_H
#define WALSHIP_MARKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "common/object.h"
#include "common/spool.h"

#define MARKER_TEXT_MAX 1024
#define MARKER_BOOT_MAX 64

/* Which file, and where it is. */
struct marker_file
{
	uint64_t system_identifier;
	const char *boot; /* of marker_boot */
	const char *name;
	const struct stat *stat;
};

/* Pure.  Returns the length.  object "": the usual name. */
extern size_t
marker_format(char text[MARKER_TEXT_MAX], const struct marker_file *file,
			  const char *object);

/* Pure: does the text speak of that file?  Then object says where it is. */
extern bool
marker_parse(const char *text, size_t len, const struct marker_file *file,
			 char object[OBJECT_NAME_MAX + 1]);

/*
 * Pure: how long to wait, in ms, until a change of the file would change its
 * times; 0: now.  now is the kernel's coarse clock.  Whoever would have to
 * wait for more than MARKER_SOON_MS has a file system that counts seconds.
 */
#define MARKER_SOON_MS 50
extern int64_t
marker_settles_ms(const struct stat *stat, const struct timespec *now);

/* Identifies this boot of the host; false, and no marker, if it cannot. */
extern bool marker_boot(char boot[MARKER_BOOT_MAX]);

/* In the spool.  False: not written, as a full or read-only spool has it. */
extern bool marker_leave(const struct spool *spool,
						 const struct marker_file *file, const char *object);
extern bool
marker_find(const struct spool *spool, const struct marker_file *file,
			char object[OBJECT_NAME_MAX + 1]);

#endif
