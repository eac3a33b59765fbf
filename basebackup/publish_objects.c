/*
 * publish_objects.c - the packs and digest objects that a new manifest names
 */
#include "basebackup/publish_objects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct packlist *
publish_older(const struct publication *pub, enum pack_kind kind)
{
	if (pub->base == NULL)
		return NULL;
	return kind == PACK_DATA ? base_packs(pub->base) : base_digests(pub->base);
}

bool
publish_uses(const struct publication *pub, enum pack_kind kind,
			 uint32_t number)
{
	return kind == PACK_DATA ? pack_writer_live(pub->packs, number) != NULL
							 : pack_writer_uses_digest(pub->packs, number);
}

static enum status
add_older(struct publication *pub, enum pack_kind kind, uint32_t number,
		  struct stored_object *o, struct err *err)
{
	struct manifest_object line = {.kind = kind, .index = number};
	enum status st = packlist_get(publish_older(pub, kind), number, o, err);

	if (st != ST_OK)
		return st;
	line.backup_id = o->backup;
	line.n = o->n;
	line.header = o->header;
	line.header_len = o->header_len;
	line.frames = o->frames;
	line.nframes = o->nframes;
	line.data_len = o->data_len;
	if (kind == PACK_DATA)
		line.live = pack_writer_live(pub->packs, number);
	return manifest_add_object(pub->manifest, &line, err);
}

static enum status
add_own(struct publication *pub, enum pack_kind kind, uint32_t n,
		uint32_t index, struct err *err)
{
	struct pack_record record;
	struct manifest_object line = {.kind = kind,
								   .index = index,
								   .backup_id = pub->backup_id,
								   .own = true,
								   .n = n,
								   .header = record.header,
								   .frames = record.frames};
	enum status st = pack_pool_record(pub->pool, kind, n, &record, err);

	if (st != ST_OK)
		return st;
	line.header_len = record.header_len;
	line.nframes = record.nframes;
	line.data_len = record.data_len;
	return manifest_add_object(pub->manifest, &line, err);
}

static enum status
add_kind(struct publication *pub, enum pack_kind kind, struct stored_object *o,
		 struct err *err)
{
	const struct packlist *list = publish_older(pub, kind);
	uint32_t nolder = list == NULL ? 0 : packlist_count(list);
	enum status st = ST_OK;

	for (uint32_t i = 0; st == ST_OK && i < nolder; i++)
		if (publish_uses(pub, kind, i))
			st = add_older(pub, kind, i, o, err);
	for (uint32_t n = 0; st == ST_OK && n < pack_pool_count(pub->pool, kind);
		 n++)
		st = add_own(pub, kind, n, nolder + n, err);
	return st;
}

