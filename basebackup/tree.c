/*
 * tree.c - the directories that a restore writes into
 */
#include "basebackup/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basebackup/manifest_read.h"

#define OPEN_DIR (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct area
{
	char *path;
	int fd; /* open since before the first write: syncfs reports from there */
	mode_t mode;
};

struct tree
{
	size_t nareas;
	struct area *areas;
};

struct tree_cursor
{
	const struct tree *tree;
	int dir; /* of the last path, -1: none */
	size_t area;
	char dir_path[MANIFEST_PATH_MAX + 1]; /* without a last '/' */
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

enum status
tree_new(size_t nareas, struct tree **out, struct err *err)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	if (tree == NULL)
		return nomem(err);
	tree->areas = calloc(nareas, sizeof(*tree->areas));
	if (tree->areas == NULL)
	{
		free(tree);
		return nomem(err);
	}
	tree->nareas = nareas;
	for (size_t i = 0; i < nareas; i++)
		tree->areas[i].fd = -1;
	*out = tree;
	return ST_OK;
}

void
tree_free(struct tree *tree)
{
	if (tree == NULL)
		return;
	for (size_t i = 0; i < tree->nareas; i++)
	{
		if (tree->areas[i].fd >= 0)
			(void) close(tree->areas[i].fd);
		free(tree->areas[i].path);
	}
	free(tree->areas);
	free(tree);
}

/* Takes fd. */
static enum status
check_empty_fd(int fd, const char *path, struct err *err)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	bool empty = true;
	int error;

	if (dir == NULL)
	{
		error = errno;
		(void) close(fd);
		return err_set_errno(err, ST_IO, error,
							 "could not read directory \"%s\"", path);
	}
	errno = 0;
	while (empty && (entry = readdir(dir)) != NULL)
		empty = strcmp(entry->d_name, ".") == 0 ||
				strcmp(entry->d_name, "..") == 0;
	error = errno;
	(void) closedir(dir);
	if (error != 0)
		return err_set_errno(err, ST_IO, error,
							 "could not read directory \"%s\"", path);
	if (empty)
		return ST_OK;
	err_set(err, ST_CONFIG, "directory \"%s\" is not empty", path);
	return err_hint(err, "Nothing is ever restored over other files.  Empty "
						 "the directory, or name another one.");
}

enum status
tree_check_empty(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		return check_empty_fd(fd, path, err);
	if (errno == ENOENT)
		return ST_OK;
	return err_set_errno(err, ST_IO, errno, "could not open directory \"%s\"",
						 path);
}

/* mkdir -p */
static enum status
make_dirs(const char *path, mode_t mode, struct err *err)
{
	char *copy = strdup(path);
	int error = 0;

	if (copy == NULL)
		return nomem(err);
	for (char *at = copy + 1; error == 0; at++)
	{
		char c = *at;

		if (c != '/' && c != '\0')
			continue;
		*at = '\0';
		if (mkdir(copy, mode) != 0 && errno != EEXIST)
			error = errno;
		*at = c;
		if (c == '\0')
			break;
	}
	free(copy);
	if (error != 0)
		return err_set_errno(err, ST_IO, error,
							 "could not make directory \"%s\"", path);
	return ST_OK;
}

enum status
tree_open_area(struct tree *tree, size_t area, const char *path, mode_t mode,
			   bool taken, struct err *err)
{
	struct area *a = &tree->areas[area];
	enum status st;
	int look;

	if ((st = make_dirs(path, mode, err)) != ST_OK)
		return st;
	a->mode = mode;
	a->path = strdup(path);
	if (a->path == NULL)
		return nomem(err);
	a->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->fd < 0)
		return err_set_errno(err, ST_IO, errno,
							 "could not open directory \"%s\"", path);
	if (fchmod(a->fd, mode) != 0)
		return err_set_errno(err, ST_IO, errno,
							 "could not set the mode of directory \"%s\"",
							 path);
	if (taken)
		return ST_OK;
	look = openat(a->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (look < 0)
		return err_set_errno(err, ST_IO, errno,
							 "could not open directory \"%s\"", path);
	return check_empty_fd(look, path, err);
}

int
tree_fd(const struct tree *tree, size_t area)
{
	return tree->areas[area].fd;
}

const char *
tree_path(const struct tree *tree, size_t area)
{
	return tree->areas[area].path;
}

