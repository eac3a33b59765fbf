/*
 * fetch_spool.c - segments that were fetched ahead
 */
#include "walship/fetch_spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "walship/fetch_local.h"
#include "walship/wal_file.h"

#define COMING_NAME_MAX (WAL_NAME_MAX + 8)

static const char PAUSE_NAME[] = "pause";

static bool
older_than(const struct stat *st, int64_t seconds)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_REALTIME, &now);
	/* A clock that was set back tells nothing. */
	return st->st_mtim.tv_sec > now.tv_sec + 1 ||
		   now.tv_sec - st->st_mtim.tv_sec > seconds;
}

static bool
too_old(const struct stat *st)
{
	return older_than(st, FETCH_SPOOL_AGE_MAX_S);
}

static bool
usable(const struct stat *st)
{
	return st->st_uid == geteuid() && st->st_nlink == 1 &&
		   (st->st_mode & (S_IWGRP | S_IRWXO)) == 0 && !too_old(st);
}

/*
 * The name is not synced: what is lost with it is asked for again, and the
 * bytes were synced when the file was made.
 */
static bool
move(const struct spool *spool, const struct wal_name *name, const char *path)
{
	return renameat(spool->fd, name->text, AT_FDCWD, path) == 0;
}

bool
fetch_spool_take(const struct spool *spool, const struct wal_name *name,
				 const char *path, uint64_t system_identifier, bool keep,
				 uint32_t *segment_size)
{
	char from[PATH_MAX];
	struct wal_file file;
	struct err err;
	bool taken = false;
	bool good;
	int n;

	n = snprintf(from, sizeof(from), "%s/%s", spool->path, name->text);
	if (spool->fd < 0 || n < 0 || (size_t) n >= sizeof(from) ||
		!fetch_spool_has(spool, name))
		return false;
	if (wal_file_open(&file, from, system_identifier, &err) != ST_OK)
	{
		spool_remove(spool, name->text);
		return false;
	}
	good = usable(&file.opened);
	if (good)
		taken = (!keep && move(spool, name, path)) ||
				fetch_local_copy(&file, path, &err) == ST_OK;
	if (taken)
		*segment_size = file.page.segment_size;
	wal_file_close(&file);
	if (!good || (taken && !keep))
		spool_remove(spool, name->text);
	return taken;
}

bool
fetch_spool_has(const struct spool *spool, const struct wal_name *name)
{
	return spool->fd >= 0 && faccessat(spool->fd, name->text, F_OK, 0) == 0;
}

static void
coming_name(char text[COMING_NAME_MAX], const struct wal_name *name)
{
	(void) snprintf(text, COMING_NAME_MAX, "%s.coming", name->text);
}

void
fetch_spool_coming(const struct spool *spool, const struct wal_name *name)
{
	char text[COMING_NAME_MAX];

	coming_name(text, name);
	(void) spool_write(spool, text, "", 0);
}

void
fetch_spool_came(const struct spool *spool, const struct wal_name *name)
{
	char text[COMING_NAME_MAX];

	coming_name(text, name);
	spool_remove(spool, text);
}

bool
fetch_spool_comes(const struct spool *spool, const struct wal_name *name)
{
	char text[COMING_NAME_MAX];

	coming_name(text, name);
	return spool->fd >= 0 && faccessat(spool->fd, text, F_OK, 0) == 0;
}

void
fetch_spool_pause(const struct spool *spool)
{
	(void) spool_write(spool, PAUSE_NAME, "", 0);
}

bool
fetch_spool_paused(const struct spool *spool)
{
	struct stat st;

	return spool->fd >= 0 &&
		   fstatat(spool->fd, PAUSE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		   !older_than(&st, FETCH_SPOOL_PAUSE_S);
}

static DIR *
open_dir(int dir_fd, const char *path)
{
	int fd =
		openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (dir == NULL && fd >= 0)
		(void) close(fd);
	return dir;
}

/* Calls judge for every file, and removes those for which it says so. */
static void
sweep(int dir_fd,
	  bool (*judge)(const char *name, const struct stat *st, const void *arg),
	  const void *arg)
{
	DIR *dir = open_dir(dir_fd, ".");
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		struct stat st;

		if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			!S_ISDIR(st.st_mode) && judge(entry->d_name, &st, arg))
			(void) unlinkat(dir_fd, entry->d_name, 0);
	}
	if (dir != NULL)
		(void) closedir(dir);
}

static bool
is_segment(const char *text, struct wal_name *name)
{
	struct err ignored;

	return wal_name_parse(name, text, &ignored) == ST_OK &&
		   name->kind == WAL_SEGMENT;
}

struct position
{
	uint64_t segno;
	uint32_t segment_size;
};

static bool
is_before(const char *text, const struct stat *st, const void *arg)
{
	const struct position *p = arg;
	struct wal_name name;
	uint64_t segno;

	(void) st;
	return is_segment(text, &name) &&
		   (!wal_name_segno(&name, p->segment_size, &segno) ||
			segno < p->segno);
}

void
fetch_spool_pass(const struct spool *spool, uint64_t segno,
				 uint32_t segment_size)
{
	struct position position = {.segno = segno, .segment_size = segment_size};

	sweep(spool->fd, is_before, &position);
}

static bool
is_waste(const char *text, const struct stat *st, const void *arg)
{
	const bool *all = arg;
	struct wal_name name;

	if (strcmp(text, "lock") == 0)
		return false;
	if (*all)
		return true;
	return too_old(st) ||
		   (strcmp(text, "asked") != 0 && !is_segment(text, &name));
}

void
fetch_spool_clean(const struct spool *spool, bool all)
{
	if (spool->fd >= 0)
		sweep(spool->fd, is_waste, &all);
}

/* Of data directories that are gone nobody else would. */
static bool
is_too_old(const char *text, const struct stat *st, const void *arg)
{
	struct wal_name name;

	(void) arg;
	return is_segment(text, &name) && too_old(st);
}

void
fetch_spool_clean_others(const struct spool *spool)
{
	DIR *dir = open_dir(spool->fd, "..");
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		int fd;

		if (strncmp(entry->d_name, "fetch-", strlen("fetch-")) != 0)
			continue;
		fd = openat(dirfd(dir), entry->d_name,
					O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		sweep(fd, is_too_old, NULL);
		(void) close(fd);
	}
	if (dir != NULL)
		(void) closedir(dir);
}
