/*
 * dirstore_put.c - an object becomes visible whole and durable, or not at all
 *
 * Temporary file in the final directory, write, sync, exclusive link, sync of
 * the directory.  The directories above are synced by whoever finds no object
 * in the leaf directory: since an object is linked only after that, finding
 * one proves that it was done.
 *
 * Crash windows: before the link, a temporary file is left over, which is
 * swept up a day later; between link and sync of the directory, the object is
 * visible and perhaps not durable, so whoever meets it (ST_EXISTS) syncs it
 * before it is told, and the caller's comparison can count as success.
 */
#include "common/dirstore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_CHUNK     ((size_t) 1024 * 1024)
#define LEFTOVER_AGE_S  86400
#define SWEEP_MASK      0x3f /* one put in 64 looks for leftovers */
#define TEMPORARY_BYTES (sizeof(DIRSTORE_TEMPORARY) + 16)

struct put
{
	const struct dirstore *ds;
	const char *key;
	const char *leaf; /* the last component of key */
	int root_fd;
	int dir_fd;  /* the directory of leaf */
	int file_fd; /* the temporary file */
	bool temporary_exists;
	char temporary[TEMPORARY_BYTES];
};

static enum status
fail(const struct put *p, const char *verb, struct err *err)
{
	return dirstore_fail(p->ds, verb, p->key, errno, err);
}

/* As PostgreSQL: file systems that cannot sync a directory say so like this.
 */
static bool
sync_directory(int fd)
{
	return fsync(fd) == 0 || errno == EINVAL || errno == EBADF;
}

/* A directory that is gone again was empty and fell to a deletion. */
static enum status
vanished(const struct put *p, struct err *err)
{
	enum status rc = dirstore_check_root(p->ds, p->root_fd, err);

	if (rc != ST_OK)
		return rc;
	return err_set(err, ST_RETRY,
				   "directory of \"%s/%s\" was removed meanwhile", p->ds->root,
				   p->key);
}

