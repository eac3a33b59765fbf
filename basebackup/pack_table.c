/*
 * pack_table.c - page digests and maps, shared with the base where they can be
 */
#include "basebackup/pack_internal.h"

#include <stdlib.h>
#include <string.h>

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

/* Room for more ranges. */
static enum status
reserve_ranges(struct digest_range **ranges, size_t *room, size_t count,
			   struct err *err)
{
	struct digest_range *grown =
		pack_reserve(*ranges, room, count, sizeof(*grown));

	if (grown == NULL)
		return nomem(err);
	*ranges = grown;
	return ST_OK;
}

static void
use_digests(struct pack_writer *w, const struct digest_range *ranges,
			size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ranges[i].digest < w->ndigests)
			w->digest_used[ranges[i].digest] = true;
}

/* The part's digests; those of a part that is as in the base are there. */
enum status
pack_store_pages(struct pack_writer *w, struct err *err)
{
	struct stored_file *f = &w->file;
	size_t count = w->part_pages;
	size_t len = count * PAGE_ENTRY_BYTES;
	struct digest_range range;
	enum status st;

	st = reserve_ranges(
		&f->pages, &w->pages_room,
		f->npages + 1 + (w->base != NULL ? w->base->npages : 0), err);
	if (st != ST_OK)
		return st;
	w->part_pages = 0;
	if (count == w->part_base_pages &&
		memcmp(w->entries, w->base_entries, len) == 0)
	{
		size_t first = f->npages;

		base_page_ranges(w->source.base,
						 (uint64_t) (w->nparts - 1) * FILEMAP_PART_PAGES,
						 count, f->pages, &f->npages);
		use_digests(w, f->pages + (first > 0 ? first - 1 : 0),
					f->npages - (first > 0 ? first - 1 : 0));
		return ST_OK;
	}
	st = pack_place_digest(w, w->entries, len, &range, err);
	if (st == ST_OK)
		digest_ranges_add(f->pages, &f->npages, &range);
	return st;
}

/* The owner of a source: backups of the base first, then we ourselves. */
static const char *
source_name(void *arg, uint32_t source)
{
	const struct pack_writer *w = arg;

	if (w->source.base != NULL &&
		source < packlist_backups(base_packs(w->source.base)))
		return packlist_backup(base_packs(w->source.base), source);
	return pack_pool_backup_id(w->source.pool);
}

static struct filemap_extent
name_extent(const struct pack_writer *w, const struct extent *e)
{
	struct filemap_extent out = {.source = FILEMAP_ZEROS, .length = e->length};

	if (e->pack == EXTENT_ZEROS)
		return out;
	out.position = (uint32_t) e->position;
	if ((uint64_t) e->pack < w->npacks)
	{
		packlist_owner(base_packs(w->source.base), (uint32_t) e->pack,
					   &out.source, &out.n);
		return out;
	}
	out.source = w->source.base == NULL
					 ? 0
					 : packlist_backups(base_packs(w->source.base));
	out.n = (uint32_t) e->pack - w->npacks;
	return out;
}

static enum status
store_map(struct pack_writer *w, size_t first, size_t end,
		  struct digest_range *out, struct err *err)
{
	struct filemap_extent *named = pack_reserve(
		w->map_extents, &w->map_extents_room, end - first, sizeof(*named));
	enum status st;

	if (named == NULL)
		return nomem(err);
	w->map_extents = named;
	for (size_t i = first; i < end; i++)
		named[i - first] = name_extent(w, &w->file.extents[i]);
	st = filemap_encode(named, end - first, w->source.page_size, source_name,
						w, &w->map, err);
	if (st == ST_OK)
		st = pack_place_digest(w, w->map.data, w->map.len, out, err);
	return st;
}

/* Joins extents over the parts' borders. */
static void
join_extents(struct stored_file *f)
{
	size_t kept = 0;

	for (size_t i = 1; i < f->nextents; i++)
	{
		struct extent *last = &f->extents[kept];
		const struct extent *e = &f->extents[i];

		if (last->pack == e->pack &&
			(e->pack == EXTENT_ZEROS ||
			 last->position + last->length == e->position))
			last->length += e->length;
		else
			f->extents[++kept] = *e;
	}
	if (f->nextents > 0)
		f->nextents = kept + 1;
}

/* The end of a part in a file of that size. */
static uint64_t
part_end(const struct pack_writer *w, size_t i, uint64_t size)
{
	uint64_t end =
		(uint64_t) (i + 1) * FILEMAP_PART_PAGES * w->source.page_size;

	return end < size ? end : size;
}

/* Does the base's map of the part tell where all of it is, and no more? */
static bool
as_base(const struct pack_writer *w, size_t i)
{
	return w->parts[i].as_base && w->base != NULL && i < w->base->nmaps &&
		   part_end(w, i, w->base->size) == part_end(w, i, w->file.size);
}

enum status
pack_store_maps(struct pack_writer *w, struct err *err)
{
	struct stored_file *f = &w->file;
	enum status st;

	if (f->nextents <= EXTENTS_INLINE)
	{
		join_extents(f);
		return ST_OK;
	}
	st = reserve_ranges(&f->maps, &w->maps_room, w->nparts, err);
	for (size_t i = 0; st == ST_OK && i < w->nparts; i++)
	{
		size_t end = i + 1 < w->nparts ? w->parts[i + 1].first : f->nextents;

		if (as_base(w, i))
			f->maps[i] = w->base->maps[i];
		else
			st = store_map(w, w->parts[i].first, end, &f->maps[i], err);
	}
	if (st != ST_OK)
		return st;
	f->nmaps = w->nparts;
	use_digests(w, f->maps, f->nmaps);
	return ST_OK;
}
