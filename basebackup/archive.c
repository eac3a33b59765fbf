/*
 * archive.c - which WAL a repository holds of a cluster
 */
#include "basebackup/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct timeline_lister
{
	struct archive_timelines found;
	size_t size;
	size_t prefix_len;
};

static enum status
add_timeline(void *arg, const struct store_entry *entry, struct err *err)
{
	struct timeline_lister *l = arg;
	const char *name = entry->key + l->prefix_len;
	uint32_t timeline;
	char text[9];

	if (!entry->is_prefix || strlen(name) != 9)
		return ST_OK;
	snprintf(text, sizeof(text), "%.8s", name);
	if (!timeline_parse(text, &timeline))
		return ST_OK;
	if (l->found.ntimelines == l->size)
	{
		size_t size = l->size == 0 ? 16 : l->size * 2;
		uint32_t *grown =
			reallocarray(l->found.timelines, size, sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		l->found.timelines = grown;
		l->size = size;
	}
	l->found.timelines[l->found.ntimelines++] = timeline;
	return ST_OK;
}

enum status
archive_list_timelines(struct repo *repo, struct archive_timelines *out,
					   struct err *err)
{
	struct timeline_lister l = {0};
	char prefix[STORE_KEY_MAX];
	enum status st;

	snprintf(prefix, sizeof(prefix), "%llu/wal/",
			 (unsigned long long) repo->system_identifier);
	l.prefix_len = strlen(prefix);
	st = store_list(repo->store, prefix, NULL, true, add_timeline, &l, err);
	if (st != ST_OK)
	{
		archive_timelines_free(&l.found);
		return err_context(err, "could not list the timelines");
	}
	*out = l.found;
	return ST_OK;
}

void
archive_timelines_free(struct archive_timelines *timelines)
{
	free(timelines->timelines);
	timelines->timelines = NULL;
	timelines->ntimelines = 0;
}

/* A listing of segments, which ends as soon as it knows enough. */
struct segment_lister
{
	size_t prefix_len; /* up to where the names begin */
	uint32_t timeline;
	uint32_t segment_size;
	uint64_t next; /* the segment that should come */
	uint64_t last;
	bool done;
	struct archive_range *range;
	struct cold_list *cold; /* NULL: not asked for */
};

static enum status
stop_listing(struct segment_lister *l, struct err *err)
{
	l->done = true;
	return err_set(err, ST_EXISTS, "seen enough");
}

static enum status
add_segment(void *arg, const struct store_entry *entry, struct err *err)
{
	struct segment_lister *l = arg;
	struct archive_range *range = l->range;
	struct err ignored;
	struct wal_name name;
	uint64_t segno;

	if (wal_name_parse(&name, entry->key + l->prefix_len, &ignored) != ST_OK ||
		(name.kind != WAL_SEGMENT && name.kind != WAL_PARTIAL) ||
		name.timeline != l->timeline ||
		!wal_name_segno(&name, l->segment_size, &segno) || segno < l->next)
		return ST_OK;
	if (name.kind == WAL_PARTIAL)
	{
		if (segno > l->next)
			return ST_OK;
		range->partial = true;
		range->cold = range->cold || entry->stat.archived;
		return l->cold == NULL ? ST_OK : cold_add(l->cold, entry, err);
	}
	if (segno > l->next)
	{
		range->gap = true;
		range->missing = l->next;
		return stop_listing(l, err);
	}
	range->any = true;
	range->partial = false;
	range->end = segno;
	range->cold = range->cold || entry->stat.archived;
	if (l->cold != NULL && cold_add(l->cold, entry, err) != ST_OK)
		return err->status;
	l->next = segno + 1;
	return segno == l->last ? stop_listing(l, err) : ST_OK;
}

static enum status
list_segments(struct repo *repo, struct segment_lister *l, uint64_t first,
			  struct err *err)
{
	char prefix[STORE_KEY_MAX], after[STORE_KEY_MAX];
	struct wal_name before;
	enum status st;

	l->next = first;
	snprintf(prefix, sizeof(prefix), "%llu/wal/%08X/",
			 (unsigned long long) repo->system_identifier, l->timeline);
	l->prefix_len = strlen(prefix);
	if (first > 0)
	{
		wal_name_segment(&before, l->timeline, first - 1, l->segment_size);
		snprintf(after, sizeof(after), "%s%s", prefix, before.text);
	}
	st = store_list(repo->store, prefix, first > 0 ? after : NULL, true,
					add_segment, l, err);
	if (st == ST_OK || l->done)
		return ST_OK;
	return err_context(err, "could not list the WAL of timeline %u",
					   l->timeline);
}

enum status
archive_look(struct repo *repo, uint32_t timeline, uint32_t segment_size,
			 uint64_t first, uint64_t last, struct archive_range *out,
			 struct err *err)
{
	struct archive_range range = {0};
	struct segment_lister l = {.timeline = timeline,
							   .segment_size = segment_size,
							   .last = last,
							   .range = &range};
	enum status st = list_segments(repo, &l, first, err);

	if (st != ST_OK)
		return st;
	if (!range.gap && last != ARCHIVE_OPEN && l.next <= last)
	{
		range.gap = true;
		range.missing = l.next;
	}
	*out = range;
	return ST_OK;
}

enum status
archive_add_cold(struct repo *repo, uint32_t timeline, uint32_t segment_size,
				 uint64_t first, uint64_t last, struct cold_list *list,
				 struct err *err)
{
	struct archive_range range = {0};
	struct segment_lister l = {.timeline = timeline,
							   .segment_size = segment_size,
							   .last = last,
							   .range = &range,
							   .cold = list};

	return list_segments(repo, &l, first, err);
}
