/*
 * dirstore.c - objects as files: opening, reading, deleting
 */
#include "common/dirstore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GET_CHUNK ((size_t) 256 * 1024)
#define DEPTH_MAX 64

enum status
dirstore_open_root(const struct dirstore *ds, int *root_fd, struct err *err)
{
	*root_fd = open(ds->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*root_fd >= 0)
		return ST_OK;
	if (errno != ENOENT && errno != ENOTDIR)
		return dirstore_fail(ds, "open directory", "", errno, err);
	err_set_errno(err, ST_CONFIG, errno,
				  "could not open repository directory \"%s\"", ds->root);
	err_hint(err, "It is never created by itself. Mount its file system, or "
				  "create the directory.");
	return ST_CONFIG;
}

enum status
dirstore_check_root(const struct dirstore *ds, int root_fd, struct err *err)
{
	struct stat st;

	if (fstat(root_fd, &st) != 0)
		return dirstore_fail(ds, "stat", "", errno, err);
	if (st.st_nlink == 0)
		return err_set(err, ST_CONFIG,
					   "repository directory \"%s\" was removed", ds->root);
	return ST_OK;
}

enum status
dirstore_fail(const struct dirstore *ds, const char *verb, const char *key,
			  int errno_value, struct err *err)
{
	const char *slash = key[0] != '\0' ? "/" : "";
	enum status status;

	switch (errno_value)
	{
		case EACCES:
		case EPERM:
			status = ST_AUTH;
			break;
		case EAGAIN:
		case EBUSY:
		case EINTR:
		case EMFILE:
		case ENFILE:
		case ENOLCK:
		case ENOMEM:
		case ESTALE:
		case ETIMEDOUT:
		case ECONNRESET:
		case EHOSTDOWN:
		case EHOSTUNREACH:
		case ENETDOWN:
		case ENETUNREACH:
			status = ST_RETRY;
			break;
		default:
			status = ST_IO;
	}
	err_set_errno(err, status, errno_value, "could not %s \"%s%s%s\"", verb,
				  ds->root, slash, key);
	return status;
}

enum dirstore_type
dirstore_entry_type(int dir_fd, const struct dirent *entry)
{
	unsigned char type = entry->d_type;
	struct stat st;

	if (!store_key_valid(entry->d_name))
		return DIRSTORE_OTHER;
	if (type == DT_REG)
		return DIRSTORE_OBJECT;
	if (type == DT_DIR)
		return DIRSTORE_DIRECTORY;
	if ((type != DT_UNKNOWN && type != DT_LNK) ||
		fstatat(dir_fd, entry->d_name, &st, 0) != 0)
		return DIRSTORE_OTHER;
	if (S_ISREG(st.st_mode))
		return DIRSTORE_OBJECT;
	return S_ISDIR(st.st_mode) ? DIRSTORE_DIRECTORY : DIRSTORE_OTHER;
}

/* dirstore_holds_object, one level of it. */
static int
holds_object(int dir_fd, const char *path, int depth)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	int found = 0;

	if (dir == NULL)
	{
		int saved = errno;

		if (fd >= 0)
			close(fd);
		errno = saved;
		return saved == ENOENT || saved == ENOTDIR ? 0 : -1;
	}
	while (found == 0 && (errno = 0, entry = readdir(dir)) != NULL)
	{
		enum dirstore_type type = dirstore_entry_type(dirfd(dir), entry);

		if (type == DIRSTORE_OBJECT)
			found = 1;
		else if (type == DIRSTORE_DIRECTORY && depth < DEPTH_MAX)
			found = holds_object(dirfd(dir), entry->d_name, depth + 1);
	}
	if (found == 0 && errno != 0)
		found = -1;
	if (found >= 0)
		closedir(dir);
	else
	{
		int saved = errno;

		closedir(dir);
		errno = saved;
	}
	return found;
}

int
dirstore_holds_object(int dir_fd, const char *path)
{
	return holds_object(dir_fd, path, 0);
}

/* An object opened for reading. */
struct source
{
	const char *key;
	int fd;
	struct stat st;
};

/* Opens an object and checks that it is one; fd is -1 unless ST_OK. */
static enum status
open_source(const struct dirstore *ds, const char *key, struct source *source,
			struct err *err)
{
	int root_fd;
	enum status rc = dirstore_open_root(ds, &root_fd, err);

	memset(source, 0, sizeof(*source));
	source->key = key;
	source->fd = -1;
	if (rc != ST_OK)
		return rc;
	source->fd =
		openat(root_fd, key, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (source->fd < 0 && (errno == ENOENT || errno == ENOTDIR))
	{
		rc = dirstore_check_root(ds, root_fd, err);
		if (rc == ST_OK)
			rc = err_set(err, ST_MISSING,
						 "object \"%s\" does not exist in \"%s\"", key,
						 ds->root);
	}
	else if (source->fd < 0)
		rc = dirstore_fail(ds, "open", key, errno, err);
	else if (fstat(source->fd, &source->st) != 0)
		rc = dirstore_fail(ds, "stat", key, errno, err);
	else if (!S_ISREG(source->st.st_mode))
		rc = err_set(err, ST_CORRUPT, "\"%s/%s\" is not a regular file",
					 ds->root, key);
	close(root_fd);
	if (rc != ST_OK && source->fd >= 0)
	{
		close(source->fd);
		source->fd = -1;
	}
	return rc;
}

static enum status
dirstore_head(struct store *store, const char *key, struct store_stat *stat,
			  struct err *err)
{
	const struct dirstore *ds = (const struct dirstore *) store;
	struct source source;
	enum status rc;