enum status
publish_add_objects(struct publication *pub, struct err *err)
{
	struct stored_object *o = malloc(sizeof(*o));
	enum status st;

	if (o == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	st = add_kind(pub, PACK_DIGEST, o, err);
	if (st == ST_OK)
		st = add_kind(pub, PACK_DATA, o, err);
	free(o);
	return st;
}

/* A listing of one backup's objects of one kind. */
struct walk
{
	const struct publication *pub;
	enum pack_kind kind;
	bool own;
	uint32_t source; /* in the list of older ones */
	char prefix[STORE_KEY_MAX];
	uint32_t next; /* those of ours or of the source below it are done with */
	struct stored_object *object;
};

/* The size that the object must have; *needed: do we refer to it at all? */
static enum status
expected_size(const struct walk *walk, uint32_t n, bool *needed,
			  uint64_t *size, struct err *err)
{
	const struct packlist *list = publish_older(walk->pub, walk->kind);
	struct stored_object *o = walk->object;
	struct pack_record record;
	uint32_t number = 0;
	enum status st;

	if (walk->own)
	{
		*needed = n < pack_pool_count(walk->pub->pool, walk->kind);
		if (!*needed)
			return ST_OK;
		st = pack_pool_record(walk->pub->pool, walk->kind, n, &record, err);
		*size = st == ST_OK ? record.stored_bytes : 0;
		return st;
	}
	*needed = packlist_find(list, walk->source, n, &number) &&
			  publish_uses(walk->pub, walk->kind, number);
	if (!*needed)
		return ST_OK;
	st = packlist_get(list, number, o, err);
	if (st != ST_OK)
		return st;
	*size = o->header_len;
	for (size_t i = 0; i < o->nframes; i++)
		*size += o->frames[i];
	return ST_OK;
}

/* Names the first that we need and that has not come, below n. */
static enum status
check_gap(struct walk *walk, uint32_t n, struct err *err)
{
	bool needed = false;
	uint64_t size = 0;
	enum status st = ST_OK;

	for (; st == ST_OK && walk->next < n; walk->next++)
	{
		st = expected_size(walk, walk->next, &needed, &size, err);
		if (st != ST_OK || !needed)
			continue;
		st = err_set(err, ST_CORRUPT,
					 "\"%s%08" PRIx32 "\" is gone from the store",
					 walk->prefix, walk->next);
		return walk->own ? st : base_hint(err);
	}
	return st;
}

static enum status
see_object(void *arg, const struct store_entry *entry, struct err *err)
{
	struct walk *walk = arg;
	uint64_t size = 0;
	bool needed = false;
	uint32_t n;
	enum status st;

	if (!repo_parse_number(entry->key + strlen(walk->prefix), &n) ||
		n < walk->next)
		return ST_OK;
	st = check_gap(walk, n, err);
	if (st == ST_OK)
		st = expected_size(walk, n, &needed, &size, err);
	walk->next = n + 1;
	if (st != ST_OK || !needed || size == entry->stat.size_bytes)
		return st;
	st = err_set(err, ST_CORRUPT,
				 "\"%s\" has %" PRIu64 " bytes in the store instead of "
				 "%" PRIu64,
				 entry->key, entry->stat.size_bytes, size);
	return walk->own ? st : base_hint(err);
}

/* One above the highest number that we refer to; 0: none. */
static uint32_t
end_of_needed(const struct walk *walk)
{
	const struct packlist *list = publish_older(walk->pub, walk->kind);
	uint32_t end = 0;

	if (walk->own)
		return pack_pool_count(walk->pub->pool, walk->kind);
	for (uint32_t i = 0; i < packlist_count(list); i++)
	{
		uint32_t source, n;

		packlist_owner(list, i, &source, &n);
		if (source == walk->source && n >= end &&
			publish_uses(walk->pub, walk->kind, i))
			end = n + 1;
	}
	return end;
}

static enum status
prove(struct walk *walk, const char *backup_id, struct err *err)
{
	const char *kind = walk->kind == PACK_DATA ? "pack" : "digest";
	struct repo *repo = walk->pub->repo;
	uint32_t end = end_of_needed(walk);
	enum status st;

	if (end == 0)
		return ST_OK;
	(void) snprintf(walk->prefix, sizeof(walk->prefix),
					"%" PRIu64 "/backup/%s/%s/", repo->system_identifier,
					backup_id, kind);
	walk->next = 0;
	st = store_list(repo->store, walk->prefix, NULL, false, see_object, walk,
					err);
	return st == ST_OK ? check_gap(walk, end, err) : st;
}

static enum status
prove_kind(const struct publication *pub, enum pack_kind kind,
		   struct stored_object *object, struct err *err)
{
	const struct packlist *list = publish_older(pub, kind);
	uint32_t nsources = list == NULL ? 0 : packlist_backups(list);
	struct walk walk = {
		.pub = pub, .kind = kind, .own = true, .object = object};
	enum status st = prove(&walk, pub->backup_id, err);

	walk.own = false;
	for (uint32_t i = 0; st == ST_OK && i < nsources; i++)
	{
		walk.source = i;
		st = prove(&walk, packlist_backup(list, i), err);
	}
	return st;
}

enum status
publish_prove_objects(const struct publication *pub, struct err *err)
{
	struct stored_object *object = malloc(sizeof(*object));
	enum status st;

	if (object == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	st = prove_kind(pub, PACK_DIGEST, object, err);
	if (st == ST_OK)
		st = prove_kind(pub, PACK_DATA, object, err);
	free(object);
	return st;
}
