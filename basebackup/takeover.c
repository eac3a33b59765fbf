/*
 * takeover.c - a data directory that is there already
 */
#include "basebackup/takeover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basebackup/plan.h"
#include "common/bytes.h"
#include "common/cli.h"

#define SMALL_FILE 1024

/* --- what is there ------------------------------------------------------- */

/* The beginning of a small file, with a zero behind; false: there is none. */
static bool
read_start(int dir, const char *name, char *out, size_t *len)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, out, SMALL_FILE - 1);
	(void) close(fd);
	if (n < 0)
		return false;
	out[n] = '\0';
	*len = (size_t) n;
	return true;
}

static bool
parse_line(char **at, uint64_t *out)
{
	char *end = strchrnul(*at, '\n');
	bool more = *end == '\n';

	*end = '\0';
	if (!parse_uint64(*at, UINT64_MAX, out))
		return false;
	*at = more ? end + 1 : end;
	return true;
}

/* The cluster that a directory is of, 0: it does not say. */
static uint64_t
find_cluster(int dir)
{
	static const char *const controls[] = {PLAN_CONTROL_FILE,
										   PLAN_CONTROL_PENDING};
	char text[SMALL_FILE], *at = text;
	uint64_t id = 0;
	size_t len;

	for (size_t i = 0; i < 2; i++)
		if (read_start(dir, controls[i], text, &len) && len >= sizeof(id) &&
			(id = get_native64(text)) != 0)
			return id;
	if (read_start(dir, TAKEOVER_MARKER, text, &len) && parse_line(&at, &id))
		return id;
	return 0;
}

