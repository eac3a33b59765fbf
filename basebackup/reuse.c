/*
 * reuse.c - which pieces of a pack the files hold already
 */
#include "basebackup/reuse.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "basebackup/decode.h"
#include "basebackup/delta.h"
#include "basebackup/jsonl.h"
#include "common/crc32c.h"
#include "common/log.h"

/* Less is fetched sooner than found out. */
#define WORTH_BYTES ((uint64_t) 256 << 10)

/* A chunk that is larger is not compared. */
#define CHUNK_MAX ((size_t) 4 << 20)

struct chunk
{
	uint64_t position;
	uint32_t length;
	uint32_t crc32c;
};

struct extent_list
{
	struct plan_extent *extents;
	size_t count, size;
};

struct reuse
{
	const struct fetch_job *job;
	struct tree_cursor *cursor;
	struct extent_list rest, next;
	uint64_t changed_bytes;

	struct chunk *chunks;
	size_t nchunks, chunks_size;
	uint64_t position; /* where the next chunk begins */

	/* The file that was read last. */
	int fd;
	uint32_t open_entry;
	struct plan_entry entry;
	uint8_t *buffer;
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

enum status
reuse_new(const struct fetch_job *job, struct reuse **out, struct err *err)
{
	struct reuse *r = calloc(1, sizeof(*r));
	enum status st;

	if (r == NULL)
		return nomem(err);
	r->job = job;
	r->fd = -1;
	r->buffer = malloc(CHUNK_MAX);
	st = r->buffer == NULL ? nomem(err)
						   : tree_cursor_new(job->tree, &r->cursor, err);
	if (st != ST_OK)
	{
		reuse_free(r);
		return st;
	}
	*out = r;
	return ST_OK;
}

static void
close_file(struct reuse *r)
{
	if (r->fd >= 0)
		(void) close(r->fd);
	r->fd = -1;
}

void
reuse_free(struct reuse *reuse)
{
	if (reuse == NULL)
		return;
	close_file(reuse);
	tree_cursor_free(reuse->cursor);
	free(reuse->rest.extents);
	free(reuse->next.extents);
	free(reuse->chunks);
	free(reuse->buffer);
	free(reuse);
}

/* Neighbours in both file and pack become one. */
static enum status
add(struct extent_list *list, const struct plan_extent *extent,
	struct err *err)
{
	if (list->count > 0)
	{
		struct plan_extent *last = list->extents + (list->count - 1);

		if (last->entry == extent->entry &&
			last->position + last->length == extent->position &&
			last->at + last->length == extent->at)
		{
			last->length += extent->length;
			return ST_OK;
		}
	}
	if (list->count == list->size)
	{
		size_t size = list->size == 0 ? 256 : list->size * 2;
		struct plan_extent *grown =
			reallocarray(list->extents, size, sizeof(*grown));

		if (grown == NULL)
			return nomem(err);
		list->extents = grown;
		list->size = size;
	}
	list->extents[list->count++] = *extent;
	return ST_OK;
}

enum status
reuse_begin(struct reuse *r, const struct plan_extent *extents, size_t count,
			_Atomic uint64_t *done, struct err *err)
{
	enum status st = ST_OK;

	r->rest.count = 0;
	r->changed_bytes = 0;
	for (size_t i = 0; st == ST_OK && i < count; i++)
	{
		enum delta_state state = delta_state(r->job->delta, extents[i].entry);

		if (state == DELTA_KEPT)
		{
			atomic_fetch_add(done, extents[i].length);
			continue;
		}
		if (state == DELTA_CHANGED)
			r->changed_bytes += extents[i].length;
		st = add(&r->rest, &extents[i], err);
	}
	return st;
}

bool
reuse_wants_table(const struct reuse *reuse)
{
	return reuse->changed_bytes >= WORTH_BYTES;
}

/* A jsonl_sink. */
static enum status
take_chunk(void *arg, const struct jsonl_line *line, struct err *err)
{
	struct reuse *r = arg;
	struct chunk chunk = {.position = r->position};
	const char *crc;
	uint64_t length;
	enum status st;

	if (jsonl_find(line, "frames") != NULL)
		return ST_OK; /* the last line */
	if ((st = jsonl_get_uint(line, "length", MANIFEST_PACK_DATA, &length,
							 err)) != ST_OK ||
		(st = jsonl_get_text(line, "crc32c", &crc, err)) != ST_OK)
		return st;
	if (!hex_parse32(crc, &chunk.crc32c))
		return jsonl_invalid(line, "crc32c", err);
	if (r->nchunks == r->chunks_size)
	{
		size_t size = r->chunks_size == 0 ? 256 : r->chunks_size * 2;
		struct chunk *grown = reallocarray(r->chunks, size, sizeof(*grown));

		if (grown == NULL)
			return nomem(err);
		r->chunks = grown;
		r->chunks_size = size;
	}
	chunk.length = (uint32_t) length;
	r->chunks[r->nchunks++] = chunk;
	r->position += length;
	return ST_OK;
}

static enum status
open_entry(struct reuse *r, uint32_t number, struct err *err)
{
	uint64_t size;
	enum status st;

	if (r->fd >= 0 && r->open_entry == number)
		return ST_OK;
	close_file(r);
	st = plan_get_entry(r->job->plan, number, &r->entry, err);
	if (st == ST_OK)
		st = tree_look(r->cursor, r->entry.area, plan_pending_path(&r->entry),
					   &r->fd, &size, err);
	r->open_entry = number;
	return st;
}

/* Does the file hold the chunk at that offset? */
static enum status
holds(struct reuse *r, uint32_t entry, uint64_t at, const struct chunk *chunk,
	  bool *out, struct err *err)
{
	size_t done = 0;
	enum status st = open_entry(r, entry, err);

	*out = false;
	if (st != ST_OK)
		return st;
	while (done < chunk->length)
	{
		ssize_t n = pread(r->fd, r->buffer + done, chunk->length - done,
						  (off_t) (at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ST_OK;
		done += (size_t) n;
	}
	*out = crc32c_update(0, r->buffer, done) == chunk->crc32c;
	return ST_OK;
}

/* Part of an extent: len bytes from its offset "from" on. */
static struct plan_extent
part_of(const struct plan_extent *extent, uint64_t from, uint64_t len)
{
	struct plan_extent part = *extent;

	part.position += (uint32_t) from;
	part.at += from;
	part.length = (uint32_t) len;
	return part;
}

/* Chunks from *next on lie within the extent or behind it. */
static enum status
compare_extent(struct reuse *r, const struct plan_extent *e, size_t *next,
			   _Atomic uint64_t *done, struct err *err)
{
	uint64_t end = (uint64_t) e->position + e->length;
	uint64_t at = e->position;
	enum status st = ST_OK;

	while (*next < r->nchunks && r->chunks[*next].position < at)
		(*next)++;
	for (size_t i = *next; st == ST_OK && i < r->nchunks; i++)
	{
		const struct chunk *chunk = &r->chunks[i];
		uint64_t offset = e->at + (chunk->position - e->position);
		struct plan_extent part;
		bool same;

		if (chunk->position + chunk->length > end)
			break;
		if (chunk->length > CHUNK_MAX)
			continue;
		st = holds(r, e->entry, offset, chunk, &same, err);
		if (st != ST_OK || !same)
			continue;
		if (chunk->position > at)
		{
			part = part_of(e, at - e->position, chunk->position - at);
			st = add(&r->next, &part, err);
		}
		at = chunk->position + chunk->length;
		plan_part_done(r->job->plan, e->entry, r->entry.size, offset,
					   chunk->length, chunk->crc32c);
		atomic_fetch_add(done, chunk->length);
	}
	if (st == ST_OK && at < end)
	{
		struct plan_extent part = part_of(e, at - e->position, end - at);

		st = add(&r->next, &part, err);
	}
	return st;
}

enum status
reuse_compare(struct reuse *r, const void *table, size_t len,
			  _Atomic uint64_t *done, struct err *err)
{
	struct extent_list compared;
	struct err why;
	size_t next = 0;
	enum status st;

	r->nchunks = 0;
	r->position = 0;
	st = jsonl_parse(table, len, take_chunk, r, &why);
	if (st == ST_NOMEM)
		return nomem(err);
	if (st != ST_OK)
	{
		log_debug("a pack's table cannot be used: %s", why.message);
		return ST_OK;
	}
	r->next.count = 0;
	for (size_t i = 0; st == ST_OK && i < r->rest.count; i++)
	{
		const struct plan_extent *e = &r->rest.extents[i];

		if (delta_state(r->job->delta, e->entry) == DELTA_CHANGED)
			st = compare_extent(r, e, &next, done, err);
		else
			st = add(&r->next, e, err);
	}
	close_file(r);
	compared = r->next;
	r->next = r->rest;
	r->rest = compared;
	return st;
}

size_t
reuse_rest(const struct reuse *reuse, const struct plan_extent **extents)
{
	*extents = reuse->rest.extents;
	return reuse->rest.count;
}