	store->requests++;
	rc = open_source(ds, key, &source, err);
	if (rc != ST_OK)
		return rc;
	close(source.fd);
	memset(stat, 0, sizeof(*stat));
	stat->size_bytes = (uint64_t) source.st.st_size;
	stat->modified = source.st.st_mtime;
	store->answered_s = (int64_t) time(NULL);
	return ST_OK;
}

/* Delivers bytes from..to, which the file had when it was opened. */
static enum status
deliver_range(const struct dirstore *ds, const struct source *source,
			  uint64_t from, uint64_t to, store_sink sink, void *arg,
			  struct err *err)
{
	uint8_t *chunk = malloc(GET_CHUNK);
	enum status rc = ST_OK;

	if (chunk == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	while (from < to && rc == ST_OK)
	{
		size_t want = to - from < GET_CHUNK ? (size_t) (to - from) : GET_CHUNK;
		ssize_t got = pread(source->fd, chunk, want, (off_t) from);

		if (got < 0 && errno != EINTR)
			rc = dirstore_fail(ds, "read", source->key, errno, err);
		else if (got == 0)
			rc = err_set(err, ST_CORRUPT,
						 "object \"%s\" ended early, at byte %llu",
						 source->key, (unsigned long long) from);
		else
		{
			if (got > 0)
				rc = sink(arg, chunk, (size_t) got, err);
			from += got > 0 ? (uint64_t) got : 0;
			if (rc == ST_OK)
				rc = deadline_check(&ds->base.deadline, err);
		}
	}
	free(chunk);
	return rc;
}

static enum status
dirstore_get(struct store *store, const char *key, uint64_t offset,
			 uint64_t length, store_sink sink, void *arg, struct err *err)
{
	const struct dirstore *ds = (const struct dirstore *) store;
	struct source source;
	uint64_t size;
	enum status rc;

	store->requests++;
	rc = open_source(ds, key, &source, err);
	if (rc != ST_OK)
		return rc;
	size = (uint64_t) source.st.st_size;
	if (offset > size || length > size - offset)
		rc = err_set(err, ST_CORRUPT,
					 "object \"%s\" has %llu bytes, too few for %llu from "
					 "byte %llu on",
					 key, (unsigned long long) size,
					 (unsigned long long) length, (unsigned long long) offset);
	else
		rc =
			deliver_range(ds, &source, offset,
						  length > 0 ? offset + length : size, sink, arg, err);
	close(source.fd);
	return rc;
}

/* The length of what stands before the last '/' of key, 0: nothing. */
static size_t
parent_len(const char *key)
{
	const char *slash = strrchr(key, '/');

	return slash != NULL ? (size_t) (slash - key) : 0;
}

/*
 * After deletions in the directory path (changed in place): removes it and
 * its parents as far as they are empty, and syncs the first that stays, so
 * that later deletions cannot become durable before these.
 */
static enum status
tidy_directory(const struct dirstore *ds, int root_fd, char *path,
			   struct err *err)
{
	enum status rc = ST_OK;
	int fd;

