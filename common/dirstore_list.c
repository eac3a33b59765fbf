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
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_NAMES ((size_t) 128 * 1024)
#define BATCH_BYTES ((size_t) 8 * 1024 * 1024)
#define NAME_ROOM   (NAME_MAX + 2) /* with '/' and the terminating zero */

/* Names of one directory, packed one behind the other. */
struct batch
{
	char *text;
	size_t used;
	size_t room;
	size_t *at; /* where each name begins */
	size_t nnames;
	size_t names_room;
	bool cut;              /* names above limit were left out */
	char limit[NAME_ROOM]; /* only if cut */
};

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

static int
compare_names(const void *a, const void *b, void *text)
{
	return strcmp((const char *) text + *(const size_t *) a,
				  (const char *) text + *(const size_t *) b);
}

/* Both come from readdir, whose names fit. */
static void
copy_name(char *to, const char *from)
{
	memcpy(to, from, strlen(from) + 1);
}

static void
batch_sort(struct batch *b)
{
	if (b->nnames > 1)
		qsort_r(b->at, b->nnames, sizeof(*b->at), compare_names, b->text);
}

static void
batch_free(struct batch *b)
{
	free(b->text);
	free(b->at);
}

/* Throws the greater half of a full batch out. */
static bool
batch_halve(struct batch *b)
{
	char *text = malloc(b->room);
	size_t used = 0;

	if (text == NULL)
		return false;
	batch_sort(b);
	b->nnames /= 2;
	for (size_t i = 0; i < b->nnames; i++)
	{
		size_t len = strlen(b->text + b->at[i]) + 1;

		memcpy(text + used, b->text + b->at[i], len);
		b->at[i] = used;
		used += len;
	}
	free(b->text);
	b->text = text;
	b->used = used;
	b->cut = true;
	copy_name(b->limit, b->text + b->at[b->nnames - 1]);
	return true;
}

/* Makes room for one more name of NAME_ROOM bytes. */
static bool
batch_reserve(struct batch *b)
{
	if (b->nnames >= BATCH_NAMES || b->used + NAME_ROOM > BATCH_BYTES)
		return batch_halve(b);
	if (b->used + NAME_ROOM > b->room)
	{
		size_t room = b->room > 0 ? b->room * 2 : (size_t) 16 * 1024;
		char *text = realloc(b->text, room);

		if (text == NULL)
			return false;
		b->text = text;
		b->room = room;
	}
	if (b->nnames == b->names_room)
	{
		size_t room = b->names_room > 0 ? b->names_room * 2 : 512;
		size_t *at = realloc(b->at, room * sizeof(*at));

		if (at == NULL)
			return false;
		b->at = at;
		b->names_room = room;
	}
	return true;
}

static bool
batch_add(struct batch *b, const char *name)
{
	size_t len = strlen(name) + 1;

	if (b->cut && strcmp(name, b->limit) > 0)
		return true;
	if (!batch_reserve(b))
		return false;
	memcpy(b->text + b->used, name, len);
	b->at[b->nnames++] = b->used;
	b->used += len;
	return true;
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
		struct batch *b, struct err *err)
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
		char name[NAME_ROOM];
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
			!batch_add(b, name))
			rc = err_set(err, ST_NOMEM, "out of memory");
		errno = 0;
	}
	if (rc == ST_OK && errno != 0)
		rc = dirstore_fail(w->ds, "read directory", w->key, errno, err);
	closedir(dir);
	batch_sort(b);
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
	char cursor[NAME_ROOM] = "";
	bool more = true;
	enum status rc = ST_OK;

	while (more && rc == ST_OK)
	{
		struct batch b = {.cut = false};

		rc = collect(w, dir_len, filter, cursor, &b, err);
		for (size_t i = 0; i < b.nnames && rc == ST_OK; i++)
			rc = walk_entry(w, dir_len, b.text + b.at[i], err);
		more = b.cut;
		if (b.nnames > 0)
			copy_name(cursor, b.text + b.at[b.nnames - 1]);
		batch_free(&b);
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
	if (rc != ST_OK)
		return rc;
	memcpy(w.key, prefix, dir_len);
	w.key[dir_len] = '\0';
	rc = walk_directory(&w, dir_len, prefix + dir_len, err);
	close(w.root_fd);
	return rc;
}
