/*
 * sweep.c - removing from directories what a backup does not have
 */
#include "basebackup/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_DIR    (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define DEPTH_MAX   64
#define PATH_LENGTH 4096

struct sweep
{
	const char *name;
	sweep_judge judge; /* NULL: all goes */
	void *arg;
	bool looking;           /* changes nothing, not even a mode */
	char path[PATH_LENGTH]; /* of what is looked at */
};

static enum status
fail(const struct sweep *s, const char *what, int error, struct err *err)
{
	return err_set_errno(err, ST_IO, error, "could not %s \"%s%s%s\"", what,
						 s->name, s->path[0] != '\0' ? "/" : "", s->path);
}

static enum sweep_type
type_of(mode_t mode)
{
	if (S_ISDIR(mode))
		return SWEEP_DIR;
	if (S_ISREG(mode))
		return SWEEP_FILE;
	return S_ISLNK(mode) ? SWEEP_LINK : SWEEP_OTHER;
}

static enum status
sweep_level(struct sweep *s, int fd, int depth, struct err *err);

/* Goes into a directory; with all set, whatever is in it goes. */
static enum status
enter(struct sweep *s, int fd, const char *name, bool all, int depth,
	  struct err *err)
{
	sweep_judge judge = s->judge;
	enum status st;
	int sub = openat(fd, name, OPEN_DIR);

	if (sub < 0)
		return fail(s, "open directory", errno, err);
	if (all)
		s->judge = NULL;
	st = sweep_level(s, sub, depth + 1, err);
	s->judge = judge;
	return st;
}

static enum status
take(struct sweep *s, int fd, const char *name, int depth, struct err *err)
{
	enum sweep_verdict verdict = SWEEP_REMOVE;
	enum sweep_type type;
	struct stat stat;
	enum status st = ST_OK;
	bool inside;

	if (fstatat(fd, name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? ST_OK : fail(s, "look at", errno, err);
	type = type_of(stat.st_mode);
	if (s->judge != NULL)
		verdict = s->judge(s->arg, type, s->path, fd, name);
	inside = type == SWEEP_DIR && verdict != SWEEP_LEAVE;

	/* Whoever protected a directory of ours from writing is overruled. */
	if (inside && !s->looking && (stat.st_mode & S_IRWXU) != S_IRWXU &&
		fchmodat(fd, name, (stat.st_mode & 07777) | S_IRWXU, 0) != 0)
		return fail(s, "set the mode of", errno, err);
	if (inside)
		st = enter(s, fd, name, verdict == SWEEP_REMOVE, depth, err);
	if (st == ST_OK && verdict == SWEEP_REMOVE &&
		unlinkat(fd, name, type == SWEEP_DIR ? AT_REMOVEDIR : 0) != 0)
		return fail(s, "remove", errno, err);
	return st;
}

/* All of one directory; takes fd. */
static enum status
sweep_level(struct sweep *s, int fd, int depth, struct err *err)
{
	size_t len = strlen(s->path);
	DIR *dir = depth < DEPTH_MAX ? fdopendir(fd) : NULL;
	struct dirent *entry;
	enum status st = ST_OK;

	if (dir == NULL)
	{
		(void) close(fd);
		return fail(s, "read directory", depth < DEPTH_MAX ? errno : ELOOP,
					err);
	}
	errno = 0;
	while (st == ST_OK && (entry = readdir(dir)) != NULL)
	{
		if (strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0)
			continue;
		if ((size_t) snprintf(s->path + len, sizeof(s->path) - len, "%s%s",
							  len > 0 ? "/" : "",
							  entry->d_name) >= sizeof(s->path) - len)
			st = fail(s, "read", ENAMETOOLONG, err);
		else
			st = take(s, dirfd(dir), entry->d_name, depth, err);
		s->path[len] = '\0';
		errno = 0;
	}
	if (st == ST_OK && errno != 0)
		st = fail(s, "read directory", errno, err);
	(void) closedir(dir);
	return st;
}

/* All below the directory fd. */
static enum status
sweep_below(struct sweep *s, int fd, struct err *err)
{
	int dir = openat(fd, ".", OPEN_DIR);

	if (dir < 0)
		return fail(s, "open directory", errno, err);
	return sweep_level(s, dir, 0, err);
}

enum status
sweep_directory(int fd, const char *name, sweep_judge judge, void *arg,
				struct err *err)
{
	struct sweep s = {.name = name, .judge = judge, .arg = arg};

	return sweep_below(&s, fd, err);
}

enum status
sweep_remove(const char *path, struct err *err)
{
	struct sweep s = {.name = path};
	int dir = open(path, OPEN_DIR);
	enum status st;

	if (dir < 0)
		return errno == ENOENT ? ST_OK
							   : fail(&s, "open directory", errno, err);
	st = sweep_level(&s, dir, 0, err);
	if (st == ST_OK && rmdir(path) != 0)
		st = fail(&s, "remove", errno, err);
	return st;
}

static enum sweep_verdict
measure(void *arg, enum sweep_type type, const char *path, int fd,
		const char *name)
{
	uint64_t *bytes = arg;
	struct stat stat;

	(void) path;
	if (type == SWEEP_FILE &&
		fstatat(fd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0)
		*bytes += (uint64_t) stat.st_blocks * 512;
	return SWEEP_KEEP;
}

uint64_t
sweep_measure(const char *path)
{
	uint64_t bytes = 0;
	struct sweep s = {
		.name = path, .judge = measure, .arg = &bytes, .looking = true};
	struct err ignored;
	int fd = open(path, OPEN_DIR & ~O_NOFOLLOW);

	/* What cannot be read only makes the measure too small. */
	if (fd < 0 || sweep_below(&s, fd, &ignored) != ST_OK)
		bytes = 0;
	if (fd >= 0)
		(void) close(fd);
	return bytes;
}
