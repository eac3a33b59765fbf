/*
 * pack_file.c - a file, page by page, into extents
 */
#include "basebackup/pack_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/crc32c.h"

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

const struct stored_file *
pack_file_base(const struct pack_writer *w)
{
	return w->base;
}

enum status
pack_file_begin(struct pack_writer *w, const char *path, uint64_t size,
				struct err *err)
{
	char *copy = strdup(path);
	enum status st = ST_OK;

	if (strlen(path) > PACK_PATH_MAX)
	{
		free(copy);
		return err_set(err, ST_CORRUPT, "path \"%.100s...\" is too long",
					   path);
	}
	if (copy == NULL)
		return nomem(err);
	free(w->path);
	w->path = copy;
	w->size = size;
	w->file.size = 0;
	w->file.crc32c = 0;
	w->file.nextents = w->file.nmaps = w->file.npages = 0;
	w->page_len = 0;
	w->nparts = 0;
	w->part_pages = 0;
	w->base = NULL;
	w->base_npages = 0;
	w->base_extent = 0;
	w->base_at = 0;
	if (w->source.base != NULL)
		st = base_find(w->source.base, path, &w->base, err);
	if (st == ST_OK && w->source.salvage != NULL)
		st = salvage_file(w->source.salvage, path, err);
	if (st == ST_OK && w->base != NULL && w->base->npages > 0)
		w->base_npages = w->base->size / w->source.page_size +
						 (w->base->size % w->source.page_size != 0 ? 1 : 0);
	return st;
}

/* A part begins: what does the base say of its pages? */
static enum status
begin_part(struct pack_writer *w, struct err *err)
{
	uint64_t first = (uint64_t) w->nparts * FILEMAP_PART_PAGES;
	uint64_t left = first < w->base_npages ? w->base_npages - first : 0;
	struct part *parts =
		pack_reserve(w->parts, &w->parts_room, w->nparts + 1, sizeof(*parts));
	enum status st = ST_OK;

	if (parts == NULL)
		return nomem(err);
	w->parts = parts;
	w->parts[w->nparts++] = (struct part){w->file.nextents, true};
	w->part_base_pages =
		left < FILEMAP_PART_PAGES ? (size_t) left : FILEMAP_PART_PAGES;
	if (w->source.salvage != NULL)
		st = salvage_part(w->source.salvage, first, err);
	if (st != ST_OK || w->part_base_pages == 0)
		return st;
	return base_pages(w->source.base, first, w->part_base_pages,
					  w->base_entries, err);
}

/*
 * Adds to the file's extents, joining what is one piece, but not over a
 * part's begin.
 */
static enum status
add_extent(struct pack_writer *w, const struct extent *e, struct err *err)
{
	struct stored_file *f = &w->file;
	struct extent *extents;

	if (f->nextents > w->parts[w->nparts - 1].first)
	{
		struct extent *last = &f->extents[f->nextents - 1];

		if (last->pack == e->pack &&
			(e->pack == EXTENT_ZEROS ||
			 last->position + last->length == e->position))
		{
			last->length += e->length;
			return ST_OK;
		}
	}
	extents = pack_reserve(f->extents, &w->extents_room, f->nextents + 1,
						   sizeof(*extents));
	if (extents == NULL)
		return nomem(err);
	f->extents = extents;
	f->extents[f->nextents++] = *e;
	return ST_OK;
}

/* Moves the cursor to the base's extent that holds offset at. */
static void
seek_base(struct pack_writer *w, uint64_t at)
{
	while (w->base_at > at)
		w->base_at -= w->base->extents[--w->base_extent].length;
	while (w->base_at + w->base->extents[w->base_extent].length <= at)
		w->base_at += w->base->extents[w->base_extent++].length;
}

/* The base's extent at that offset, cut to at most len bytes. */
static struct extent
base_piece(struct pack_writer *w, uint64_t at, uint64_t len)
{
	struct extent e;
	uint64_t into;

	seek_base(w, at);
	e = w->base->extents[w->base_extent];
	into = at - w->base_at;
	if (e.pack != EXTENT_ZEROS)
		e.position += into;
	e.length = e.length - into < len ? e.length - into : len;
	return e;
}

/* Is any of these bytes in a pack whose content is to be stored again? */
static bool
retires(struct pack_writer *w, uint64_t at, uint64_t len)
{
	if (w->source.retired == NULL)
		return false;
	while (len > 0)
	{
		struct extent e = base_piece(w, at, len);

		if (e.pack != EXTENT_ZEROS && w->source.retired[e.pack])
			return true;
		at += e.length;
		len -= e.length;
	}
	return false;
}

