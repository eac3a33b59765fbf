/*
 * tree.h - the directories that a restore writes into
 *
 * An area is a directory of the target: the data directory, a tablespace, the
 * place for configuration files.  Everything below an area is reached step by
 * step from its descriptor, and no step follows a symbolic link, so that no
 * path, whatever a manifest says, leads out of it.
 *
 * A tree is set up by one thread and then read-only.  Each thread has a
 * cursor of its own, which remembers the directory it was last in.
 */
#ifndef BASEBACKUP_TREE_H
#define BASEBACKUP_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

struct tree;

extern enum status
tree_new(size_t nareas, struct tree **out, struct err *err) ERR_CHECK;
extern void tree_free(struct tree *tree);

/*
 * ST_OK if path is an empty directory, or absent; ST_CONFIG: it is not empty;
 * ST_IO: it is no directory, or cannot be read.  Changes nothing.
 */
extern enum status
tree_check_empty(const char *path, struct err *err) ERR_CHECK;

/*
 * Makes the directory path (and its parents, as far as they are absent) with
 * that mode, or takes an empty one (with taken: any), and opens it as an
 * area.
 */
extern enum status
tree_open_area(struct tree *tree, size_t area, const char *path, mode_t mode,
			   bool taken, struct err *err) ERR_CHECK;

/* The area's directory, -1 if it was not opened.  Belongs to the tree. */
extern int tree_fd(const struct tree *tree, size_t area);
extern const char *tree_path(const struct tree *tree, size_t area);

/* Flushes the file systems of all areas; ST_IO if anything was lost. */
extern enum status
tree_sync(const struct tree *tree, struct err *err) ERR_CHECK;

struct tree_cursor;

extern enum status
tree_cursor_new(const struct tree *tree, struct tree_cursor **out,
				struct err *err) ERR_CHECK;
extern void tree_cursor_free(struct tree_cursor *cursor);

/* Makes a directory, or sets the mode of one that is there; "." is the root.
 */
extern enum status
tree_mkdir(struct tree_cursor *cursor, size_t area, const char *path,
		   mode_t mode, struct err *err) ERR_CHECK;

/*
 * Makes a file of size bytes that read as zeros, mode 0600; it must not exist.
 * Directories on the way are made with the area's mode.
 */
extern enum status
tree_create(struct tree_cursor *cursor, size_t area, const char *path,
			uint64_t size, struct err *err) ERR_CHECK;

/* Opens a file for writing; the caller closes it. */
extern enum status
tree_open(struct tree_cursor *cursor, size_t area, const char *path, int *fd,
		  struct err *err) ERR_CHECK;

/*
 * Opens a file for reading and writing that may be there from earlier.
 * ST_MISSING: it is not.  What is no regular file, or has other names, too,
 * is removed and missing.  The caller closes *fd.
 */
extern enum status
tree_look(struct tree_cursor *cursor, size_t area, const char *path, int *fd,
		  uint64_t *size, struct err *err) ERR_CHECK;

/* Sets a file's final mode and time. */
extern enum status
tree_finish(struct tree_cursor *cursor, size_t area, const char *path,
			mode_t mode, int64_t mtime, struct err *err) ERR_CHECK;

/* Makes a file with this content, synced, mode 0600, or appends to one. */
extern enum status
tree_append(struct tree_cursor *cursor, size_t area, const char *path,
			const char *text, struct err *err) ERR_CHECK;

/* Fine if there is such a link already. */
extern enum status
tree_symlink(struct tree_cursor *cursor, size_t area, const char *path,
			 const char *to, struct err *err) ERR_CHECK;

/* Gives a file its final name, durably. */
extern enum status
tree_rename(struct tree_cursor *cursor, size_t area, const char *from,
			const char *to, struct err *err) ERR_CHECK;

#endif
