/*
 * manifest_extents.c - what a manifest says of a file's pieces
 */
#include "basebackup/manifest_line.h"

#include <stdlib.h>
#include <string.h>

#include "basebackup/filemap.h"

#define USES_START ((size_t) 1024)

void
object_uses_free(struct object_uses *uses)
{
	free(uses->used);
}

bool
object_uses_take(struct object_uses *uses, uint32_t index, uint32_t *end)
{
	if (index < uses->next)
		return false;
	for (; uses->next < index && uses->next < uses->count; uses->next++)
		if (uses->used[uses->next] > 0)
			return false;
	*end = index < uses->count ? uses->used[index] : 0;
	uses->next = (size_t) index + 1;
	return true;
}

bool
object_uses_done(const struct object_uses *uses)
{
	for (size_t i = uses->next; i < uses->count; i++)
		if (uses->used[i] > 0)
			return false;
	return true;
}

static enum status
add_use(struct object_uses *uses, uint32_t index, uint32_t end,
		struct err *err)
{
	if (index >= uses->size)
	{
		size_t size = uses->size == 0 ? USES_START : uses->size;
		uint32_t *grown;

		while (size <= index)
			size *= 2;
		grown = reallocarray(uses->used, size, sizeof(*grown));
		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		memset(grown + uses->size, 0, (size - uses->size) * sizeof(*grown));
		uses->used = grown;
		uses->size = size;
	}
	if (index >= uses->count)
		uses->count = (size_t) index + 1;
	if (uses->used[index] < end)
		uses->used[index] = end;
	return ST_OK;
}

/* True for a piece of an object's data. */
static bool
piece_valid(const int64_t *piece)
{
	return piece[0] >= 0 && piece[0] < MANIFEST_PACKS_MAX && piece[1] >= 0 &&
		   piece[1] < MANIFEST_PACK_DATA && piece[2] >= 1 &&
		   piece[2] <= MANIFEST_PACK_DATA - piece[1];
}

/*
 * Extents in order make up the file.  Pack numbers are believed only up to
 * the highest there may be, so that a huge one costs no memory.
 */
enum status
manifest_get_extents(const struct jsonl_line *line, struct object_uses *packs,
					 struct manifest_entry *file, struct err *err)
{
	const struct jsonl_member *m = jsonl_find(line, "extents");
	uint64_t total = 0;
	enum status st;

	if (m == NULL || m->type != JSONL_NUMBERS ||
		(m->count > 0 && m->width != 3))
		return jsonl_invalid(line, "extents", err);
	for (size_t i = 0; i < m->count; i++)
	{
		const int64_t *e = &m->numbers[3 * i];

		if (e[2] < 1 || (uint64_t) e[2] > file->size - total ||
			(e[0] == -1 ? e[1] != 0 : !piece_valid(e)))
			return jsonl_invalid(line, "extents", err);
		total += (uint64_t) e[2];
		if (e[0] >= 0 &&
			(st = add_use(packs, (uint32_t) e[0], (uint32_t) (e[1] + e[2]),
						  err)) != ST_OK)
			return st;
	}
	if (total != file->size)
		return jsonl_invalid(line, "extents", err);
	file->nextents = m->count;
	file->extents = m->numbers;
	return ST_OK;
}

/* Pieces of digest objects; *total is how long they are together. */
static enum status
get_ranges(const struct jsonl_line *line, const char *name,
		   struct object_uses *digests, const struct jsonl_member **out,
		   uint64_t *total, struct err *err)
{
	const struct jsonl_member *m = jsonl_find(line, name);

	if (m == NULL || m->type != JSONL_NUMBERS ||
		(m->count > 0 && m->width != 3))
		return jsonl_invalid(line, name, err);
	*total = 0;
	for (size_t i = 0; i < m->count; i++)
	{
		const int64_t *e = &m->numbers[3 * i];
		enum status st;

		if (!piece_valid(e))
			return jsonl_invalid(line, name, err);
		*total += (uint64_t) e[2];
		st = add_use(digests, (uint32_t) e[0], (uint32_t) (e[1] + e[2]), err);
		if (st != ST_OK)
			return st;
	}
	*out = m;
	return ST_OK;
}

enum status
manifest_get_maps(const struct jsonl_line *line, uint32_t page_size,
				  struct object_uses *digests, struct manifest_entry *file,
				  struct err *err)
{
	uint64_t part = (uint64_t) FILEMAP_PART_PAGES * page_size;
	const struct jsonl_member *m = NULL;
	uint64_t total = 0;
	enum status st = get_ranges(line, "map", digests, &m, &total, err);

	if (st != ST_OK || m == NULL)
		return st;
	if (jsonl_find(line, "extents") != NULL || part == 0 || m->count == 0 ||
		m->count != file->size / part + (file->size % part != 0))
		return jsonl_invalid(line, "map", err);
	file->nmaps = m->count;
	file->maps = m->numbers;
	return ST_OK;
}

enum status
manifest_get_pages(const struct jsonl_line *line, uint32_t page_size,
				   struct object_uses *digests, struct manifest_entry *file,
				   struct err *err)
{
	const struct jsonl_member *m = NULL;
	uint64_t total = 0;
	enum status st;

	if (jsonl_find(line, "pages") == NULL)
		return ST_OK;
	st = get_ranges(line, "pages", digests, &m, &total, err);
	if (st != ST_OK || m == NULL)
		return st;
	if (page_size == 0 || total % PAGE_ENTRY_BYTES != 0 ||
		total / PAGE_ENTRY_BYTES !=
			file->size / page_size + (file->size % page_size != 0))
		return jsonl_invalid(line, "pages", err);
	file->npages = m->count;
	file->pages = m->numbers;
	return ST_OK;
}