static void
count_live(struct pack_writer *w, const struct extent *e)
{
	struct packlist_shape shape;
	uint64_t position = e->position;
	uint64_t left = e->length;

	packlist_shape(base_packs(w->source.base), (uint32_t) e->pack, &shape);
	w->live_any[e->pack] = true;
	while (left > 0)
	{
		uint64_t frame = position / shape.frame_size;
		uint64_t len = (frame + 1) * shape.frame_size - position;

		len = len < left ? len : left;
		w->live[w->live_at[e->pack] + frame] += (uint32_t) len;
		position += len;
		left -= len;
	}
}

/* The file's next len bytes are where the base has them. */
static enum status
refer(struct pack_writer *w, uint64_t len, struct err *err)
{
	uint64_t at = w->file.size;
	enum status st = pack_end_chunk(w, err);

	while (st == ST_OK && len > 0)
	{
		struct extent e = base_piece(w, at, len);

		if (e.pack == EXTENT_ZEROS)
			w->counts.zeros += e.length;
		else
		{
			w->counts.referred += e.length;
			count_live(w, &e);
		}
		st = add_extent(w, &e, err);
		at += e.length;
		len -= e.length;
	}
	return st;
}

static bool
all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Is there room for another extent without giving up the limit? */
static bool
may_fragment(const struct pack_writer *w)
{
	return w->file.nextents < EXTENTS_MAX - EXTENTS_MAX / 4;
}

/* Has a backup that died stored the page? */
static bool
salvaged(const struct pack_writer *w, const uint8_t *entry, size_t len,
		 struct extent *out)
{
	return w->source.salvage != NULL && may_fragment(w) &&
		   salvage_find(w->source.salvage, w->part_pages, entry, len, out);
}

/*
 * A page that the base does not hold, or only in a pack that retires.  It is
 * not looked at where a backup that died has stored it.
 */
static enum status
store(struct pack_writer *w, const uint8_t *page, size_t len,
	  const uint8_t *entry, bool same, struct err *err)
{
	struct extent e = {EXTENT_ZEROS, 0, len};
	enum status st;

	w->parts[w->nparts - 1].as_base = false;
	if (salvaged(w, entry, len, &e))
	{
		w->counts.salvaged += len;
		count_live(w, &e);
		st = pack_end_chunk(w, err);
	}
	else if (all_zero(page, len) && may_fragment(w))
	{
		w->counts.zeros += len;
		st = pack_end_chunk(w, err);
	}
	else
	{
		*(same ? &w->counts.rewritten : &w->counts.changed) += len;
		st = pack_place_page(w, w->file.size, page, len, entry, &e, err);
	}
	return st == ST_OK ? add_extent(w, &e, err) : st;
}

/* What every page ends with, wherever its content lies. */
static enum status
end_page(struct pack_writer *w, const uint8_t *entry, size_t len,
		 struct err *err)
{
	struct stored_file *f = &w->file;

	f->crc32c =
		len == w->source.page_size
			? crc32c_combine_by(f->crc32c, page_crc32c(entry), w->page_power)
			: crc32c_combine(f->crc32c, page_crc32c(entry), len);
	f->size += len;
	if (++w->part_pages < FILEMAP_PART_PAGES)
		return ST_OK;
	return pack_store_pages(w, err);
}

/* Does the base hold a page of that length at the present place? */
static bool
base_has_page(const struct pack_writer *w, size_t len)
{
	return w->part_pages < w->part_base_pages &&
		   w->base->size - w->file.size >= len &&
		   (len == w->source.page_size || w->base->size - w->file.size == len);
}

static enum status
take_page(struct pack_writer *w, const uint8_t *page, size_t len,
		  struct err *err)
{
	size_t at = w->part_pages * PAGE_ENTRY_BYTES;
	uint8_t *entry;
	bool same;
	enum status st = ST_OK;

	if (w->part_pages == 0)
		st = begin_part(w, err);
	if (st != ST_OK)
		return st;
	entry = w->entries + at;
	page_entry(w->hash, page, len, entry);
	same = base_has_page(w, len) &&
		   memcmp(entry, w->base_entries + at, PAGE_ENTRY_BYTES) == 0;
	if (same && may_fragment(w) && !retires(w, w->file.size, len))
		st = refer(w, len, err);
	else
		st = store(w, page, len, entry, same, err);
	return st == ST_OK ? end_page(w, entry, len, err) : st;
}