	while (path[0] != '\0' &&
		   (unlinkat(root_fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT))
		path[parent_len(path)] = '\0';
	fd = openat(root_fd, path[0] != '\0' ? path : ".",
				O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT
				   ? ST_OK
				   : dirstore_fail(ds, "open directory", path, errno, err);
	if (fsync(fd) != 0 && errno != EINVAL && errno != EBADF)
		rc = dirstore_fail(ds, "sync directory", path, errno, err);
	close(fd);
	return rc;
}

static enum status
remove_one(const struct dirstore *ds, int root_fd, const char *key,
		   struct err *err)
{
	enum status rc = deadline_check(&ds->base.deadline, err);

	if (rc != ST_OK)
		return rc;
	if (unlinkat(root_fd, key, 0) == 0)
		return ST_OK;
	if (errno == ENOENT || errno == ENOTDIR)
		return dirstore_check_root(ds, root_fd, err);
	return dirstore_fail(ds, "remove", key, errno, err);
}

/*
 * Removes keys[0..nkeys), all in one directory, which is synced once, before
 * any of them is called gone.
 */
static enum status
remove_group(const struct dirstore *ds, int root_fd, const char *const *keys,
			 size_t nkeys, store_removed removed, void *arg, struct err *err)
{
	static const struct err fine = {.status = ST_OK};
	bool *failed = calloc(nkeys, sizeof(*failed));
	size_t parent = parent_len(keys[0]);
	char path[STORE_KEY_MAX];
	enum status rc = ST_OK;
	enum status synced;
	struct err one;

	if (failed == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < nkeys; i++)
	{
		enum status gone = remove_one(ds, root_fd, keys[i], &one);

		if (gone == ST_OK)
			continue;
		failed[i] = true;
		removed(arg, keys[i], &one);
		if (rc == ST_OK)
			*err = one;
		rc = rc == ST_OK ? gone : rc;
	}
	memcpy(path, keys[0], parent);
	path[parent] = '\0';
	synced = tidy_directory(ds, root_fd, path, &one);
	for (size_t i = 0; i < nkeys; i++)
		if (!failed[i])
			removed(arg, keys[i], synced == ST_OK ? &fine : &one);
	free(failed);
	if (rc == ST_OK && synced != ST_OK)
		*err = one;
	return rc == ST_OK ? synced : rc;
}

static enum status
dirstore_remove(struct store *store, const char *const *keys, size_t nkeys,
				store_removed removed, void *arg, struct err *err)
{
	const struct dirstore *ds = (const struct dirstore *) store;
	enum status first = ST_OK;
	struct err first_err = {.status = ST_OK};
	int root_fd;
	enum status rc = dirstore_open_root(ds, &root_fd, err);

	store->requests++;
	if (rc != ST_OK)
		return rc;
	for (size_t from = 0, to; from < nkeys; from = to)
	{
		size_t parent = parent_len(keys[from]);

		for (to = from + 1; to < nkeys; to++)
			if (parent_len(keys[to]) != parent ||
				strncmp(keys[to], keys[from], parent) != 0)
				break;
		rc = remove_group(ds, root_fd, keys + from, to - from, removed, arg,
						  err);
		if (rc == ST_NOMEM)
			break;
		if (first == ST_OK && rc != ST_OK)
			first_err = *err;
		first = first == ST_OK ? rc : first;
	}
	close(root_fd);
	if (rc == ST_NOMEM)
		return rc;
	if (first != ST_OK)
		*err = first_err;
	return first;
}

/*
 * A probe object shows that links are exclusive here and what the store's
 * clock says, which on a network file system is not ours.
 */
static enum status
probe(struct store *store, const char *key, struct store_features *out,
	  struct err *err)
{
	struct store_stat stat;
	struct err ignored;
	time_t before = time(NULL);
	time_t after;
	enum status rc = dirstore_put(store, key, "probe", 5, err);

	if (rc != ST_OK)
		return rc;
	after = time(NULL);
	rc = dirstore_head(store, key, &stat, err);
	if (rc != ST_OK)
		return rc;
	out->conditional_put =
		dirstore_put(store, key, "again", 5, &ignored) == ST_EXISTS;

	/* Whole seconds, and kernels stamp files with a clock that lags a bit. */
	if (stat.modified < before - 1)
		out->clock_offset_ms = (stat.modified - before) * 1000;
	else if (stat.modified > after)
		out->clock_offset_ms = (stat.modified - after) * 1000;
	return ST_OK;
}

static void
ignore_removed(void *arg, const char *key, const struct err *outcome)
{
	(void) arg;
	(void) key;
	(void) outcome;
}

static enum status
dirstore_features(struct store *store, struct store_features *out,
				  struct err *err)
{
	const struct dirstore *ds = (const struct dirstore *) store;
	char key[STORE_KEY_MAX];
	const char *const keys[] = {key};
	uint64_t random;
	struct err remove_err;
	enum status removed;
	enum status rc;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_set_errno(err, ST_IO, errno, "could not draw random bytes");
	snprintf(key, sizeof(key), ".walship-probe-%016llx",
			 (unsigned long long) random);
	memset(out, 0, sizeof(*out));
	out->settings_known = true;
	out->lifecycle_known = true;
	snprintf(out->endpoint, sizeof(out->endpoint), "file://%s", ds->root);

	rc = probe(store, key, out, err);
	removed =
		dirstore_remove(store, keys, 1, ignore_removed, NULL, &remove_err);
	if (rc == ST_OK && removed != ST_OK)
	{
		*err = remove_err;
		rc = removed;
	}
	return rc;
}

static void
dirstore_free(struct store *store)
{
	struct dirstore *ds = (struct dirstore *) store;

	free(ds->root);
	free(ds);
}

enum status
dirstore_open(const char *path, struct store **out, struct err *err)
{
	static const struct store_ops ops = {
		.put = dirstore_put,
		.get = dirstore_get,
		.head = dirstore_head,
		.list = dirstore_list,
		.remove = dirstore_remove,
		.features = dirstore_features,
		.free = dirstore_free,
	};
	struct dirstore *ds;
	size_t len = strlen(path);

	if (path[0] != '/')
		return err_set(err, ST_CONFIG,
					   "repository directory \"%s\" is not an absolute path",
					   path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	ds = calloc(1, sizeof(*ds));
	if (ds != NULL)
		ds->root = strndup(path, len);
	if (ds == NULL || ds->root == NULL)
	{
		free(ds);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	ds->base.ops = &ops;
	ds->base.deadline = deadline_in(-1, NULL);
	*out = &ds->base;
	return ST_OK;
}
