/*
 * dirstore_list.c - listing a tree of files in byte order of their keys
 *
 * Within a directory names are ordered as keys are: a directory counts with
 * its '/' (so "a-b" and "a.b" come before what is in "a", "a0" behind).  A
 * directory of any size is listed in bounded memory: each pass over it keeps
 * the smallest names that are left.
 */
#include "common/dirstore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/namebatch.h"

struct walk
{
	const struct dirstore *ds;
	int root_fd;
	const char *start_after; /* may be empty, never NULL */
	bool shallow;
	store_lister lister;
	void *arg;
	char key[STORE_KEY_MAX]; /* of the directory at hand, with its '/' */
};

static enum status walk_directory(struct walk *w, size_t dir_len,
								  const char *filter, struct err *err);

/* Both come from readdir, whose names fit. */
static void
copy_name(char *to, const char *from)
{
	memcpy(to, from, strlen(from) + 1);
}

/*
 * Can name (of the directory w->key, dir_len long; a directory's ends in '/')
 * lead to keys behind start_after?
 */
static bool
is_wanted(const struct walk *w, size_t dir_len, const char *name)
{
	size_t name_len = strlen(name);
	const char *rest;
	int order = strncmp(w->start_after, w->key, dir_len);

	if (order != 0)
		return order < 0;
	rest = w->start_after + dir_len;
	if (strcmp(name, rest) > 0)
		return true;
	return !w->shallow && name[name_len - 1] == '/' &&
		   strncmp(rest, name, name_len) == 0;
}

/* One pass: the smallest names above cursor that begin with filter. */
static enum status
collect(struct walk *w, size_t dir_len, const char *filter, const char *cursor,
		struct namebatch *batch, struct err *err)
{
	int fd = openat(w->root_fd, dir_len > 0 ? w->key : ".",
					O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	size_t filter_len = strlen(filter);
	const struct dirent *entry;
	enum status rc = ST_OK;

	if (dir == NULL)
	{
		int saved = errno;

		if (fd >= 0)
			close(fd);
		if (saved == ENOENT || saved == ENOTDIR)
			return dirstore_check_root(w->ds, w->root_fd, err);
		return dirstore_fail(w->ds, "open directory", w->key, saved, err);
	}
	while (rc == ST_OK && (errno = 0, entry = readdir(dir)) != NULL)
	{
		char name[NAMEBATCH_NAME_MAX];
		enum dirstore_type type;

		if (strncmp(entry->d_name, filter, filter_len) != 0)
			continue;
		type = dirstore_entry_type(fd, entry);
		if (type == DIRSTORE_OTHER)
			continue;
		copy_name(name, entry->d_name);
		if (type == DIRSTORE_DIRECTORY)
			copy_name(name + strlen(name), "/");
		if (dir_len + strlen(name) < STORE_KEY_MAX &&
			strcmp(name, cursor) > 0 && is_wanted(w, dir_len, name) &&
			!namebatch_add(batch, name))
			rc = err_set(err, ST_NOMEM, "out of memory");
		errno = 0;
	}
	if (rc == ST_OK && errno != 0)
		rc = dirstore_fail(w->ds, "read directory", w->key, errno, err);
	closedir(dir);
	namebatch_sort(batch);
	return rc;
}

/* Tells of the object w->key, unless it has gone meanwhile. */
static enum status
emit_object(struct walk *w, struct err *err)
{
	struct store_entry entry = {.key = w->key};
	struct stat st;

	if (fstatat(w->root_fd, w->key, &st, 0) != 0)
		return errno == ENOENT || errno == ENOTDIR
				   ? ST_OK
				   : dirstore_fail(w->ds, "stat", w->key, errno, err);
	entry.stat.size_bytes = (uint64_t) st.st_size;
	entry.stat.modified = st.st_mtime;
	return w->lister(w->arg, &entry, err);
}

/* Tells of the prefix w->key if an object stands behind it. */
static enum status
emit_prefix(struct walk *w, struct err *err)
{
	struct store_entry entry = {.key = w->key, .is_prefix = true};
	int held = dirstore_holds_object(w->root_fd, w->key);

	if (held < 0)
		return dirstore_fail(w->ds, "read directory", w->key, errno, err);
	return held == 1 ? w->lister(w->arg, &entry, err) : ST_OK;
}

static enum status
walk_entry(struct walk *w, size_t dir_len, const char *name, struct err *err)
{
	size_t len = dir_len + strlen(name);
	enum status rc = deadline_check(&w->ds->base.deadline, err);

	if (rc != ST_OK)
		return rc;
	copy_name(w->key + dir_len, name);
	if (w->key[len - 1] != '/')
		rc = emit_object(w, err);
	else if (w->shallow)
		rc = emit_prefix(w, err);
	else
		rc = walk_directory(w, len, "", err);
	w->key[dir_len] = '\0';
	return rc;
}

/*
 * Lists what is in the directory w->key.  Recursion is bounded by the length
 * of a key.
 */
static enum status
walk_directory(struct walk *w, size_t dir_len, const char *filter,
			   struct err *err)
{
	char cursor[NAMEBATCH_NAME_MAX] = "";
	bool more = true;
	enum status rc = ST_OK;

	while (more && rc == ST_OK)
	{
		struct namebatch batch;

		namebatch_init(&batch, 0, 0);
		rc = collect(w, dir_len, filter, cursor, &batch, err);
		for (size_t i = 0; i < batch.nnames && rc == ST_OK; i++)
			rc = walk_entry(w, dir_len, namebatch_get(&batch, i), err);
		more = batch.cut;
		if (batch.nnames > 0)
			copy_name(cursor, namebatch_get(&batch, batch.nnames - 1));
		namebatch_free(&batch);
	}
	return rc;
}

enum status
dirstore_list(struct store *store, const char *prefix, const char *start_after,
			  bool shallow, store_lister lister, void *arg, struct err *err)
{
	const char *slash = strrchr(prefix, '/');
	size_t dir_len = slash != NULL ? (size_t) (slash - prefix) + 1 : 0;
	struct walk w = {.ds = (const struct dirstore *) store,
					 .start_after = start_after != NULL ? start_after : "",
					 .shallow = shallow,
					 .lister = lister,
					 .arg = arg};
	enum status rc = dirstore_open_root(w.ds, &w.root_fd, err);

	store->requests++;
	store->answered_s = (int64_t) time(NULL);
	if (rc != ST_OK)
		return rc;
	memcpy(w.key, prefix, dir_len);
	w.key[dir_len] = '\0';
	rc = walk_directory(&w, dir_len, prefix + dir_len, err);
	close(w.root_fd);
	return rc;
}
