/*
 * scratch_dir.c - a directory of our own for as long as we live
 */
#include "basebackup/scratch_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "basebackup/sweep.h"
#include "common/deadline.h"
#include "common/log.h"

#define PREFIX      "walship-"
#define MARK        ".walship-scratch"
#define SOCKET_NAME "/.s.PGSQL.5432"

/* What its last processes still write is waited for. */
#define SWEEPS     20
#define SWEEP_MS   100
#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* A server that has just been killed may still be ending. */
static enum status
sweep_all(const char *path, struct err *err)
{
	const struct deadline forever = deadline_in(-1, NULL);
	enum status st = sweep_remove(path, err);
	struct err ignored;

	for (int i = 0; i < SWEEPS && st != ST_OK; i++)
	{
		if (deadline_sleep(&forever, SWEEP_MS, &ignored) != ST_OK)
			break;
		st = sweep_remove(path, err);
	}
	return st;
}

static void
remove_or_tell(const char *path)
{
	struct err err;

	if (sweep_all(path, &err) == ST_OK)
		return;
	err_hint(&err, "Remove \"%s\" by hand.", path);
	log_err_warning(&err);
}

/* --- what others left ---------------------------------------------------- */

/* The lock on a directory of ours whose process is gone; else -1. */
static int
take_over(int parent, const char *name)
{
	int fd = openat(parent, name, OPEN_FLAGS);
	struct stat dir, mark;

	if (fd >= 0 &&
		(fstat(fd, &dir) != 0 || dir.st_uid != geteuid() ||
		 fstatat(fd, MARK, &mark, AT_SYMLINK_NOFOLLOW) != 0 ||
		 !S_ISREG(mark.st_mode) || flock(fd, LOCK_EX | LOCK_NB) != 0))
	{
		(void) close(fd);
		fd = -1;
	}
	return fd;
}

static void
remove_leftovers(const char *parent)
{
	DIR *dir = opendir(parent);
	const struct dirent *entry;
	char path[PATH_MAX];

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		int lock = -1;

		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 &&
			(size_t) snprintf(path, sizeof(path), "%s/%s", parent,
							  entry->d_name) < sizeof(path))
			lock = take_over(dirfd(dir), entry->d_name);
		if (lock < 0)
			continue;
		log_info("removing \"%s\", which a killed process left", path);
		remove_or_tell(path);
		(void) close(lock);
	}
	if (dir != NULL)
		(void) closedir(dir);
}

/* --- our own ------------------------------------------------------------- */

/*
 * Locked before it is marked, so that nobody takes it for a leftover.
 */
static enum status
lock_and_mark(struct scratch *s, struct err *err)
{
	struct stat mine, there;
	int mark = -1;

	s->lock = open(s->dir, OPEN_FLAGS);
	if (s->lock >= 0 && flock(s->lock, LOCK_EX | LOCK_NB) == 0)
		mark = openat(s->lock, MARK, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
					  0600);
	if (mark < 0)
		return err_set_errno(err, ST_IO, errno, "could not lock \"%s\"",
							 s->dir);
	(void) close(mark);
	if (fstat(s->lock, &mine) != 0 || stat(s->dir, &there) != 0 ||
		mine.st_ino != there.st_ino || mine.st_dev != there.st_dev)
		return err_set(err, ST_IO, "directory \"%s\" has been replaced",
					   s->dir);
	return ST_OK;
}

static enum status
name_parts(struct scratch *s, struct err *err)
{
	(void) snprintf(s->data, sizeof(s->data), "%s/data", s->dir);
	(void) snprintf(s->socket, sizeof(s->socket), "%s/socket", s->dir);
	(void) snprintf(s->spool, sizeof(s->spool), "%s/spool", s->dir);
	if (strlen(s->socket) + sizeof(SOCKET_NAME) <=
		sizeof(((struct sockaddr_un *) NULL)->sun_path))
		return ST_OK;
	err_set(err, ST_CONFIG,
			"the name of \"%s\" is too long for a server's socket", s->dir);
	return err_hint(err, "Choose a directory with a shorter name: --scratch.");
}

static enum status
make_parts(const struct scratch *s, struct err *err)
{
	const char *const parts[] = {s->socket, s->spool};

	for (size_t i = 0; i < 2; i++)
		if (mkdir(parts[i], 0700) != 0)
			return err_set_errno(err, ST_IO, errno,
								 "could not make directory \"%s\"", parts[i]);
	return ST_OK;
}

enum status
scratch_make(struct scratch *s, const char *parent, struct err *err)
{
	enum status st;

	*s = (struct scratch){.lock = -1};
	remove_leftovers(parent);
	if ((size_t) snprintf(s->dir, sizeof(s->dir), "%s/" PREFIX "XXXXXX",
						  parent) >= sizeof(s->dir))
	{
		s->dir[0] = '\0';
		return err_set(err, ST_CONFIG, "the name of \"%s\" is too long",
					   parent);
	}
	if (mkdtemp(s->dir) == NULL)
	{
		s->dir[0] = '\0';
		return err_set_errno(err, ST_IO, errno,
							 "could not make a directory in \"%s\"", parent);
	}
	if ((st = lock_and_mark(s, err)) != ST_OK ||
		(st = name_parts(s, err)) != ST_OK ||
		(st = make_parts(s, err)) != ST_OK)
	{
		scratch_remove(s);
		return st;
	}
	log_info("working in \"%s\"; should this be killed, the next run there "
			 "removes that directory",
			 s->dir);
	return ST_OK;
}

void
scratch_remove(struct scratch *s)
{
	if (s->dir[0] == '\0')
		return;
	remove_or_tell(s->dir);
	if (s->lock >= 0)
		(void) close(s->lock);
	s->lock = -1;
	s->dir[0] = '\0';
}