/* Steps from *dir_fd down into name, making it, and syncs what it is in. */
static enum status
descend(const struct put *p, int *dir_fd, const char *name, struct err *err)
{
	int next;

	if (mkdirat(*dir_fd, name, 0700) != 0 && errno != EEXIST)
		return errno == ENOENT ? vanished(p, err)
							   : fail(p, "create directory for", err);
	next = openat(*dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (next < 0)
		return errno == ENOENT ? vanished(p, err)
							   : fail(p, "open directory of", err);
	if (!sync_directory(*dir_fd))
	{
		enum status rc = fail(p, "sync directories above", err);

		close(next);
		return rc;
	}
	close(*dir_fd);
	*dir_fd = next;
	return ST_OK;
}

/* Opens p->dir_fd, making and syncing directories where needed. */
static enum status
open_directory(struct put *p, struct err *err)
{
	char path[STORE_KEY_MAX];
	size_t len = (size_t) (p->leaf - p->key);
	const char *name = path;
	char *slash;
	bool held;
	enum status rc = ST_OK;

	memcpy(path, p->key, len);
	path[len] = '\0';

	/* Where it cannot be told, syncing once more is never wrong. */
	held = dirstore_holds_object(p->root_fd, len > 0 ? path : ".") == 1;
	p->dir_fd = openat(p->root_fd, held && len > 0 ? path : ".",
					   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir_fd < 0)
		return errno == ENOENT ? vanished(p, err)
							   : fail(p, "open directory of", err);
	if (held)
		return ST_OK;
	while (rc == ST_OK && (slash = strchr(name, '/')) != NULL)
	{
		*slash = '\0';
		rc = descend(p, &p->dir_fd, name, err);
		name = slash + 1;
	}
	return rc;
}

/* Removes temporary files that the store's clock calls a day older than ours.
 */
static void
sweep_leftovers(const struct put *p)
{
	int fd = openat(p->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	struct stat ours;
	struct stat st;

	if (dir == NULL || fstat(p->file_fd, &ours) != 0)
	{
		if (dir != NULL)
			closedir(dir);
		else if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
	{
		if (strncmp(entry->d_name, DIRSTORE_TEMPORARY,
					sizeof(DIRSTORE_TEMPORARY) - 1) == 0 &&
			fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISREG(st.st_mode) &&
			st.st_mtime < ours.st_mtime - LEFTOVER_AGE_S)
			(void) unlinkat(fd, entry->d_name, 0);
	}
	closedir(dir);
}

static enum status
create_temporary(struct put *p, struct err *err)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_set_errno(err, ST_IO, errno, "could not draw random bytes");
	snprintf(p->temporary, sizeof(p->temporary), DIRSTORE_TEMPORARY "%016llx",
			 (unsigned long long) random);
	p->file_fd = openat(p->dir_fd, p->temporary,
						O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (p->file_fd < 0)
		return errno == ENOENT ? vanished(p, err)
							   : fail(p, "create temporary file for", err);
	p->temporary_exists = true;
	if ((random & SWEEP_MASK) == 0)
		sweep_leftovers(p);
	return ST_OK;
}

static enum status
write_temporary(struct put *p, const char *data, size_t len, struct err *err)
{
	enum status rc = ST_OK;
	int fd = p->file_fd;

	while (len > 0 && rc == ST_OK)
	{
		ssize_t done = write(fd, data, len < WRITE_CHUNK ? len : WRITE_CHUNK);

		if (done < 0 && errno != EINTR)
			return fail(p, "write", err);
		if (done > 0)
		{
			data += done;
			len -= (size_t) done;
		}
		rc = deadline_check(&p->ds->base.deadline, err);
	}
	if (rc == ST_OK && fsync(fd) != 0)
		rc = fail(p, "sync", err);
	p->file_fd = -1;
	if (close(fd) != 0 && rc == ST_OK)
		rc = fail(p, "close", err);
	return rc;
}

/* Is the final name the temporary file?  Then a lost answer said EEXIST. */
static bool
same_file(const struct put *p)
{
	struct stat temporary;
	struct stat final;

	return fstatat(p->dir_fd, p->temporary, &temporary, AT_SYMLINK_NOFOLLOW) ==
			   0 &&
		   fstatat(p->dir_fd, p->leaf, &final, AT_SYMLINK_NOFOLLOW) == 0 &&
		   temporary.st_dev == final.st_dev &&
		   temporary.st_ino == final.st_ino;
}

/*
 * An object of that name is there.  Its writer may have died, or be about to
 * sync, so it is made durable before anybody builds on it.
 */
static enum status
report_existing(const struct put *p, struct err *err)
{
	int fd = openat(p->dir_fd, p->leaf,
					O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	int failed = fd >= 0 && fsync(fd) != 0 && errno != EINVAL ? errno : 0;

	if (fd >= 0)
		close(fd);
	if (failed == 0 && !sync_directory(p->dir_fd))
		failed = errno;
	if (failed != 0)
		return dirstore_fail(p->ds, "sync existing", p->key, failed, err);
	return err_set(err, ST_EXISTS, "object \"%s\" exists already in \"%s\"",
				   p->key, p->ds->root);
}

/* Where hard links do not exist, an exclusive rename does as well. */
static enum status
rename_temporary(struct put *p, struct err *err)
{
	if (renameat2(p->dir_fd, p->temporary, p->dir_fd, p->leaf,
				  RENAME_NOREPLACE) == 0)
	{
		p->temporary_exists = false;
		return ST_OK;
	}
	if (errno == EEXIST)
		return report_existing(p, err);
	if (errno != EINVAL && errno != ENOSYS)
		return fail(p, "rename", err);
	err_set(err, ST_CONFIG,
			"file system of \"%s\" has neither hard links nor exclusive "
			"renames",
			p->ds->root);
	return err_hint(err, "Put the repository on another file system; without "
						 "either, two writers could overwrite each other.");
}

/* Gives the temporary file its final name, which nothing may have. */
static enum status
publish(struct put *p, struct err *err)
{
	enum status rc = ST_OK;

	if (linkat(p->dir_fd, p->temporary, p->dir_fd, p->leaf, 0) != 0)
	{
		int failed = errno;

		if (failed == EPERM || failed == EOPNOTSUPP || failed == ENOSYS ||
			failed == EMLINK)
			rc = rename_temporary(p, err);
		else if (failed != EEXIST)
			rc = dirstore_fail(p->ds, "link", p->key, failed, err);
		else if (!same_file(p))
			rc = report_existing(p, err);
	}
	if (rc != ST_OK)
		return rc;
	if (p->temporary_exists && unlinkat(p->dir_fd, p->temporary, 0) == 0)
		p->temporary_exists = false;
	if (!sync_directory(p->dir_fd))
		return fail(p, "sync directory of", err);
	return ST_OK;
}

enum status
dirstore_put(struct store *store, const char *key, const void *data,
			 size_t len, struct err *err)
{
	const char *slash = strrchr(key, '/');
	struct put p = {.ds = (const struct dirstore *) store,
					.key = key,
					.leaf = slash != NULL ? slash + 1 : key,
					.root_fd = -1,
					.dir_fd = -1,
					.file_fd = -1};
	enum status rc = dirstore_open_root(p.ds, &p.root_fd, err);

	store->requests++;
	if (rc == ST_OK)
		rc = open_directory(&p, err);

	/* Spares the writing; the link decides. */
	if (rc == ST_OK && faccessat(p.dir_fd, p.leaf, F_OK, 0) == 0)
		rc = report_existing(&p, err);
	if (rc == ST_OK)
		rc = create_temporary(&p, err);
	if (rc == ST_OK)
		rc = write_temporary(&p, data, len, err);
	if (rc == ST_OK)
		rc = publish(&p, err);

	if (p.file_fd >= 0)
		close(p.file_fd);
	if (p.temporary_exists)
		(void) unlinkat(p.dir_fd, p.temporary, 0);
	if (p.dir_fd >= 0)
		close(p.dir_fd);
	if (p.root_fd >= 0)
		close(p.root_fd);
	return rc;
}
