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

#define SEGMENT_DIGITS  24
#define TIMELINE_DIGITS 8

/* What one page of a listing holds, in S3 and in most that speak it. */
#define LIST_PAGE 1000

/* A listing that begins behind the absent segment's name. */
struct listing
{
	const struct wal_name *name;
	size_t prefix_len; /* of keys: up to the timeline's directory */
	size_t seen;
	bool partial;
	bool cut; /* ended with the page, before the last timeline */
	uint32_t *newer;
	size_t nnewer;
};

/* The timeline and the last component of a key; NULL if it is not WAL's. */
static const char *
split_key(const struct listing *l, const char *key, uint32_t *timeline)
{
	const char *at = key + l->prefix_len;
	char text[TIMELINE_DIGITS + 1];

	if (strlen(key) <= l->prefix_len + TIMELINE_DIGITS ||
		at[TIMELINE_DIGITS] != '/')
		return NULL;
	memcpy(text, at, TIMELINE_DIGITS);
	text[TIMELINE_DIGITS] = '\0';
	return timeline_parse(text, timeline) ? at + TIMELINE_DIGITS + 1 : NULL;
}

/* The segment that a file of WAL belongs to. */
static bool
segment_of(const char *base, struct wal_name *name)
{
	char text[SEGMENT_DIGITS + 1];
	struct err ignored;

	if (strlen(base) < SEGMENT_DIGITS)
		return false;
	memcpy(text, base, SEGMENT_DIGITS);
	text[SEGMENT_DIGITS] = '\0';
	return wal_name_parse(name, text, &ignored) == ST_OK;
}

static enum status
add_newer(struct listing *l, uint32_t timeline, struct err *err)
{
	if (l->nnewer > 0 && l->newer[l->nnewer - 1] == timeline)
		return ST_OK;
	if ((l->nnewer & (l->nnewer - 1)) == 0)
	{
		uint32_t *grown = realloc(
			l->newer, (l->nnewer == 0 ? 1 : 2 * l->nnewer) * sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		l->newer = grown;
	}
	l->newer[l->nnewer++] = timeline;
	return ST_OK;
}

/*
 * A store_lister of everything behind the segment.  Ends the listing, by
 * ST_EXISTS, at a later segment of its timeline, and before it would go on to
 * another page for nothing but a newer timeline's segments.
 */
static enum status
look_behind(void *arg, const struct store_entry *entry, struct err *err)
{
	struct listing *l = arg;
	const struct wal_name *name = l->name;
	struct wal_name later;
	uint32_t timeline;
	const char *base = split_key(l, entry->key, &timeline);

	l->seen++;
	if (base == NULL || timeline < name->timeline)
		return ST_OK;
	if (timeline > name->timeline)
	{
		if (add_newer(l, timeline, err) != ST_OK)
			return ST_NOMEM;
		l->cut = l->seen >= LIST_PAGE;
		return l->cut ? err_set(err, ST_EXISTS, "there is more") : ST_OK;
	}
	if (!segment_of(base, &later) || later.timeline != name->timeline ||
		later.high < name->high ||
		(later.high == name->high && later.low < name->low))
		return ST_OK;
	if (later.high == name->high && later.low == name->low)
	{
		if (strcmp(base + SEGMENT_DIGITS, ".partial") == 0)
			l->partial = true;
		return ST_OK;
	}
	return err_set(err, ST_EXISTS,
				   "segment \"%s\" is not archived, but \"%s\" is", name->text,
				   later.text);
}

/* A store_lister for the directories of timelines. */
static enum status
collect_timeline(void *arg, const struct store_entry *entry, struct err *err)
{
	struct listing *l = arg;
	uint32_t timeline;

	if (!entry->is_prefix || split_key(l, entry->key, &timeline) == NULL ||
		timeline <= l->name->timeline)
		return ST_OK;
	return add_newer(l, timeline, err);
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

/* The newer timelines behind those that the first listing came to. */
static enum status
list_the_rest(struct repo *repo, struct listing *l, const char *prefix,
			  struct err *err)
{
	char after[STORE_KEY_MAX];
	char part[32];

	(void) snprintf(part, sizeof(part), "wal/%08" PRIX32 "/",
					l->newer[l->nnewer - 1]);
	repo_key(after, repo->system_identifier, part);
	return store_list(repo->store, prefix, after, true, collect_timeline, l,
					  err);
}

enum status
fetch_gap_find(struct repo *repo, const struct wal_name *name,
			   uint32_t segment_size, struct fetch_behind *behind,
			   struct err *err)
{
	struct listing l = {.name = name};
	char prefix[STORE_KEY_MAX];
	char after[STORE_KEY_MAX];
	char object[OBJECT_NAME_MAX + 1];
	bool gap;
	enum status status;

	repo_key(prefix, repo->system_identifier, "wal/");
	l.prefix_len = strlen(prefix);
	repo_wal_name(object, name);
	repo_key(after, repo->system_identifier, object);
	status =
		store_list(repo->store, prefix, after, false, look_behind, &l, err);
	gap = status == ST_EXISTS && !l.cut;
	if (status == ST_EXISTS)
		status = l.cut ? list_the_rest(repo, &l, prefix, err) : ST_OK;
	for (size_t i = 0; status == ST_OK && !gap && i < l.nnewer; i++)
		status =
			look_at_timeline(repo, l.newer[i], name, segment_size, &gap, err);
	free(l.newer);
	if (status == ST_OK)
		*behind = (struct fetch_behind){.gap = gap, .partial = l.partial};
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