/* The entry of a directory in its parent may lie on another file system. */
static enum status
sync_parent(const char *path, struct err *err)
{
	char *copy = strdup(path);
	char *slash;
	int fd, error = 0;

	if (copy == NULL)
		return nomem(err);
	slash = strrchr(copy, '/');
	if (slash != NULL)
		slash[slash == copy ? 1 : 0] = '\0';
	fd = open(slash == NULL ? "." : copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* A parent that cannot be read is not ours, nor is its entry new. */
	if (fd < 0 && errno != EACCES)
		error = errno;
	if (fd >= 0)
	{
		if (fsync(fd) != 0)
			error = errno;
		(void) close(fd);
	}
	free(copy);
	if (error != 0)
		return err_set_errno(err, ST_IO, error,
							 "could not flush the directory of \"%s\"", path);
	return ST_OK;
}

enum status
tree_sync(const struct tree *tree, struct err *err)
{
	for (size_t i = 0; i < tree->nareas; i++)
	{
		const struct area *a = &tree->areas[i];
		enum status st;

		if (a->fd < 0)
			continue;
		if (syncfs(a->fd) != 0 || fsync(a->fd) != 0)
			return err_set_errno(err, ST_IO, errno,
								 "could not flush \"%s\" to disk", a->path);
		if ((st = sync_parent(a->path, err)) != ST_OK)
			return st;
	}
	return ST_OK;
}

enum status
tree_cursor_new(const struct tree *tree, struct tree_cursor **out,
				struct err *err)
{
	struct tree_cursor *cursor = calloc(1, sizeof(*cursor));

	if (cursor == NULL)
		return nomem(err);
	cursor->tree = tree;
	cursor->dir = -1;
	*out = cursor;
	return ST_OK;
}

void
tree_cursor_free(struct tree_cursor *cursor)
{
	if (cursor == NULL)
		return;
	if (cursor->dir >= 0)
		(void) close(cursor->dir);
	free(cursor);
}

/* An error about a path below an area: could not "what" it. */
static enum status
fail(const struct tree_cursor *cursor, size_t area, const char *path,
	 int error, const char *what, struct err *err)
{
	err_set_errno(err, ST_IO, error, "could not %s \"%s/%s\"", what,
				  cursor->tree->areas[area].path, path);
	if (error == EEXIST)
		err_hint(err, "Something else is writing there, or the file system "
					  "does not tell upper from lower case.");
	return err->status;
}

/* Goes one directory down from *fd, making it if make is set. */
static int
step(int *fd, const char *name, bool make, mode_t mode)
{
	int next = openat(*fd, name, OPEN_DIR);

	if (next < 0 && errno == ENOENT && make &&
		(mkdirat(*fd, name, mode) == 0 || errno == EEXIST))
		next = openat(*fd, name, OPEN_DIR);
	if (next < 0)
		return -1;
	(void) close(*fd);
	*fd = next;
	return 0;
}

/*
 * Has the cursor at the directory of path; *name is its last component.  The
 * caller has checked the path's grammar.
 */
static enum status
enter(struct tree_cursor *cursor, size_t area, const char *path, bool make,
	  const char **name, struct err *err)
{
	const struct area *a = &cursor->tree->areas[area];
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t) (slash - path);
	char copy[MANIFEST_PATH_MAX + 1], *at = copy, *part;
	int fd;

	*name = slash == NULL ? path : slash + 1;
	if (cursor->dir >= 0 && cursor->area == area &&
		strlen(cursor->dir_path) == len &&
		memcmp(cursor->dir_path, path, len) == 0)
		return ST_OK;
	snprintf(copy, sizeof(copy), "%.*s", (int) len, path);
	fd = openat(a->fd, ".", OPEN_DIR);
	if (fd < 0)
		return fail(cursor, area, path, errno, "open", err);
	while (len > 0 && (part = strsep(&at, "/")) != NULL)
		if (step(&fd, part, make, a->mode) != 0)
		{
			int error = errno;

			(void) close(fd);
			return fail(cursor, area, path, error, "reach the directory of",
						err);
		}
	if (cursor->dir >= 0)
		(void) close(cursor->dir);
	cursor->dir = fd;
	cursor->area = area;
	snprintf(cursor->dir_path, sizeof(cursor->dir_path), "%.*s", (int) len,
			 path);
	return ST_OK;
}

enum status
tree_mkdir(struct tree_cursor *cursor, size_t area, const char *path,
		   mode_t mode, struct err *err)
{
	const char *name;
	enum status st = enter(cursor, area, path, true, &name, err);
	int fd, error = 0;

	if (st != ST_OK)
		return st;
	if (mkdirat(cursor->dir, name, mode) != 0 && errno != EEXIST)
		return fail(cursor, area, path, errno, "make directory", err);
	fd = openat(cursor->dir, name,
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, mode | S_IRWXU) != 0)
		error = errno;
	if (fd >= 0)
		(void) close(fd);
	if (error != 0)
		return fail(cursor, area, path, error, "make directory", err);
	return ST_OK;
}

enum status
tree_create(struct tree_cursor *cursor, size_t area, const char *path,
			uint64_t size, struct err *err)
{
	const char *name;
	enum status st = enter(cursor, area, path, true, &name, err);
	int fd, error = 0;

	if (st != ST_OK)
		return st;
	fd = openat(cursor->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
				0600);
	if (fd < 0)
		return fail(cursor, area, path, errno, "create file", err);
	if (size > 0 && ftruncate(fd, (off_t) size) != 0)
		error = errno;
	if (close(fd) != 0)
		error = errno;
	if (error != 0)
		return fail(cursor, area, path, error, "create file", err);
	return ST_OK;
}

