/*
 * ready.c - the WAL files that wait to be archived, in the archiver's order
 */
#include "walship/ready.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRESH_S    2 /* of any file system's clock */
#define STATUS_DIR "pg_wal/archive_status"

static const char SUFFIX[] = ".ready";
static const char HISTORY[] = ".history";

static bool
ends_with(const char *text, const char *suffix)
{
	size_t len = strlen(text);
	size_t tail = strlen(suffix);

	return len >= tail && strcmp(text + len - tail, suffix) == 0;
}

bool
ready_is_history(const char *name)
{
	return ends_with(name, HISTORY);
}

int
ready_order(const char *a, const char *b)
{
	bool a_history = ready_is_history(a);
	bool b_history = ready_is_history(b);

	if (a_history != b_history)
		return a_history ? -1 : 1;
	return strcmp(a, b);
}

static bool
status_path(char path[PATH_MAX], const char *datadir, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/" STATUS_DIR "%s%s%s", datadir,
					 name != NULL ? "/" : "", name != NULL ? name : "",
					 name != NULL ? SUFFIX : "");

	return n > 0 && n < PATH_MAX;
}

bool
ready_open(struct ready *ready, const char *datadir)
{
	char path[PATH_MAX];

	memset(ready, 0, sizeof(*ready));
	if (status_path(path, datadir, NULL))
		ready->dir = opendir(path);
	return ready->dir != NULL;
}

void
ready_close(struct ready *ready)
{
	if (ready->dir != NULL)
		(void) closedir(ready->dir);
	ready->dir = NULL;
}

bool
ready_changed(const struct ready *ready)
{
	struct stat st;

	return fstat(dirfd(ready->dir), &st) != 0 ||
		   st.st_mtim.tv_sec != ready->changed.tv_sec ||
		   st.st_mtim.tv_nsec != ready->changed.tv_nsec;
}

/* The name of the WAL file that an entry stands for; false if for none. */
static bool
take_name(const char *entry, char name[WAL_NAME_MAX + 1])
{
	size_t len = strlen(entry);
	struct wal_name parsed;
	struct err err;

	if (!ends_with(entry, SUFFIX) || len - strlen(SUFFIX) > WAL_NAME_MAX)
		return false;
	len -= strlen(SUFFIX);
	memcpy(name, entry, len);
	name[len] = '\0';
	return wal_name_parse(&parsed, name, &err) == ST_OK;
}

/* Where the name is, or would be. */
static size_t
position(const struct ready *ready, const char *name)
{
	size_t low = 0;
	size_t high = ready->count;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (ready_order(ready->files[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct ready_file *
ready_find(struct ready *ready, const char *name)
{
	size_t at = position(ready, name);

	return at < ready->count && strcmp(ready->files[at].name, name) == 0
			   ? &ready->files[at]
			   : NULL;
}

struct ready_file *
ready_first(struct ready *ready, enum ready_state state)
{
	for (size_t i = 0; i < ready->count; i++)
		if (ready->files[i].state == state)
			return &ready->files[i];
	return NULL;
}

/* Keeps the first READY_MAX. */
static void
insert(struct ready *ready, const char *name)
{
	size_t at = position(ready, name);

	if (at == READY_MAX)
		return;
	if (ready->count == READY_MAX)
		ready->count--;
	memmove(&ready->files[at + 1], &ready->files[at],
			(ready->count - at) * sizeof(ready->files[0]));
	(void) snprintf(ready->files[at].name, sizeof(ready->files[at].name), "%s",
					name);
	ready->files[at].state = READY_TODO;
	ready->count++;
}

/*
 * Before the reading, so that what changes meanwhile is seen the next time; a
 * change that is so fresh that another could have the same time is not noted.
 */
static void
note_change(struct ready *ready)
{
	struct timespec now;
	struct stat st;

	ready->changed = (struct timespec){0};
	if (clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0 &&
		fstat(dirfd(ready->dir), &st) == 0 &&
		now.tv_sec - st.st_mtim.tv_sec > FRESH_S)
		ready->changed = st.st_mtim;
}

void
ready_read(struct ready *ready, ready_gone gone, void *arg)
{
	struct ready_file *before = ready->before;
	size_t nbefore = ready->count;
	char name[WAL_NAME_MAX + 1];
	const struct dirent *entry;
	struct ready_file *file;

	memcpy(before, ready->files, nbefore * sizeof(before[0]));
	ready->count = 0;
	note_change(ready);
	rewinddir(ready->dir);
	while ((entry = readdir(ready->dir)) != NULL)
		if (take_name(entry->d_name, name))
			insert(ready, name);
	for (size_t i = 0; i < nbefore; i++)
	{
		file = ready_find(ready, before[i].name);
		if (file != NULL)
			file->state = before[i].state;
		else if (gone != NULL)
			gone(arg, before[i].name);
	}
}

bool
ready_is(const char *datadir, const char *name)
{
	char path[PATH_MAX];

	return status_path(path, datadir, name) && access(path, F_OK) == 0;
}

bool
ready_others(const char *datadir, const char *name)
{
	char path[PATH_MAX];
	char other[WAL_NAME_MAX + 1];
	const struct dirent *entry;
	bool found = false;
	DIR *dir = status_path(path, datadir, NULL) ? opendir(path) : NULL;

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
		found = take_name(entry->d_name, other) && strcmp(other, name) != 0;
	if (dir != NULL)
		(void) closedir(dir);
	return found;
}
