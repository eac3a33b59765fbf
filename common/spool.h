/*
 * spool.h - a place of our own on this host
 *
 * <spool>/<hash of repository and key id>/<system identifier>/, every part a
 * directory of ours that nobody else may enter, none a symbolic link, and
 * none in the data directory.  What is kept there only saves time: where
 * there is no such place, or it may not be written, everything works without
 * it, so opening it cannot fail.
 */
#ifndef COMMON_SPOOL_H
#define COMMON_SPOOL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/key.h"

struct spool
{
	int fd;              /* of the innermost directory; -1: no spool */
	char path[PATH_MAX]; /* its path */
};

/* datadir NULL: none is known.  To be closed; fd tells whether there is one.
 */
extern void spool_open(struct spool *spool, const struct config *cfg,
					   const struct keyring *ring, uint64_t system_identifier,
					   const char *datadir);
extern void spool_close(struct spool *spool);

/* The same for whoever knows the first key's id (NULL: unsealed) only. */
extern void spool_open_known(struct spool *spool, const struct config *cfg,
							 const uint8_t *key_id, uint64_t system_identifier,
							 const char *datadir);

/*
 * The same for whoever has not read the keys: what the settings say of them
 * stands for the first one's id, so it is another directory.
 */
extern void spool_open_unread(struct spool *spool, const struct config *cfg,
							  uint64_t system_identifier, const char *datadir);

/* The directory <spool> itself, under the same rules. */
extern void spool_open_top(struct spool *spool, const struct config *cfg,
						   const char *datadir);

/*
 * A directory in a spool for what belongs to one data directory, by its
 * device and inode: several servers of one cluster may share a host.  kind
 * says what is in it ("push", "fetch").
 */
extern void spool_open_below(struct spool *below, const struct spool *spool,
							 const char *kind, const char *datadir);

/* The path, or NULL without a spool. */
extern const char *spool_path(const struct spool *spool);

/*
 * Small files of a spool.  Reading gives the length, -1 if there is no such
 * file, or it is not a regular file of ours, or it is longer than room.
 * Writing replaces a file at once, without syncing it; true if all went well.
 */
extern int spool_read(const struct spool *spool, const char *name, void *data,
					  size_t room);
extern bool spool_write(const struct spool *spool, const char *name,
						const void *data, size_t len);
extern void spool_remove(const struct spool *spool, const char *name);

#endif
