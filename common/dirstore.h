/*
 * dirstore.h - what the files of the directory store share
 *
 * Keys are paths below the root directory.  The root must exist and is never
 * created: if it is a file system that is not mounted, an empty directory
 * would be taken for an empty repository.  Every call opens the root first
 * and works relative to it, so that "no such file" speaks about the key.
 *
 * Files have mode 0600 and directories 0700.
 */
#ifndef COMMON_DIRSTORE_H
#define COMMON_DIRSTORE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/store.h"

#define DIRSTORE_TEMPORARY ".tmp-" /* how unfinished files' names begin */

struct dirstore
{
	struct store base;
	char *root; /* absolute, no '/' at the end */
};

/* Opens the root directory.  ST_CONFIG if it is absent. */
extern enum status dirstore_open_root(const struct dirstore *ds, int *root_fd,
									  struct err *err) ERR_CHECK;

/* ST_CONFIG if the root was removed since root_fd was opened. */
extern enum status dirstore_check_root(const struct dirstore *ds, int root_fd,
									   struct err *err) ERR_CHECK;

/*
 * Turns errno_value into a status, and reports "could not <verb> <path>".  A
 * full disk or an I/O error is ST_IO: whoever waits should hear of it at once.
 */
extern enum status
dirstore_fail(const struct dirstore *ds, const char *verb, const char *key,
			  int errno_value, struct err *err);

/* What an entry of a directory can be. */
enum dirstore_type
{
	DIRSTORE_OBJECT,
	DIRSTORE_DIRECTORY,
	DIRSTORE_OTHER /* or a name that no key can have, or a temporary file */
};

struct dirent;
extern enum dirstore_type
dirstore_entry_type(int dir_fd, const struct dirent *entry);

/*
 * 1 if the directory path (relative to dir_fd) holds an object at any depth,
 * 0 if not or if it is gone, -1 with errno.
 */
extern int dirstore_holds_object(int dir_fd, const char *path);

/* store_ops; the rest of them is in dirstore.c and private to it. */
extern enum status dirstore_put(struct store *store, const char *key,
								const void *data, size_t len, struct err *err);
extern enum status
dirstore_list(struct store *store, const char *prefix, const char *start_after,
			  bool shallow, store_lister lister, void *arg, struct err *err);

#endif
