/*
 * fetch_target.c - the file that wal-fetch makes
 */
#include "walship/fetch_target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/walname.h"

/* The server's umask decides whether its group may read. */
#define FILE_MODE (S_IRUSR | S_IWUSR | S_IRGRP)

/* Opens the directory that path lies in; base is what follows. */
static int
open_parent(const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	size_t len;

	*base = slash != NULL ? slash + 1 : path;
	if (slash == NULL)
		return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	len = slash == path ? 1 : (size_t) (slash - path);
	if (len >= sizeof(dir))
	{
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(dir, path, len);
	dir[len] = '\0';
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int
open_named(struct fetch_target *t)
{
	t->named = true;
	(void) unlinkat(t->dir_fd, t->temp, 0);
	return openat(t->dir_fd, t->temp,
				  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				  FILE_MODE);
}

enum status
fetch_target_open(struct fetch_target *target, const char *path,
				  struct err *err)
{
	struct fetch_target t = {.path = path, .fd = -1};
	int n;

	t.dir_fd = open_parent(path, &t.base);
	if (t.dir_fd < 0)
		return err_set_errno(err, ST_IO, errno,
							 "could not open the directory of \"%s\"", path);
	n = snprintf(t.temp, sizeof(t.temp), ".walship.%ld.%s", (long) getpid(),
				 t.base);
	if (t.base[0] == '\0' || n < 0 || (size_t) n >= sizeof(t.temp))
	{
		(void) close(t.dir_fd);
		return err_set(err, ST_CONFIG, "\"%s\" cannot be a file", path);
	}
	/* Without /proc a file without a name could never get one. */
	if (access("/proc/self/fd", X_OK) == 0)
		t.fd =
			openat(t.dir_fd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, FILE_MODE);
	if (t.fd < 0)
		t.fd = open_named(&t);
	if (t.fd < 0)
	{
		(void) err_set_errno(err, ST_IO, errno,
							 "could not create a file beside \"%s\"", path);
		(void) close(t.dir_fd);
		return ST_IO;
	}
	*target = t;
	return ST_OK;
}

/* Keeps the first bytes for the page header's check. */
static void
keep_head(struct fetch_target *t, const uint8_t *data, size_t len)
{
	size_t have = (size_t) t->len_bytes;

	if (t->len_bytes >= sizeof(t->head))
		return;
	if (len > sizeof(t->head) - have)
		len = sizeof(t->head) - have;
	memcpy(t->head + have, data, len);
}

enum status
fetch_target_write(void *arg, const void *data, size_t len, struct err *err)
{
	struct fetch_target *t = arg;
	const uint8_t *at = data;

	if (len > WAL_SEGMENT_SIZE_MAX - t->len_bytes)
		return err_set(err, ST_CORRUPT, "longer than any WAL segment");
	keep_head(t, at, len);
	while (len > 0)
	{
		ssize_t n = write(t->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, ST_IO, errno,
								 "could not write file \"%s\"", t->path);
		at += n;
		len -= (size_t) n;
		t->len_bytes += (uint64_t) n;
	}
	return ST_OK;
}

/* Gives the file without a name its name; where taken, the temporary one. */
static bool
link_unnamed(struct fetch_target *t)
{
	char self[64];

	(void) snprintf(self, sizeof(self), "/proc/self/fd/%d", t->fd);
	if (linkat(AT_FDCWD, self, t->dir_fd, t->base, AT_SYMLINK_FOLLOW) == 0)
		return true;
	if (errno != EEXIST)
		return false;
	(void) unlinkat(t->dir_fd, t->temp, 0);
	if (linkat(AT_FDCWD, self, t->dir_fd, t->temp, AT_SYMLINK_FOLLOW) != 0)
		return false;
	t->named = true;
	return true;
}

enum status
fetch_target_publish(struct fetch_target *target, struct err *err)
{
	struct fetch_target *t = target;
	enum status status = ST_OK;
	int closed;

	if (fdatasync(t->fd) != 0)
		status = err_set_errno(err, ST_IO, errno, "could not sync file \"%s\"",
							   t->path);
	if (status == ST_OK &&
		((!t->named && !link_unnamed(t)) ||
		 (t->named && renameat(t->dir_fd, t->temp, t->dir_fd, t->base) != 0)))
		status = err_set_errno(err, ST_IO, errno,
							   "could not create file \"%s\"", t->path);
	if (status != ST_OK)
		return status;
	t->named = false;
	closed = close(t->fd);
	t->fd = -1;
	if (closed != 0 || fsync(t->dir_fd) != 0)
		return err_set_errno(err, ST_IO, errno, "could not sync file \"%s\"",
							 t->path);
	return ST_OK;
}

void
fetch_target_abort(struct fetch_target *target)
{
	if (target->named)
		(void) unlinkat(target->dir_fd, target->temp, 0);
	if (target->fd >= 0)
		(void) close(target->fd);
	if (target->dir_fd >= 0)
		(void) close(target->dir_fd);
	target->named = false;
	target->fd = -1;
	target->dir_fd = -1;
}
