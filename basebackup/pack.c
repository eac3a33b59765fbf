/*
 * pack.c - packs and digest objects in the making
 */
#include "basebackup/pack_internal.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crc32c.h"

#define BASE64_MAX(len) \
	sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL)

/* What a digest object has for a table. */
static const char digest_table[] = "{}\n";

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

void *
pack_reserve(void *array, size_t *room, size_t count, size_t size)
{
	size_t more = *room == 0 ? 64 : *room;
	void *grown;

	if (array != NULL && count <= *room)
		return array;
	while (more < count)
		more *= 2;
	grown = reallocarray(array, more, size);
	if (grown != NULL)
		*room = more;
	return grown;
}

/* Counters for each frame of the base's packs. */
static enum status
count_frames(struct pack_writer *w, struct err *err)
{
	const struct packlist *packs = base_packs(w->source.base);
	struct packlist_shape shape;
	size_t total = 0;

	w->npacks = packlist_count(packs);
	w->ndigests = packlist_count(base_digests(w->source.base));
	w->live_at = calloc((size_t) w->npacks + 1, sizeof(*w->live_at));
	w->live_any = calloc((size_t) w->npacks + 1, sizeof(*w->live_any));
	w->digest_used = calloc((size_t) w->ndigests + 1, sizeof(bool));
	if (w->live_at == NULL || w->live_any == NULL || w->digest_used == NULL)
		return nomem(err);
	for (uint32_t i = 0; i < w->npacks; i++)
	{
		packlist_shape(packs, i, &shape);
		w->live_at[i] = (uint32_t) total;
		total += shape.nframes;
	}
	w->live = calloc(total + 1, sizeof(*w->live));
	return w->live == NULL ? nomem(err) : ST_OK;
}

enum status
pack_writer_new(const struct pack_source *source, struct pack_writer **out,
				struct err *err)
{
	struct pack_writer *w = calloc(1, sizeof(*w));
	size_t part = (size_t) FILEMAP_PART_PAGES * PAGE_ENTRY_BYTES;
	enum status st;

	if (w == NULL)
		return nomem(err);
	w->source = *source;
	if (source->page_size < PACK_CHUNK_MAX / CHUNK_PAGES_MAX ||
		PACK_CHUNK_MAX % source->page_size != 0)
	{
		free(w);
		return err_set(err, ST_CONFIG, "pages of %u bytes are not supported",
					   source->page_size);
	}
	w->page_power = crc32c_power(source->page_size);
	w->page = malloc(source->page_size);
	w->entries = malloc(part);
	w->base_entries = malloc(part);
	if (w->page == NULL || w->entries == NULL || w->base_entries == NULL)
		st = nomem(err);
	else
		st = json_new(&w->json, err);
	if (st == ST_OK)
		st = page_hash_new(source->digest_key, source->page_size, &w->hash,
						   err);
	if (st == ST_OK && source->base != NULL)
		st = count_frames(w, err);
	if (st != ST_OK)
	{
		pack_writer_free(w);
		return st;
	}
	*out = w;
	return ST_OK;
}

void
pack_writer_free(struct pack_writer *w)
{
	if (w == NULL)
		return;
	page_hash_free(w->hash);
	json_free(w->json);
	filemap_buffer_free(&w->map);
	free(w->map_extents);
	free(w->live);
	free(w->live_at);
	free(w->live_any);
	free(w->digest_used);
	free(w->file.extents);
	free(w->file.maps);
	free(w->file.pages);
	free(w->parts);
	free(w->page);
	free(w->entries);
	free(w->base_entries);
	free(w->path);
	free(w);
}

const struct pack_counts *
pack_writer_counts(const struct pack_writer *w)
{
	return &w->counts;
}

const uint32_t *
pack_writer_live(const struct pack_writer *w, uint32_t number)
{
	return w->live_any[number] ? w->live + w->live_at[number] : NULL;
}

bool
pack_writer_uses_digest(const struct pack_writer *w, uint32_t number)
{
	return w->digest_used[number];
}

static enum status
hand_over(struct pack_writer *w, struct pack **slot, struct err *err)
{
	struct pack *pack = *slot;

	*slot = NULL;
	return pack_pool_put(w->source.pool, pack, err);
}

/* No line of the table is longer: a byte takes at most six in JSON. */
static size_t
table_line_max(const struct pack_writer *w)
{
	return 6 * strlen(w->path) + 200 +
		   BASE64_MAX(PACK_CHUNK_MAX / w->source.page_size * PAGE_ENTRY_BYTES +
					  PAGE_ENTRY_BYTES);
}

