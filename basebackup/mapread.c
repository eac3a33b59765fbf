/*
 * mapread.c - the maps of a stored backup's files
 */
#include "basebackup/mapread.h"

#include <stdlib.h>

#include "basebackup/filemap.h"

/* A map that is being decoded. */
struct reading
{
	const struct packlist *packs;
	map_sink sink;
	void *arg;
	uint32_t *sources; /* in the list of packs, by number in the map */
	size_t nsources, room;
};

static enum status
take_source(void *arg, uint32_t source, const char *backup_id, struct err *err)
{
	struct reading *r = arg;

	if (source == r->room)
	{
		size_t room = r->room == 0 ? 64 : 2 * r->room;
		uint32_t *grown = reallocarray(r->sources, room, sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		r->sources = grown;
		r->room = room;
	}
	if (!packlist_source(r->packs, backup_id, &r->sources[source]))
		return err_set(err, ST_CORRUPT,
					   "a map names backup %s, but the manifest does not",
					   backup_id);
	r->nsources = (size_t) source + 1;
	return ST_OK;
}

static enum status
take_extent(void *arg, const struct filemap_extent *e, struct err *err)
{
	struct reading *r = arg;
	struct extent extent = {.pack = EXTENT_ZEROS, .length = e->length};
	struct packlist_shape shape;
	uint32_t number = 0;

	if (e->source == FILEMAP_ZEROS)
		return r->sink(r->arg, &extent, err);
	if (!packlist_find(r->packs, r->sources[e->source], e->n, &number))
		return err_set(err, ST_CORRUPT,
					   "a map names pack %u of backup %s, but the manifest "
					   "does not",
					   e->n, packlist_backup(r->packs, r->sources[e->source]));
	packlist_shape(r->packs, number, &shape);
	if (e->position + e->length > shape.room)
		return err_set(err, ST_CORRUPT, "pack %u of backup %s is too short",
					   e->n, packlist_backup(r->packs, r->sources[e->source]));
	extent.pack = number;
	extent.position = e->position;
	return r->sink(r->arg, &extent, err);
}

enum status
map_read(const struct map_source *source, const struct digest_range *maps,
		 size_t nmaps, uint64_t size, map_sink sink, void *arg,
		 struct err *err)
{
	static const struct filemap_handler handler = {take_source, take_extent};
	struct reading r = {.packs = source->packs, .sink = sink, .arg = arg};
	uint64_t part = (uint64_t) FILEMAP_PART_PAGES * source->page_size;
	uint8_t *data = NULL;
	size_t room = 0;
	enum status st = ST_OK;

	for (size_t i = 0; st == ST_OK && i < nmaps; i++)
	{
		uint64_t left = size - i * part;

		if (maps[i].length > room)
		{
			free(data);
			room = maps[i].length;
			data = malloc(room);
			if (data == NULL)
				st = err_set(err, ST_NOMEM, "out of memory");
		}
		if (st == ST_OK)
			st = pack_reader_read(source->reader, maps[i].digest,
								  maps[i].position, data, maps[i].length, err);
		if (st == ST_OK)
			st = filemap_decode(data, maps[i].length,
								left < part ? left : part, &handler, &r, err);
	}
	free(data);
	free(r.sources);
	return st;
}