enum status
pack_file_data(struct pack_writer *w, const void *data, size_t len,
			   struct err *err)
{
	const uint8_t *p = data;
	size_t page_size = w->source.page_size;
	enum status st = ST_OK;

	if (w->size != PACK_SIZE_UNKNOWN &&
		len > w->size - w->file.size - w->page_len)
		return err_set(err, ST_CORRUPT, "file \"%s\" is longer than announced",
					   w->path);
	while (st == ST_OK && len > 0)
	{
		size_t n = page_size - w->page_len;

		n = n < len ? n : len;
		if (n == page_size)
			st = take_page(w, p, n, err);
		else
		{
			memcpy(w->page + w->page_len, p, n);
			w->page_len += n;
			if (w->page_len == page_size)
			{
				w->page_len = 0;
				st = take_page(w, w->page, page_size, err);
			}
		}
		p += n;
		len -= n;
	}
	return st;
}

/* Reads a page of the base back, which must be what its entry says. */
static enum status
read_back(struct pack_writer *w, size_t len, const uint8_t *entry,
		  struct err *err)
{
	uint8_t found[PAGE_ENTRY_BYTES];
	uint64_t at = w->file.size;
	size_t done = 0;
	enum status st = ST_OK;

	while (st == ST_OK && done < len)
	{
		struct extent e = base_piece(w, at + done, len - done);

		if (e.pack == EXTENT_ZEROS)
			memset(w->page + done, 0, (size_t) e.length);
		else
			st = base_content(w->source.base, (uint32_t) e.pack, e.position,
							  w->page + done, (size_t) e.length, err);
		done += (size_t) e.length;
	}
	if (st != ST_OK)
		return err_context(err, "reading \"%s\" back", w->path);
	page_entry(w->hash, w->page, len, found);
	if (memcmp(found, entry, sizeof(found)) == 0)
		return ST_OK;
	return err_set(err, ST_CORRUPT,
				   "the page at %llu of \"%s\" is not what its backup says",
				   (unsigned long long) at, w->path);
}

static enum status
refer_page(struct pack_writer *w, size_t len, struct err *err)
{
	size_t at = w->part_pages * PAGE_ENTRY_BYTES;
	const uint8_t *entry;
	enum status st = ST_OK;

	if (w->part_pages == 0)
		st = begin_part(w, err);
	if (st != ST_OK)
		return st;
	if (!base_has_page(w, len))
		return err_set(err, ST_CORRUPT,
					   "the base has no page at %llu of \"%s\"",
					   (unsigned long long) w->file.size, w->path);
	entry = w->base_entries + at;
	memcpy(w->entries + at, entry, PAGE_ENTRY_BYTES);
	if (may_fragment(w) && !retires(w, w->file.size, len))
		st = refer(w, len, err);
	else
	{
		struct extent e;

		if (!salvaged(w, entry, len, &e))
			st = read_back(w, len, entry, err);
		if (st == ST_OK)
			st = store(w, w->page, len, entry, true, err);
	}
	return st == ST_OK ? end_page(w, entry, len, err) : st;
}

enum status
pack_file_refer(struct pack_writer *w, uint64_t len, struct err *err)
{
	enum status st = ST_OK;

	if (w->page_len != 0 ||
		(w->size != PACK_SIZE_UNKNOWN && len > w->size - w->file.size))
		return err_set(err, ST_CORRUPT, "file \"%s\" has no such page",
					   w->path);
	while (st == ST_OK && len > 0)
	{
		size_t n =
			len < w->source.page_size ? (size_t) len : w->source.page_size;

		st = refer_page(w, n, err);
		len -= n;
	}
	return st;
}

enum status
pack_file_end(struct pack_writer *w, const struct stored_file **out,
			  struct err *err)
{
	size_t len = w->page_len;
	enum status st = ST_OK;

	w->page_len = 0;
	if (len > 0)
		st = take_page(w, w->page, len, err);
	if (st == ST_OK)
		st = pack_end_chunk(w, err);
	if (st == ST_OK && w->part_pages > 0)
		st = pack_store_pages(w, err);
	if (st == ST_OK)
		st = pack_store_maps(w, err);
	if (st != ST_OK)
		return st;
	if (w->size != PACK_SIZE_UNKNOWN && w->size != w->file.size)
		return err_set(err, ST_CORRUPT,
					   "file \"%s\" is shorter than announced", w->path);
	*out = &w->file;
	return ST_OK;
}
