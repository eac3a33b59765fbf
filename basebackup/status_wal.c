/*
 * status_wal.c - which WAL the archive holds, listed from where it matters
 */
#include "basebackup/status_wal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/archive.h"
#include "common/log.h"

#define SEGMENT_NAME_LEN 24

/* --- stretches --------------------------------------------------------------
 */

enum status
wal_line_add(struct wal_line *line, uint64_t first, uint64_t last,
			 int64_t modified_s, struct err *err)
{
	size_t n = line->nstretches;

	line->segments += last - first + 1;
	if (n > 0 && line->stretches[n - 1].last + 1 == first)
	{
		line->stretches[n - 1].last = last;
		line->stretches[n - 1].modified_s = modified_s;
		return ST_OK;
	}
	if (line->nstretches == line->room)
	{
		size_t room = line->room == 0 ? 8 : line->room * 2;
		struct wal_stretch *grown =
			reallocarray(line->stretches, room, sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		line->stretches = grown;
		line->room = room;
	}
	line->stretches[line->nstretches++] =
		(struct wal_stretch){first, last, modified_s};
	return ST_OK;
}

void
wal_map_free(struct wal_map *map)
{
	for (size_t i = 0; i < map->nlines; i++)
		free(map->lines[i].stretches);
	free(map->lines);
	*map = (struct wal_map){.segment_size = 0};
}

const struct wal_line *
wal_map_find(const struct wal_map *map, uint32_t timeline)
{
	for (size_t i = 0; i < map->nlines; i++)
		if (map->lines[i].timeline == timeline)
			return &map->lines[i];
	return NULL;
}

bool
wal_map_holds(const struct wal_map *map, uint32_t timeline, uint64_t first,
			  uint64_t last)
{
	const struct wal_line *line = wal_map_find(map, timeline);

	for (size_t i = 0; line != NULL && i < line->nstretches; i++)
		if (line->stretches[i].first <= first &&
			line->stretches[i].last >= last)
			return true;
	return false;
}

/* --- listing ----------------------------------------------------------------
 */

/* What has been seen of the block at hand. */
struct block
{
	uint64_t number;
	uint64_t segments;
	struct usage_row usage;
	bool mixed; /* of several classes, or of one that cannot be written down */
};

struct walk
{
	struct repo *repo;
	const struct memory *memory; /* NULL: nothing counts */
	int64_t now_s;
	struct memory *found;
	struct wal_map *map;
	struct wal_line *line;
	size_t prefix_len; /* up to where the names begin */
	bool begun;        /* there is a block at hand */
	struct block block;
	bool jump;    /* this listing ends, another begins with jump_last */
	bool jumped;  /* what belongs to segments up to it is counted */
	bool landing; /* jump_last itself must come now */
	uint64_t jump_last;
	bool mistrust; /* it did not */
};

static enum status
end_block(struct walk *w, struct err *err)
{
	struct memory_block block = {.timeline = w->line->timeline,
								 .block = w->block.number,
								 .seen_s = w->now_s,
								 .usage = w->block.usage};

	if (!w->begun)
		return ST_OK;
	w->begun = false;
	if (w->block.segments < MEMORY_BLOCK || w->block.mixed)
		return ST_OK;
	return memory_add_block(w->found, &block, err);
}

/*
 * Takes the remembered blocks from that one on as they are; false: there are
 * none.
 */
static bool
take_remembered(struct walk *w, uint64_t number, enum status *status,
				struct err *err)
{
	struct wal_line *line = w->line;
	uint64_t first = number * MEMORY_BLOCK;
	const struct memory_block *b;

	*status = ST_OK;
	while (*status == ST_OK && w->memory != NULL &&
		   (b = memory_find_block(w->memory, line->timeline, number)) != NULL)
	{
		w->jump = true;
		usage_add(&w->map->usage, &b->usage);
		*status = memory_add_block(w->found, b, err);
		if (line->skipped == 0 || b->seen_s < line->seen_s)
			line->seen_s = b->seen_s;
		line->skipped += MEMORY_BLOCK;
		number++;
	}
	if (!w->jump || *status != ST_OK)
		return w->jump;

	/* When its last segment was stored is told on landing. */
	w->jump_last = number * MEMORY_BLOCK - 1;
	*status = wal_line_add(line, first, w->jump_last, 0, err);
	return true;
}

static void
count_object(struct walk *w, const struct store_entry *entry, bool in_block)
{
	struct usage_row row = {
		.kind = USAGE_WAL, .objects = 1, .bytes = entry->stat.size_bytes};
	struct block *b = &w->block;

	(void) snprintf(row.storage_class, sizeof(row.storage_class), "%s",
					entry->stat.storage_class);
	usage_add(&w->map->usage, &row);
	if (!in_block)
		return;
	if (b->usage.objects == 0)
	{
		b->usage = row;
		b->mixed = !memory_takes_class(row.storage_class);
		return;
	}
	b->usage.objects++;
	b->usage.bytes += row.bytes;
	b->mixed =
		b->mixed || strcmp(b->usage.storage_class, row.storage_class) != 0;
}

/*
 * The segment to which a file belongs: the first digits of its name.  False
 * for a history file, or what is none of ours.
 */
static bool
segment_of(const struct walk *w, const char *text, uint64_t *segno)
{
	char digits[SEGMENT_NAME_LEN + 1];
	struct wal_name name;
	struct err ignored;

	(void) snprintf(digits, sizeof(digits), "%s", text);
	return wal_name_parse(&name, digits, &ignored) == ST_OK &&
		   name.kind == WAL_SEGMENT && name.timeline == w->line->timeline &&
		   wal_name_segno(&name, w->map->segment_size, segno);
}

static enum status
add_segment(struct walk *w, uint64_t segno, const struct store_entry *entry,
			struct err *err)
{
	struct wal_line *line = w->line;

	w->block.segments++;
	(void) snprintf(line->last, sizeof(line->last), "%s",
					entry->key + w->prefix_len);
	line->last_modified_s = entry->stat.modified;
	return wal_line_add(line, segno, segno, entry->stat.modified, err);
}

static enum status
stop(struct err *err)
{
	return err_set(err, ST_EXISTS, "seen enough");
}

/* The first segment behind a jump must be the last one that was skipped. */
static enum status
land(struct walk *w, uint64_t segno, bool whole,
	 const struct store_entry *entry, struct err *err)
{
	struct wal_line *line = w->line;

	if (segno < w->jump_last)
		return ST_OK;
	w->landing = false;
	w->mistrust = segno != w->jump_last || !whole;
	if (w->mistrust)
		return stop(err);
	line->stretches[line->nstretches - 1].modified_s = entry->stat.modified;
	line->last_modified_s = entry->stat.modified;
	(void) snprintf(line->last, sizeof(line->last), "%s",
					entry->key + w->prefix_len);
	return ST_OK;
}

static enum status
visit(void *arg, const struct store_entry *entry, struct err *err)
{
	struct walk *w = arg;
	const char *name = entry->key + w->prefix_len;
	bool whole = strlen(name) == SEGMENT_NAME_LEN;
	enum status status = ST_OK;
	uint64_t segno;

	w->map->entries++;
	if (entry->is_prefix)
		return ST_OK;
	if (!segment_of(w, name, &segno))
	{
		count_object(w, entry, false);
		return ST_OK;
	}
	if (w->landing)
		return land(w, segno, whole, entry, err);

	/* Its size is part of what was remembered. */
	if (w->jumped && segno <= w->jump_last)
		return ST_OK;
	if (!w->begun || w->block.number != segno / MEMORY_BLOCK)
	{
		status = end_block(w, err);
		if (status == ST_OK && whole && segno % MEMORY_BLOCK == 0 &&
			take_remembered(w, segno / MEMORY_BLOCK, &status, err) &&
			status == ST_OK)
			return stop(err);
		w->begun = true;
		w->block = (struct block){.number = segno / MEMORY_BLOCK};
	}
	if (status != ST_OK)
		return status;
	count_object(w, entry, true);
	return whole ? add_segment(w, segno, entry, err) : ST_OK;
}

/* Where the size of a segment is not known: names, and no more. */
static enum status
visit_name(void *arg, const struct store_entry *entry, struct err *err)
{
	struct walk *w = arg;
	struct wal_line *line = w->line;
	struct wal_name name;
	struct err ignored;

	(void) err;
	w->map->entries++;
	if (entry->is_prefix)
		return ST_OK;
	count_object(w, entry, false);
	if (wal_name_parse(&name, entry->key + w->prefix_len, &ignored) != ST_OK ||
		name.kind != WAL_SEGMENT || name.timeline != line->timeline)
		return ST_OK;
	line->segments++;
	(void) snprintf(line->last, sizeof(line->last), "%s", name.text);
	line->last_modified_s = entry->stat.modified;
	return ST_OK;
}

/* One listing after the other, each up to where the next jump begins. */
static enum status
walk_line(struct walk *w, struct err *err)
{
	char prefix[STORE_KEY_MAX];
	char after[STORE_KEY_MAX + WAL_NAME_MAX];
	struct wal_name before;
	bool known = w->map->segment_size != 0;
	enum status status;

	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/wal/%08" PRIX32 "/",
					w->repo->system_identifier, w->line->timeline);
	w->prefix_len = strlen(prefix);
	w->begun = w->jump = w->jumped = w->mistrust = false;
	do
	{
		w->landing = w->jump;
		w->jumped = w->jumped || w->jump;
		w->jump = false;
		if (w->landing)
		{
			wal_name_segment(&before, w->line->timeline, w->jump_last - 1,
							 w->map->segment_size);
			(void) snprintf(after, sizeof(after), "%s%s", prefix, before.text);
		}
		status = store_list(w->repo->store, prefix, w->landing ? after : NULL,
							true, known ? visit : visit_name, w, err);
		if (status != ST_OK && !w->jump && !w->mistrust)
			return err_context(err,
							   "could not list the WAL of timeline %" PRIu32,
							   w->line->timeline);
		w->mistrust = w->mistrust || w->landing;
	} while (w->jump && !w->mistrust);
	return w->mistrust ? ST_OK : end_block(w, err);
}