/* The chunk's line in the table, for which begin_chunk has made room. */
enum status
pack_end_chunk(struct pack_writer *w, struct err *err)
{
	char pages[BASE64_MAX(sizeof(w->chunk.entries))];
	struct chunk *c = &w->chunk;
	const char *line;
	size_t len;
	char crc[9];
	enum status st;

	if (c->len == 0)
		return ST_OK;
	(void) snprintf(crc, sizeof(crc), "%08x", c->crc32c);
	(void) sodium_bin2base64(pages, sizeof(pages), c->entries,
							 c->npages * PAGE_ENTRY_BYTES,
							 sodium_base64_VARIANT_ORIGINAL);
	json_begin(w->json);
	json_path(w->json, "path", w->path);
	json_int(w->json, "at", (int64_t) c->at);
	json_int(w->json, "length", (int64_t) c->len);
	json_text(w->json, "crc32c", crc);
	json_text(w->json, "pages", pages);
	st = json_done(w->json, &line, &len, err);
	if (st != ST_OK)
		return st;
	memcpy(w->pack->table + w->pack->table_len, line, len);
	w->pack->table_len += len;
	c->len = 0;
	return ST_OK;
}

/* Makes sure that there is a pack with room for a page and a table's line. */
static enum status
begin_chunk(struct pack_writer *w, uint64_t at, size_t len, struct err *err)
{
	enum status st = ST_OK;

	if (w->pack != NULL && (PACK_DATA_MAX - w->pack->data_len < len ||
							OBJECT_FRAME_SIZE - w->pack->table_len <
								table_line_max(w) + PACK_TABLE_END))
		st = hand_over(w, &w->pack, err);
	if (st == ST_OK && w->pack == NULL)
		st = pack_pool_take(w->source.pool, PACK_DATA, &w->pack, err);
	w->chunk.at = at;
	w->chunk.crc32c = 0;
	w->chunk.npages = 0;
	return st;
}

/* Does the page go on where the chunk ends, and belong to it? */
static bool
continues(const struct pack_writer *w, uint64_t at, size_t len)
{
	const struct chunk *c = &w->chunk;

	return c->len > 0 && c->at + c->len == at && at % PACK_CHUNK_MAX != 0 &&
		   c->npages < CHUNK_PAGES_MAX &&
		   PACK_DATA_MAX - w->pack->data_len >= len;
}

enum status
pack_place_page(struct pack_writer *w, uint64_t at, const void *page,
				size_t len, const uint8_t *entry, struct extent *out,
				struct err *err)
{
	struct chunk *c = &w->chunk;
	enum status st = ST_OK;

	if (!continues(w, at, len))
	{
		st = pack_end_chunk(w, err);
		if (st == ST_OK)
			st = begin_chunk(w, at, len, err);
	}
	if (st != ST_OK)
		return st;
	*out = (struct extent){(int64_t) w->npacks + w->pack->n, w->pack->data_len,
						   len};
	memcpy(w->pack->data + w->pack->data_len, page, len);
	memcpy(c->entries + c->npages * PAGE_ENTRY_BYTES, entry, PAGE_ENTRY_BYTES);
	c->npages++;
	c->crc32c =
		len == w->source.page_size
			? crc32c_combine_by(c->crc32c, page_crc32c(entry), w->page_power)
			: crc32c_combine(c->crc32c, page_crc32c(entry), len);
	c->len += len;
	w->pack->data_len += len;
	return ST_OK;
}

enum status
pack_place_digest(struct pack_writer *w, const void *data, size_t len,
				  struct digest_range *out, struct err *err)
{
	enum status st = ST_OK;

	if (w->digest != NULL && PACK_DATA_MAX - w->digest->data_len < len)
		st = hand_over(w, &w->digest, err);
	if (st == ST_OK && w->digest == NULL)
	{
		st = pack_pool_take(w->source.pool, PACK_DIGEST, &w->digest, err);
		if (st == ST_OK)
		{
			w->digest->table_len = strlen(digest_table);
			memcpy(w->digest->table, digest_table, w->digest->table_len);
		}
	}
	if (st != ST_OK)
		return st;
	*out =
		(struct digest_range){w->ndigests + w->digest->n,
							  (uint32_t) w->digest->data_len, (uint32_t) len};
	memcpy(w->digest->data + w->digest->data_len, data, len);
	w->digest->data_len += len;
	return ST_OK;
}

enum status
pack_writer_finish(struct pack_writer *w, struct err *err)
{
	enum status st = ST_OK;

	if (w->pack != NULL && w->pack->data_len > 0)
		st = hand_over(w, &w->pack, err);
	if (st == ST_OK && w->digest != NULL)
		st = hand_over(w, &w->digest, err);
	if (st == ST_OK)
		st = pack_pool_drain(w->source.pool, err);
	return st;
}
