/*
 * salvage.c - what backups that died have already stored
 */
#include "basebackup/salvage_internal.h"

#include <stdlib.h>
#include <string.h>

#include "basebackup/filemap.h"
#include "basebackup/page.h"
#include "basebackup/path_hash.h"
#include "basebackup/tempfile.h"

#define NOWHERE UINT32_MAX

/* Where a page lies. */
struct place
{
	uint32_t number; /* NOWHERE: no such page */
	uint32_t position;
	uint8_t entry[PAGE_ENTRY_BYTES];
};

/* A run of the file in hand. */
struct extent_run
{
	const struct salvage_run *run;
	uint64_t begin, end; /* in the file: its chunks lie between them */
};

struct salvage
{
	uint32_t page_size;
	struct salvage_index index;
	struct extent_run *file; /* in hand */
	size_t nfile, file_room;
	uint8_t *buffer; /* a run, */
	size_t buffer_room;
	size_t path_len;     /* whose path is so long */
	struct place *pages; /* of the part in hand, FILEMAP_PART_PAGES of them */
	bool any;            /* of these is somewhere */
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

/* The chunks of a run lie in the order in which they were read. */
static int
compare_runs(const void *a, const void *b)
{
	const struct salvage_run *x = a, *y = b;

	if (x->path != y->path)
		return x->path < y->path ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

enum status
salvage_new(const struct salvage_source *source, struct salvage **out,
			struct err *err)
{
	struct salvage *s = calloc(1, sizeof(*s));
	enum status st;

	if (s == NULL)
		return nomem(err);
	s->page_size = source->page_size;
	s->pages = calloc(FILEMAP_PART_PAGES, sizeof(*s->pages));
	st = s->pages == NULL ? nomem(err) : tempfile_open(&s->index.chunks, err);
	for (size_t i = 0; st == ST_OK && i < source->nbackups; i++)
		st = salvage_read_backup(source, source->backups[i], &s->index, err);
	if (st == ST_OK)
		st = base_packs_added(source->base, err);
	if (st == ST_OK)
		st = tempfile_rewind(s->index.chunks, err);
	if (st != ST_OK)
	{
		salvage_free(s);
		return st;
	}
	if (s->index.nruns > 0)
		qsort(s->index.runs, s->index.nruns, sizeof(*s->index.runs),
			  compare_runs);
	*out = s;
	return ST_OK;
}

void
salvage_free(struct salvage *s)
{
	if (s == NULL)
		return;
	if (s->index.chunks != NULL)
		(void) fclose(s->index.chunks);
	free(s->index.runs);
	free(s->file);
	free(s->buffer);
	free(s->pages);
	free(s);
}

uint32_t
salvage_packs(const struct salvage *s)
{
	return s->index.npacks;
}

/* The first run of that hash. */
static size_t
find_run(const struct salvage *s, uint64_t hash)
{
	size_t low = 0, high = s->index.nruns;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (s->index.runs[middle].path < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static enum status
load_run(struct salvage *s, const struct salvage_run *run, struct err *err)
{
	if (run->len > s->buffer_room)
	{
		uint8_t *grown = realloc(s->buffer, run->len);

		if (grown == NULL)
			return nomem(err);
		s->buffer = grown;
		s->buffer_room = run->len;
	}
	return tempfile_read_at(s->index.chunks, run->at, s->buffer, run->len,
							err);
}

/* The next chunk of the run that is loaded, and its entries; NULL: none. */
static const uint8_t *
next_chunk(const struct salvage *s, const struct salvage_run *run, size_t *at,
		   struct salvage_chunk *chunk)
{
	const uint8_t *entries;

	if (run->len - *at < sizeof(*chunk))
		return NULL;
	memcpy(chunk, s->buffer + *at, sizeof(*chunk));
	entries = s->buffer + *at + sizeof(*chunk);
	*at += sizeof(*chunk) + (chunk->length + s->page_size - 1) / s->page_size *
								(size_t) PAGE_ENTRY_BYTES;
	return entries;
}

static enum status
add_run(struct salvage *s, const struct salvage_run *run, struct err *err)
{
	struct extent_run added = {.run = run, .begin = UINT64_MAX};
	size_t at = sizeof(uint32_t) + s->path_len;
	struct salvage_chunk chunk;

	while (next_chunk(s, run, &at, &chunk) != NULL)
	{
		if (chunk.at < added.begin)
			added.begin = chunk.at;
		if (chunk.at + chunk.length > added.end)
			added.end = chunk.at + chunk.length;
	}
	if (s->nfile == s->file_room)
	{
		size_t room = s->file_room == 0 ? 64 : 2 * s->file_room;
		struct extent_run *grown = reallocarray(s->file, room, sizeof(*grown));

		if (grown == NULL)
			return nomem(err);
		s->file = grown;
		s->file_room = room;
	}
	s->file[s->nfile++] = added;
	return ST_OK;
}

enum status
salvage_file(struct salvage *s, const char *path, struct err *err)
{
	uint64_t hash = path_hash(PATH_HASH_SEED, path);

	s->nfile = 0;
	s->any = false;
	s->path_len = strlen(path);
	for (size_t i = find_run(s, hash);
		 i < s->index.nruns && s->index.runs[i].path == hash; i++)
	{
		const struct salvage_run *run = &s->index.runs[i];
		uint32_t path_len;
		enum status st = load_run(s, run, err);

		if (st != ST_OK)
			return st;
		memcpy(&path_len, s->buffer, sizeof(path_len));
		if (path_len != s->path_len ||
			memcmp(s->buffer + sizeof(path_len), path, path_len) != 0)
			continue;
		st = add_run(s, run, err);
		if (st != ST_OK)
			return st;
	}
	return ST_OK;
}

/* The chunk's pages from first to end. */
static void
place_pages(struct salvage *s, const struct salvage_chunk *chunk,
			const uint8_t *entries, uint32_t number, uint64_t first)
{
	uint64_t page = chunk->at / s->page_size;
	uint64_t count = (chunk->length + s->page_size - 1) / s->page_size;

	for (uint64_t i = 0; i < count; i++)
	{
		struct place *p;

		if (page + i < first || page + i - first >= FILEMAP_PART_PAGES)
			continue;
		p = &s->pages[page + i - first];
		p->number = number;
		p->position = chunk->position + (uint32_t) i * s->page_size;
		memcpy(p->entry, entries + i * PAGE_ENTRY_BYTES, PAGE_ENTRY_BYTES);
		s->any = true;
	}
}

enum status
salvage_part(struct salvage *s, uint64_t first_page, struct err *err)
{
	uint64_t begin = first_page * s->page_size;
	uint64_t end = begin + (uint64_t) FILEMAP_PART_PAGES * s->page_size;

	s->any = false;
	for (size_t i = 0; s->nfile > 0 && i < FILEMAP_PART_PAGES; i++)
		s->pages[i].number = NOWHERE;
	for (size_t i = 0; i < s->nfile; i++)
	{
		const struct extent_run *r = &s->file[i];
		size_t at = sizeof(uint32_t) + s->path_len;
		struct salvage_chunk chunk;
		const uint8_t *entries;
		enum status st;

		if (r->begin >= end || r->end <= begin)
			continue;
		st = load_run(s, r->run, err);
		if (st != ST_OK)
			return st;
		while ((entries = next_chunk(s, r->run, &at, &chunk)) != NULL)
			place_pages(s, &chunk, entries, r->run->number, first_page);
	}
	return ST_OK;
}

bool
salvage_find(const struct salvage *s, size_t i, const uint8_t *entry,
			 size_t len, struct extent *out)
{
	const struct place *p = &s->pages[i];

	/* The digest covers the page's length, too. */
	if (!s->any || p->number == NOWHERE ||
		memcmp(p->entry, entry, PAGE_ENTRY_BYTES) != 0)
		return false;
	*out = (struct extent){p->number, p->position, len};
	return true;
}