enum status
tree_open(struct tree_cursor *cursor, size_t area, const char *path, int *fd,
		  struct err *err)
{
	const char *name;
	enum status st = enter(cursor, area, path, false, &name, err);

	if (st != ST_OK)
		return st;
	*fd = openat(cursor->dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd < 0)
		return fail(cursor, area, path, errno, "open file", err);
	return ST_OK;
}

enum status
tree_look(struct tree_cursor *cursor, size_t area, const char *path, int *fd,
		  uint64_t *size, struct err *err)
{
	const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	const char *name;
	struct stat st;
	int error;

	if (enter(cursor, area, path, true, &name, err) != ST_OK)
		return err->status;
	*fd = openat(cursor->dir, name, flags);
	/* Its mode is set anew at the end, whatever it is now. */
	if (*fd < 0 && errno == EACCES &&
		fchmodat(cursor->dir, name, 0600, 0) == 0)
		*fd = openat(cursor->dir, name, flags);
	if (*fd < 0 && errno == ENOENT)
		return ST_MISSING;
	if (*fd >= 0 && fstat(*fd, &st) == 0 && S_ISREG(st.st_mode) &&
		st.st_nlink == 1)
	{
		*size = (uint64_t) st.st_size;
		return ST_OK;
	}
	error = errno;
	if (*fd >= 0)
		(void) close(*fd);
	else if (error != ELOOP && error != ENXIO)
		return fail(cursor, area, path, error, "open file", err);
	if (unlinkat(cursor->dir, name, 0) != 0)
		return fail(cursor, area, path, errno, "remove", err);
	return ST_MISSING;
}

enum status
tree_finish(struct tree_cursor *cursor, size_t area, const char *path,
			mode_t mode, int64_t mtime, struct err *err)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
									  {.tv_sec = (time_t) mtime}};
	const char *name;
	enum status st = enter(cursor, area, path, false, &name, err);

	if (st != ST_OK)
		return st;
	if (fchmodat(cursor->dir, name, mode, 0) != 0 ||
		utimensat(cursor->dir, name, times, AT_SYMLINK_NOFOLLOW) != 0)
		return fail(cursor, area, path, errno, "set mode and time of", err);
	return ST_OK;
}

enum status
tree_append(struct tree_cursor *cursor, size_t area, const char *path,
			const char *text, struct err *err)
{
	const char *name;
	size_t len = strlen(text);
	enum status st = enter(cursor, area, path, true, &name, err);
	int fd, error = 0;

	if (st != ST_OK)
		return st;
	fd = openat(cursor->dir, name,
				O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(cursor, area, path, errno, "open file", err);
	while (len > 0 && error == 0)
	{
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			error = n < 0 ? errno : ENOSPC;
		else
		{
			text += n;
			len -= (size_t) n;
		}
	}
	if (error == 0 && fsync(fd) != 0)
		error = errno;
	if (close(fd) != 0 && error == 0)
		error = errno;
	if (error != 0)
		return fail(cursor, area, path, error, "write file", err);
	return ST_OK;
}

enum status
tree_symlink(struct tree_cursor *cursor, size_t area, const char *path,
			 const char *to, struct err *err)
{
	char there[PATH_MAX];
	const char *name;
	ssize_t len;
	int error;
	enum status st = enter(cursor, area, path, true, &name, err);

	if (st != ST_OK)
		return st;
	if (symlinkat(to, cursor->dir, name) == 0)
		return ST_OK;
	error = errno;
	len = readlinkat(cursor->dir, name, there, sizeof(there));
	if (error != EEXIST || len != (ssize_t) strlen(to) ||
		memcmp(there, to, (size_t) len) != 0)
		return fail(cursor, area, path, error, "make symbolic link", err);
	return ST_OK;
}

enum status
tree_rename(struct tree_cursor *cursor, size_t area, const char *from,
			const char *to, struct err *err)
{
	const char *old, *new;
	enum status st = enter(cursor, area, from, false, &old, err);
	char kept[MANIFEST_PATH_MAX + 1];
	int fd, error = 0;

	if (st != ST_OK)
		return st;
	new = strrchr(to, '/');
	new = new == NULL ? to : new + 1;
	snprintf(kept, sizeof(kept), "%s", old);
	fd = openat(cursor->dir, kept, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		error = errno;
	if (fd >= 0)
		(void) close(fd);
	if (error == 0 && renameat(cursor->dir, kept, cursor->dir, new) != 0)
		error = errno;

	/* The directory was opened as a place only, which cannot be flushed. */
	fd = error != 0
			 ? -1
			 : openat(cursor->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (error == 0 && (fd < 0 || fsync(fd) != 0))
		error = errno;
	if (fd >= 0)
		(void) close(fd);
	if (error != 0)
		return fail(cursor, area, to, error, "put in place", err);
	return ST_OK;
}
