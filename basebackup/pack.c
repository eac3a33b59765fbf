/*
 * pack.c - files into packs
 */
#include "basebackup/pack.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/json.h"
#include "common/crc32c.h"

struct pack_writer
{
	struct pack_pool *pool;
	struct json *json;
	struct pack *pack; /* in the making; NULL: none */

	char *path; /* of the file in hand */
	uint64_t size;
	struct stored_file file;
	size_t extents_room;

	size_t chunk_len; /* of the chunk in hand, which ends the pack's data */
	uint32_t chunk_crc;
};

enum status
pack_writer_new(struct pack_pool *pool, struct pack_writer **out,
				struct err *err)
{
	struct pack_writer *w = calloc(1, sizeof(*w));
	enum status status;

	if (w == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	w->pool = pool;
	status = json_new(&w->json, err);
	if (status != ST_OK)
	{
		free(w);
		return status;
	}
	*out = w;
	return ST_OK;
}

void
pack_writer_free(struct pack_writer *w)
{
	if (w == NULL)
		return;
	json_free(w->json);
	free(w->file.extents);
	free(w->path);
	free(w);
}

static enum status
hand_over(struct pack_writer *w, struct err *err)
{
	struct pack *pack = w->pack;

	w->pack = NULL;
	return pack_pool_put(w->pool, pack, err);
}

/* Adds to the file's extents, joining what is one piece. */
static enum status
add_extent(struct pack_writer *w, int64_t pack, uint64_t position,
		   uint64_t length, struct err *err)
{
	struct stored_file *f = &w->file;
	struct extent *last =
		f->nextents > 0 ? &f->extents[f->nextents - 1] : NULL;

	if (last != NULL && last->pack == pack &&
		(pack == EXTENT_ZEROS || last->position + last->length == position))
	{
		last->length += length;
		return ST_OK;
	}
	if (f->extents == NULL || f->nextents == w->extents_room)
	{
		size_t room = w->extents_room == 0 ? 64 : 2 * w->extents_room;
		struct extent *more = realloc(f->extents, room * sizeof(*more));

		if (more == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		f->extents = more;
		w->extents_room = room;
	}
	f->extents[f->nextents++] = (struct extent){pack, position, length};
	return ST_OK;
}

static bool
all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* No line of the table is longer: a byte takes at most six in JSON. */
static size_t
table_line_max(const struct pack_writer *w)
{
	return 6 * strlen(w->path) + 160;
}

/* The chunk's line in the table; begin_chunk has made room. */
static enum status
add_table_line(struct pack_writer *w, uint64_t at, size_t chunk_len,
			   struct err *err)
{
	const char *line;
	size_t len;
	char crc[9];
	enum status status;

	(void) snprintf(crc, sizeof(crc), "%08x", w->chunk_crc);
	json_begin(w->json);
	json_path(w->json, "path", w->path);
	json_int(w->json, "at", (int64_t) at);
	json_int(w->json, "length", (int64_t) chunk_len);
	json_text(w->json, "crc32c", crc);
	status = json_done(w->json, &line, &len, err);
	if (status != ST_OK)
		return status;
	memcpy(w->pack->table + w->pack->table_len, line, len);
	w->pack->table_len += len;
	return ST_OK;
}

static enum status
end_chunk(struct pack_writer *w, struct err *err)
{
	struct stored_file *f = &w->file;
	size_t len = w->chunk_len;
	enum status status;

	if (len == 0)
		return ST_OK;
	f->crc32c = crc32c_combine(f->crc32c, w->chunk_crc, len);
	w->chunk_len = 0;
	if (all_zero(w->pack->data + w->pack->data_len - len, len))
	{
		w->pack->data_len -= len;
		return add_extent(w, EXTENT_ZEROS, 0, len, err);
	}
	status = add_table_line(w, f->size - len, len, err);
	if (status != ST_OK)
		return status;
	return add_extent(w, w->pack->n, w->pack->data_len - len, len, err);
}

/* Makes sure that the chunk that begins now will fit into the pack. */
static enum status
begin_chunk(struct pack_writer *w, struct err *err)
{
	uint64_t left = w->size - w->file.size;
	size_t want = left < PACK_CHUNK_MAX ? (size_t) left : PACK_CHUNK_MAX;
	enum status status = ST_OK;

	w->chunk_crc = 0;
	if (w->pack != NULL &&
		(PACK_DATA_MAX - w->pack->data_len < want ||
		 OBJECT_FRAME_SIZE - w->pack->table_len < table_line_max(w)))
		status = hand_over(w, err);
	if (status == ST_OK && w->pack == NULL)
		status = pack_pool_take(w->pool, &w->pack, err);
	return status;
}

enum status
pack_file_begin(struct pack_writer *w, const char *path, uint64_t size,
				struct err *err)
{
	char *copy = strdup(path);

	if (strlen(path) > PACK_PATH_MAX)
	{
		free(copy);
		return err_set(err, ST_CORRUPT, "path \"%.100s...\" is too long",
					   path);
	}
	if (copy == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	free(w->path);
	w->path = copy;
	w->size = size;
	w->file.size = 0;
	w->file.crc32c = 0;
	w->file.nextents = 0;
	w->chunk_len = 0;
	return ST_OK;
}

enum status
pack_file_data(struct pack_writer *w, const void *data, size_t len,
			   struct err *err)
{
	const uint8_t *p = data;

	if (w->size != PACK_SIZE_UNKNOWN && len > w->size - w->file.size)
		return err_set(err, ST_CORRUPT, "file \"%s\" is longer than announced",
					   w->path);
	while (len > 0)
	{
		enum status status = ST_OK;
		size_t n;

		if (w->chunk_len == 0)
			status = begin_chunk(w, err);
		if (status != ST_OK)
			return status;
		n = PACK_CHUNK_MAX - w->chunk_len;
		n = n < len ? n : len;
		memcpy(w->pack->data + w->pack->data_len, p, n);
		w->pack->data_len += n;
		w->chunk_len += n;
		w->chunk_crc = crc32c_update(w->chunk_crc, p, n);
		w->file.size += n;
		p += n;
		len -= n;
		if (w->chunk_len == PACK_CHUNK_MAX)
			status = end_chunk(w, err);
		if (status != ST_OK)
			return status;
	}
	return ST_OK;
}

enum status
pack_file_end(struct pack_writer *w, const struct stored_file **out,
			  struct err *err)
{
	enum status status = end_chunk(w, err);

	if (status != ST_OK)
		return status;
	if (w->size != PACK_SIZE_UNKNOWN && w->size != w->file.size)
		return err_set(err, ST_CORRUPT,
					   "file \"%s\" is shorter than announced", w->path);
	*out = &w->file;
	return ST_OK;
}

enum status
pack_writer_finish(struct pack_writer *w, struct err *err)
{
	enum status status = ST_OK;

	if (w->pack != NULL && w->pack->data_len > 0)
		status = hand_over(w, err);
	if (status == ST_OK)
		status = pack_pool_drain(w->pool, err);
	return status;
}