/* A timeline; all of it if what is remembered turns out to be wrong. */
static enum status
load_line(struct walk *w, struct err *err)
{
	const struct usage usage = w->map->usage;
	const struct wal_line empty = *w->line;
	const struct memory *memory = w->memory;
	size_t nblocks = w->found->nblocks;
	enum status status = walk_line(w, err);

	if (status == ST_OK && w->mistrust)
	{
		log_info("what was remembered of timeline %" PRIu32
				 " is not there any more; all of it is listed",
				 w->line->timeline);
		free(w->line->stretches);
		*w->line = empty;
		w->map->usage = usage;
		w->found->nblocks = nblocks;
		w->memory = NULL;
		status = walk_line(w, err);
		w->memory = memory;
	}
	return status;
}

static enum status
remember_end(struct walk *w, struct err *err)
{
	const struct wal_line *line = w->line;
	struct memory_end end = {.timeline = line->timeline, .seen_s = w->now_s};

	if (line->nstretches == 0)
		return ST_OK;
	end.segment = line->stretches[line->nstretches - 1].last;
	return memory_add_end(w->found, &end, err);
}

enum status
wal_map_load(struct repo *repo, uint32_t segment_size,
			 const struct memory *memory, int64_t now_s, struct memory *found,
			 struct wal_map *out, struct err *err)
{
	struct wal_map map = {.segment_size = segment_size};
	bool counts = segment_size != 0 && memory->segment_size == segment_size;
	struct walk w = {.repo = repo,
					 .memory = counts ? memory : NULL,
					 .now_s = now_s,
					 .found = found,
					 .map = &map};
	struct archive_timelines timelines;
	enum status status = archive_list_timelines(repo, &timelines, err);

	if (status != ST_OK)
		return status;
	found->segment_size = segment_size;
	map.lines = calloc(timelines.ntimelines + 1, sizeof(*map.lines));
	if (map.lines == NULL)
	{
		archive_timelines_free(&timelines);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	for (size_t i = 0; i < timelines.ntimelines && status == ST_OK; i++)
	{
		w.line = &map.lines[map.nlines++];
		w.line->timeline = timelines.timelines[i];
		status = load_line(&w, err);
		if (status == ST_OK)
			status = remember_end(&w, err);
	}
	archive_timelines_free(&timelines);
	if (status == ST_OK)
		*out = map;
	else
		wal_map_free(&map);
	return status;
}