/* Line number (from 1 on) of a text; NULL: there is none. */
static char *
find_line(char *text, int number)
{
	for (int i = 1; text != NULL && i < number; i++)
	{
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return text;
}

/* The shared memory of a server whose postmaster died may still be in use. */
static bool
memory_in_use(char *text)
{
	char *line = find_line(text, 7), *end;
	struct shmid_ds info;
	unsigned long id;

	if (line == NULL)
		return false;
	(void) strtoul(line, &end, 10);
	if (end == line || *end != ' ')
		return false;
	id = strtoul(end, NULL, 10);
	return id <= INT32_MAX && shmctl((int) id, IPC_STAT, &info) == 0 &&
		   info.shm_nattch > 0;
}

/*
 * As PostgreSQL itself tells: the process of the lock file lives and is not
 * one of ours, or the shared memory named there has users.
 */
static enum status
check_server(int dir, const char *path, struct err *err)
{
	char text[SMALL_FILE];
	size_t len;
	long pid;

	if (!read_start(dir, "postmaster.pid", text, &len))
		return ST_OK;
	pid = labs(strtol(text, NULL, 10));
	if (pid > 0 && pid <= INT32_MAX && pid != getpid() && pid != getppid() &&
		(kill((pid_t) pid, 0) == 0 || errno == EPERM))
	{
		err_set(err, ST_CONFIG,
				"a server runs on \"%s\", as process %ld tells", path, pid);
		return err_hint(err, "Stop it first.  If no such server runs, remove "
							 "postmaster.pid there.");
	}
	if (memory_in_use(text))
	{
		err_set(err, ST_CONFIG,
				"processes of a server that ran on \"%s\" are still alive",
				path);
		return err_hint(err, "End them first.");
	}
	return ST_OK;
}

/* WAL that lies nowhere else would be lost. */
static enum status
check_archived(int dir, const char *path, struct err *err)
{
	int fd = openat(dir, "pg_wal/archive_status",
					O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	char first[NAME_MAX + 1] = "";
	struct dirent *entry;

	while (list != NULL && (entry = readdir(list)) != NULL)
	{
		size_t len = strlen(entry->d_name);

		if (len > 6 && strcmp(entry->d_name + len - 6, ".ready") == 0 &&
			(first[0] == '\0' || strcmp(entry->d_name, first) < 0))
			(void) snprintf(first, sizeof(first), "%s", entry->d_name);
	}
	if (list != NULL)
		(void) closedir(list);
	else if (fd >= 0)
		(void) close(fd);
	if (first[0] == '\0')
		return ST_OK;
	err_set(err, ST_CONFIG,
			"\"%s\" holds WAL that was never archived, from \"%.*s\" on", path,
			(int) strlen(first) - 6, first);
	return err_hint(err, "It would be lost: archive it with wal-push, or keep "
						 "a copy of pg_wal; --force goes on without it.");
}

static enum status
check_cluster(int dir, const char *path, uint64_t system_identifier,
			  struct err *err)
{
	uint64_t found = find_cluster(dir);

	if (found == system_identifier)
		return ST_OK;
	if (found == 0)
		err_set(err, ST_CONFIG,
				"\"%s\" is not empty, and no data directory of this cluster",
				path);
	else
		err_set(err, ST_CONFIG,
				"\"%s\" is a data directory of cluster %" PRIu64
				", the backup is of %" PRIu64,
				path, found, system_identifier);
	return err_hint(err, "All that is in it would be removed; --force does "
						 "so.");
}

enum status
takeover_refuse_owner(const char *path, struct err *err)
{
	err_set(err, ST_CONFIG, "\"%s\" belongs to another user", path);
	return err_hint(err, "The user that runs this, and will run the server, "
						 "must own it.");
}

enum status
takeover_check(const char *path, uint64_t system_identifier, bool force,
			   struct err *err)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat stat;
	enum status st = ST_OK;

	if (dir < 0)
		return err_set_errno(err, ST_IO, errno,
							 "could not open directory \"%s\"", path);
	if (fstat(dir, &stat) != 0)
		st =
			err_set_errno(err, ST_IO, errno, "could not look at \"%s\"", path);
	else if (stat.st_uid != geteuid())
		st = takeover_refuse_owner(path, err);
	if (st == ST_OK)
		st = check_server(dir, path, err);
	if (st == ST_OK && !force)
		st = check_cluster(dir, path, system_identifier, err);
	if (st == ST_OK && !force)
		st = check_archived(dir, path, err);
	(void) close(dir);
	return st;
}

/* --- taking it over ------------------------------------------------------ */

static enum status
write_marker(int lock, const char *text, struct err *err)
{
	size_t len = strlen(text);
	ssize_t n = -1;

	if (ftruncate(lock, 0) == 0)
		n = write(lock, text, len);
	if (n == (ssize_t) len && fsync(lock) == 0)
		return ST_OK;
	return err_set_errno(err, ST_IO,
						 n >= 0 && n < (ssize_t) len ? ENOSPC : errno,
						 "could not write \"%s\"", TAKEOVER_MARKER);
}

/* Were "global" a link, what is behind it would be somebody else's. */
static enum status
remove_control(int dir, const char *path, struct err *err)
{
	int global =
		openat(dir, "global", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	enum status st = ST_OK;

	if (global < 0)
	{
		if (errno == ENOENT ||
			(unlinkat(dir, "global", 0) == 0 && fsync(dir) == 0))
			return ST_OK;
		return err_set_errno(err, ST_IO, errno,
							 "could not remove \"%s/global\"", path);
	}

	/* All modes are set anew later. */
	(void) fchmod(global, S_IRWXU);
	if ((unlinkat(dir, PLAN_CONTROL_FILE, 0) != 0 && errno != ENOENT) ||
		(unlinkat(dir, PLAN_CONTROL_PENDING, 0) != 0 && errno != ENOENT))
		st = err_set_errno(err, ST_IO, errno,
						   "could not remove pg_control of \"%s\"", path);
	else if (fsync(global) != 0)
		st = err_set_errno(err, ST_IO, errno, "could not flush \"%s/global\"",
						   path);
	(void) close(global);
	return st;
}

enum status
takeover_begin(int fd, const char *path, uint64_t system_identifier,
			   const char *backup_id, int *lock, struct err *err)
{
	char text[128];
	enum status st;

	*lock = openat(fd, TAKEOVER_MARKER,
				   O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*lock < 0)
		return err_set_errno(err, ST_IO, errno,
							 "could not create file \"%s/%s\"", path,
							 TAKEOVER_MARKER);
	if (flock(*lock, LOCK_EX | LOCK_NB) != 0)
		return err_set(err, ST_CONFIG, "another restore to \"%s\" is running",
					   path);
	(void) snprintf(text, sizeof(text), "%" PRIu64 "\n%s\n", system_identifier,
					backup_id);
	if ((st = write_marker(*lock, text, err)) != ST_OK)
		return st;
	if (fsync(fd) != 0)
		return err_set_errno(err, ST_IO, errno, "could not flush \"%s\"",
							 path);
	return remove_control(fd, path, err);
}

enum status
takeover_end(int fd, const char *path, struct err *err)
{
	if (unlinkat(fd, TAKEOVER_MARKER, 0) == 0)
		return ST_OK;
	return err_set_errno(err, ST_IO, errno, "could not remove \"%s/%s\"", path,
						 TAKEOVER_MARKER);
}
