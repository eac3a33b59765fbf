/*
 * salvage_read.c - the tables of a dead backup's packs
 */
#include "basebackup/salvage_internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/jsonl.h"
#include "basebackup/page.h"
#include "basebackup/path_hash.h"
#include "basebackup/piece.h"
#include "basebackup/repo_each.h"
#include "basebackup/tempfile.h"
#include "common/log.h"

/* What is fetched of a pack at first: most tables are shorter. */
#define FIRST_BYTES ((size_t) 128 << 10)

/* The entries of a chunk: no page is smaller. */
#define CHUNK_BYTES_MAX ((size_t) MANIFEST_PACK_DATA / 1024 * PAGE_ENTRY_BYTES)

struct packs
{
	size_t prefix_len;
	size_t count, room;
	struct listed
	{
		uint32_t n;
		uint64_t size;
	} * list;
};

/* All packs of a backup, whose tables several threads read. */
struct tables
{
	const struct salvage_source *source;
	const char *backup_id;
	struct packs packs;
	pthread_mutex_t mutex; /* for what follows, and the source's base */
	struct salvage_index *index;
	uint32_t number; /* the next pack will have in the base's list */
};

/* A pack whose table is read. */
struct reading
{
	const struct salvage_source *source;
	struct salvage_index *index;
	const char *backup_id;
	uint32_t n;
	uint64_t size;
	struct first_frame table;
	uint8_t entries[CHUNK_BYTES_MAX];
	uint32_t number; /* it will have in the base's list */
	uint64_t position;
	char *path; /* of the last run */
	bool ended; /* by the line that tells the frames */
	int64_t frames[MANIFEST_FRAMES_MAX];
	size_t nframes;
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

static enum status
see_pack(void *arg, const struct store_entry *entry, struct err *err)
{
	struct packs *packs = arg;
	uint32_t n;

	if (!repo_parse_number(entry->key + packs->prefix_len, &n))
		return ST_OK;
	if (packs->count == packs->room)
	{
		size_t room = packs->room == 0 ? 64 : 2 * packs->room;
		struct listed *grown = reallocarray(packs->list, room, sizeof(*grown));

		if (grown == NULL)
			return nomem(err);
		packs->list = grown;
		packs->room = room;
	}
	packs->list[packs->count++] = (struct listed){n, entry->stat.size_bytes};
	return ST_OK;
}

/* The stored length of each frame of data. */
static enum status
take_frames(struct reading *r, const struct jsonl_line *line, struct err *err)
{
	const struct jsonl_member *m = jsonl_find(line, "frames");

	if (m->type != JSONL_NUMBERS || m->width != 0 ||
		m->count > MANIFEST_FRAMES_MAX - 1)
		return jsonl_invalid(line, "frames", err);
	for (size_t i = 0; i < m->count; i++)
	{
		if (m->numbers[i] <= 0 || m->numbers[i] > UINT32_MAX)
			return jsonl_invalid(line, "frames", err);
		r->frames[1 + i] = m->numbers[i];
	}
	r->nframes = 1 + m->count;
	r->ended = true;
	return ST_OK;
}

/* A new run, beginning with its path. */
static enum status
begin_run(struct reading *r, const char *path, struct err *err)
{
	struct salvage_index *index = r->index;
	uint32_t path_len = (uint32_t) strlen(path);
	enum status st;

	if (index->nruns == index->runs_room)
	{
		size_t room = index->runs_room == 0 ? 256 : 2 * index->runs_room;
		struct salvage_run *grown =
			reallocarray(index->runs, room, sizeof(*grown));

		if (grown == NULL)
			return nomem(err);
		index->runs = grown;
		index->runs_room = room;
	}
	free(r->path);
	r->path = strdup(path);
	if (r->path == NULL)
		return nomem(err);
	index->runs[index->nruns++] =
		(struct salvage_run){.path = path_hash(PATH_HASH_SEED, path),
							 .at = index->chunks_len,
							 .len = (uint32_t) sizeof(path_len) + path_len,
							 .number = r->number};
	index->chunks_len += sizeof(path_len) + path_len;
	st = tempfile_write(index->chunks, &path_len, sizeof(path_len), err);
	if (st == ST_OK)
		st = tempfile_write(index->chunks, path, path_len, err);
	return st;
}

static enum status
add_chunk(struct reading *r, const char *path,
		  const struct salvage_chunk *chunk, size_t entries_len,
		  struct err *err)
{
	struct salvage_index *index = r->index;
	size_t len = sizeof(*chunk) + entries_len;
	enum status st = ST_OK;

