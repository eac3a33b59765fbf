/*
 * fetch_gap.c - is an absent segment the end of the archive, or a gap?
 */
#include "walship/fetch_gap.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/wal_history.h"

#define SEGMENT_DIGITS 24

/* The segment that a key's last component belongs to. */
static bool
segment_of_key(const char *key, struct wal_name *name)
{
	const char *slash = strrchr(key, '/');
	const char *base = slash != NULL ? slash + 1 : key;
	char text[SEGMENT_DIGITS + 1];
	struct err ignored;

	if (strlen(base) < SEGMENT_DIGITS)
		return false;
	memcpy(text, base, SEGMENT_DIGITS);
	text[SEGMENT_DIGITS] = '\0';
	return wal_name_parse(name, text, &ignored) == ST_OK;
}

/* A store_lister that ends the listing, by ST_EXISTS, at a later segment. */
static enum status
stop_at_later(void *arg, const struct store_entry *entry, struct err *err)
{
	const struct wal_name *name = arg;
	struct wal_name later;

	if (!segment_of_key(entry->key, &later) ||
		later.timeline != name->timeline || later.high < name->high ||
		(later.high == name->high && later.low <= name->low))
		return ST_OK;
	return err_set(err, ST_EXISTS,
				   "segment \"%s\" is not archived, but \"%s\" is", name->text,
				   later.text);
}

struct timelines
{
	uint32_t *list;
	size_t n;
	uint32_t above; /* only newer ones are collected */
};

/* A store_lister for the directories of timelines. */
static enum status
collect_timeline(void *arg, const struct store_entry *entry, struct err *err)
{
	struct timelines *t = arg;
	size_t len = strlen(entry->key);
	char text[9];
	uint32_t timeline;

	if (!entry->is_prefix || len < sizeof(text))
		return ST_OK;
	memcpy(text, entry->key + len - sizeof(text), sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	if (!timeline_parse(text, &timeline) || timeline <= t->above)
		return ST_OK;
	if ((t->n & (t->n - 1)) == 0)
	{
		uint32_t *grown =
			realloc(t->list, (t->n == 0 ? 1 : 2 * t->n) * sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		t->list = grown;
	}
	t->list[t->n++] = timeline;
	return ST_OK;
}

bool
fetch_gap_in_history(const struct timeline_history *history,
					 const struct wal_name *name, uint32_t segment_size)
{
	const struct timeline_entry *entry =
		timeline_history_find(history, name->timeline);
	uint64_t segno;

	if (entry == NULL || !wal_name_segno(name, segment_size, &segno))
		return false;
	return wal_segno_of(entry->end, segment_size) > segno;
}

/* Looks at one newer timeline. */
static enum status
look_at_timeline(struct repo *repo, uint32_t timeline,
				 const struct wal_name *name, uint32_t segment_size, bool *gap,
				 struct err *err)
{
	struct timeline_history history;
	enum status status = wal_history_get(repo, timeline, &history, err);

	if (status == ST_MISSING)
		return err_set(err, ST_CONFIG,
					   "segment \"%s\" is not archived, but there is WAL of "
					   "timeline %" PRIu32 " without its history file",
					   name->text, timeline);
	if (status != ST_OK)
		return status;
	*gap = fetch_gap_in_history(&history, name, segment_size);
	timeline_history_free(&history);
	if (*gap)
		(void) err_set(err, ST_MISSING,
					   "segment \"%s\" is not archived, but timeline %" PRIu32
					   " forked off behind it",
					   name->text, timeline);
	return ST_OK;
}

static enum status
look_at_descendants(struct repo *repo, const struct wal_name *name,
					uint32_t segment_size, bool *gap, struct err *err)
{
	struct timelines newer = {.above = name->timeline};
	char prefix[STORE_KEY_MAX];
	char after[STORE_KEY_MAX];
	char part[32];
	enum status status;

	repo_key(prefix, repo->system_identifier, "wal/");
	(void) snprintf(part, sizeof(part), "wal/%08" PRIX32 "/", name->timeline);
	repo_key(after, repo->system_identifier, part);
	status = store_list(repo->store, prefix, after, true, collect_timeline,
						&newer, err);
	for (size_t i = 0; status == ST_OK && !*gap && i < newer.n; i++)
		status = look_at_timeline(repo, newer.list[i], name, segment_size, gap,
								  err);
	free(newer.list);
	return status;
}

enum status
fetch_gap_find(struct repo *repo, const struct wal_name *name,
			   uint32_t segment_size, bool *gap, struct err *err)
{
	char prefix[STORE_KEY_MAX];
	char after[STORE_KEY_MAX];
	char object[OBJECT_NAME_MAX + 1];
	char part[32];
	struct wal_name looked_for = *name;
	enum status status;

	repo_wal_name(object, name);
	repo_key(after, repo->system_identifier, object);
	(void) snprintf(part, sizeof(part), "wal/%08" PRIX32 "/", name->timeline);
	repo_key(prefix, repo->system_identifier, part);
	status = store_list(repo->store, prefix, after, false, stop_at_later,
						&looked_for, err);
	*gap = status == ST_EXISTS;
	if (*gap)
		return ST_OK;
	if (status == ST_OK)
		status = look_at_descendants(repo, name, segment_size, gap, err);
	return status;
}

uint32_t
fetch_gap_segment_size(const char *wal_dir)
{
	uint32_t size = 0;
	struct dirent *entry;
	DIR *dir = opendir(wal_dir);

	while (dir != NULL && size == 0 && (entry = readdir(dir)) != NULL)
	{
		struct wal_name name;
		struct err ignored;
		struct stat st;

		if (wal_name_parse(&name, entry->d_name, &ignored) == ST_OK &&
			name.kind == WAL_SEGMENT &&
			fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
				0 &&
			S_ISREG(st.st_mode) && st.st_size > 0 &&
			wal_segment_size_valid((uint64_t) st.st_size))
			size = (uint32_t) st.st_size;
	}
	if (dir != NULL)
		(void) closedir(dir);
	return size != 0 ? size : WAL_SEGMENT_SIZE_MIN;
}