	if (r->path == NULL || strcmp(r->path, path) != 0)
		st = begin_run(r, path, err);
	if (st == ST_OK)
		st = tempfile_write(index->chunks, chunk, sizeof(*chunk), err);
	if (st == ST_OK)
		st = tempfile_write(index->chunks, r->entries, entries_len, err);
	if (st != ST_OK)
		return st;
	index->chunks_len += len;
	index->runs[index->nruns - 1].len += (uint32_t) len;
	return ST_OK;
}

/* A jsonl_sink.  A chunk without digests of its pages is of no use. */
static enum status
take_line(void *arg, const struct jsonl_line *line, struct err *err)
{
	struct reading *r = arg;
	const struct jsonl_member *pages = jsonl_find(line, "pages");
	const struct jsonl_member *path = jsonl_find(line, "path");
	struct salvage_chunk chunk = {.position = (uint32_t) r->position};
	uint64_t at, length;
	size_t len = 0, want;
	enum status st;

	if (r->ended)
		return jsonl_invalid(line, "frames", err);
	if (jsonl_find(line, "frames") != NULL)
		return take_frames(r, line, err);
	if ((st = jsonl_get_uint(line, "at", INT64_MAX, &at, err)) != ST_OK ||
		(st = jsonl_get_uint(line, "length", MANIFEST_PACK_DATA - r->position,
							 &length, err)) != ST_OK)
		return st;
	r->position += length;
	if (pages == NULL || pages->type != JSONL_TEXT || path == NULL ||
		path->type != JSONL_TEXT || at % r->source->page_size != 0)
		return ST_OK;
	want = ((size_t) length + r->source->page_size - 1) /
		   r->source->page_size * PAGE_ENTRY_BYTES;
	if (sodium_base642bin(r->entries, sizeof(r->entries), pages->text,
						  strlen(pages->text), NULL, &len, NULL,
						  sodium_base64_VARIANT_ORIGINAL) != 0 ||
		len != want)
		return jsonl_invalid(line, "pages", err);
	chunk.at = at;
	chunk.length = (uint32_t) length;
	return add_chunk(r, path->text, &chunk, len, err);
}

/* Do the frames make up the object, and its content? */
static bool
adds_up(const struct reading *r)
{
	const struct object *obj = &r->table.obj;
	uint64_t stored = obj->header_len;

	for (size_t i = 0; i < r->nframes; i++)
		stored += (uint64_t) r->frames[i];
	return r->ended && stored == r->size &&
		   r->table.plain_len + r->position == obj->plain_len &&
		   r->nframes - 1 ==
			   (r->position + obj->frame_size - 1) / obj->frame_size;
}

/* Only when a whole table is good does the pack count. */
static enum status
take_table(struct reading *r, struct err *err)
{
	struct salvage_index *index = r->index;
	struct manifest_pack pack = {.backup = r->backup_id,
								 .n = r->n,
								 .header = r->table.obj.header,
								 .header_len = r->table.obj.header_len,
								 .frames = r->frames};
	size_t nruns = index->nruns;
	enum status st;

	r->frames[0] = (int64_t) r->table.stored_len;
	st = jsonl_parse(r->table.plain, r->table.plain_len, take_line, r, err);
	if (st == ST_OK && !adds_up(r))
		st = err_set(err, ST_CORRUPT, "its table does not tell its frames");
	if (st == ST_OK)
	{
		pack.nframes = r->nframes;
		pack.data_len = (uint32_t) r->position;
		st = base_add_pack(r->source->base, &pack, err);
	}
	if (st == ST_OK)
		index->npacks++;
	else
		index->nruns = nruns;
	return st;
}

/* What cannot be used is left where it is. */
static enum status
read_pack(struct reading *r, struct repo *repo, struct tables *tables,
		  struct err *err)
{
	char name[OBJECT_NAME_MAX + 1];
	const struct object_id id = {OBJECT_PACK, repo->system_identifier, name};
	enum status st;

	repo_pack_name(name, r->backup_id, r->n);
	st = first_frame_read(repo, &id, r->size, FIRST_BYTES, &r->table, err);
	if (st == ST_OK)
	{
		(void) pthread_mutex_lock(&tables->mutex);
		r->number = tables->number;
		st = take_table(r, err);
		if (st == ST_OK)
			tables->number++;
		(void) pthread_mutex_unlock(&tables->mutex);
		first_frame_free(&r->table);
	}
	if (st == ST_OK)
		return ST_OK;
	if (st != ST_CORRUPT && st != ST_AUTH && st != ST_MISSING)
		return err_context(err, "\"%s\"", name);
	(void) err_context(err, "cannot use \"%s\" of a backup that died", name);
	log_err_warning(err);
	return ST_OK;
}

static enum status
list_packs(const struct salvage_source *source, const char *backup_id,
		   struct packs *out, struct err *err)
{
	char prefix[STORE_KEY_MAX];

	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/backup/%s/pack/",
					source->repo->system_identifier, backup_id);
	out->prefix_len = strlen(prefix);
	return store_list(source->repo->store, prefix, NULL, false, see_pack, out,
					  err);
}

/* A repo_visitor. */
static enum status
visit_pack(struct repo *repo, size_t i, void *arg, struct err *err)
{
	struct tables *tables = arg;
	struct reading *r = calloc(1, sizeof(*r));
	enum status st;

	if (r == NULL)
		return nomem(err);
	r->source = tables->source;
	r->index = tables->index;
	r->backup_id = tables->backup_id;
	r->n = tables->packs.list[i].n;
	r->size = tables->packs.list[i].size;
	st = read_pack(r, repo, tables, err);
	free(r->path);
	free(r);
	return st;
}

enum status
salvage_read_backup(const struct salvage_source *source, const char *backup_id,
					struct salvage_index *index, struct err *err)
{
	struct tables tables = {.source = source,
							.backup_id = backup_id,
							.index = index,
							.number =
								packlist_count(base_packs(source->base))};
	enum status st;

	if (pthread_mutex_init(&tables.mutex, NULL) != 0)
		return nomem(err);
	st = list_packs(source, backup_id, &tables.packs, err);
	if (st == ST_OK)
		st = repo_each(source->repo, tables.packs.count, visit_pack, &tables,
					   err);
	free(tables.packs.list);
	(void) pthread_mutex_destroy(&tables.mutex);
	return st;
}
