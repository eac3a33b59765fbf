/*
 * plan_maps.c - a plan's extents, also of files that have maps
 */
#include "basebackup/plan_maps.h"

#include <stdlib.h>
#include <string.h>

#include "basebackup/mapread.h"
#include "basebackup/tempfile.h"

/* Frames of 1 MiB that are kept while maps are read. */
#define FRAMES_KEPT 12

/* Its triples lie behind it. */
struct waiting_file
{
	uint64_t size;
	uint32_t entry;
	uint32_t nmaps;
};

struct plan_maps
{
	struct packlist *packs;
	struct packlist *digests;
	FILE *files;
	uint32_t nfiles;
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

static enum status
count_extent(struct plan_files *files, uint32_t pack, struct err *err)
{
	if (pack >= files->pack_extents_size)
	{
		size_t size =
			files->pack_extents_size == 0 ? 1024 : files->pack_extents_size;
		uint32_t *grown;

		while (size <= pack)
			size *= 2;
		grown = reallocarray(files->pack_extents, size, sizeof(*grown));
		if (grown == NULL)
			return nomem(err);
		memset(grown + files->pack_extents_size, 0,
			   (size - files->pack_extents_size) * sizeof(*grown));
		files->pack_extents = grown;
		files->pack_extents_size = size;
	}
	files->pack_extents[pack]++;
	files->nextents++;
	return ST_OK;
}

void
plan_pieces_begin(struct plan_pieces *p, struct plan *plan, uint32_t entry,
				  uint64_t size)
{
	*p = (struct plan_pieces){.plan = plan, .entry = entry, .size = size};
}

enum status
plan_pieces_end(struct plan_pieces *p, struct err *err)
{
	struct plan_files *files = p->plan->files;
	enum status st;

	if (p->last.length == 0)
		return ST_OK;
	st = count_extent(files, p->last.pack, err);
	if (st == ST_OK)
		st = tempfile_write(files->extents, &p->last, sizeof(p->last), err);
	p->last.length = 0;
	return st;
}

/* Neighbours in both file and pack become one extent. */
enum status
plan_pieces_add(struct plan_pieces *p, int64_t pack, uint32_t position,
				uint64_t length, struct err *err)
{
	struct plan_extent *last = &p->last;
	uint64_t at = p->at;
	enum status st = ST_OK;

	p->at += length;
	if (pack < 0)
	{
		const struct plan_zeros zeros = {p->entry, at, length};

		return plan_add_zeros(p->plan, &zeros, p->size, err);
	}
	p->plan->write_bytes += length;
	if (last->length > 0 && last->pack == pack &&
		last->at + last->length == at &&
		last->position + last->length == position)
	{
		last->length += (uint32_t) length;
		return ST_OK;
	}
	st = plan_pieces_end(p, err);
	*last = (struct plan_extent){.entry = p->entry,
								 .pack = (uint32_t) pack,
								 .position = position,
								 .length = (uint32_t) length,
								 .at = at};
	return st;
}

enum status
plan_maps_new(struct plan_maps **out, struct err *err)
{
	struct plan_maps *m = calloc(1, sizeof(*m));
	enum status st;

	if (m == NULL)
		return nomem(err);
	if ((st = tempfile_open(&m->files, err)) != ST_OK ||
		(st = packlist_new(OBJECT_PACK, &m->packs, err)) != ST_OK ||
		(st = packlist_new(OBJECT_DIGEST, &m->digests, err)) != ST_OK)
	{
		plan_maps_free(m);
		return st;
	}
	*out = m;
	return ST_OK;
}

void
plan_maps_free(struct plan_maps *m)
{
	if (m == NULL)
		return;
	if (m->files != NULL)
		(void) fclose(m->files);
	packlist_free(m->packs);
	packlist_free(m->digests);
	free(m);
}

enum status
plan_maps_add(struct plan_maps *m, uint32_t entry,
			  const struct manifest_entry *file, struct err *err)
{
	const struct waiting_file waiting = {
		.size = file->size, .entry = entry, .nmaps = (uint32_t) file->nmaps};
	enum status st = tempfile_write(m->files, &waiting, sizeof(waiting), err);

	m->nfiles++;
	if (st != ST_OK)
		return st;
	return tempfile_write(m->files, file->maps,
						  3 * file->nmaps * sizeof(*file->maps), err);
}

enum status
plan_maps_digest(struct plan_maps *m, const struct manifest_pack *digest,
				 struct err *err)
{
	return packlist_add(m->digests, digest, err);
}

enum status
plan_maps_pack(struct plan_maps *m, const struct manifest_pack *pack,
			   struct err *err)
{
	return packlist_add(m->packs, pack, err);
}

/* A file whose maps are being read. */
struct resolving
{
	const struct packlist *packs;
	struct plan_pieces pieces;
};

static enum status
add_piece(void *arg, const struct extent *e, struct err *err)
{
	struct resolving *r = arg;
	int64_t pack = e->pack;

	if (pack != EXTENT_ZEROS)
		pack = packlist_index(r->packs, (uint32_t) pack);
	return plan_pieces_add(&r->pieces, pack, (uint32_t) e->position, e->length,
						   err);
}

/* The next file's maps, as numbers of the list of digest objects. */
static enum status
read_ranges(struct plan_maps *m, struct digest_range *ranges, size_t count,
			struct err *err)
{
	enum status st = ST_OK;

	for (size_t i = 0; st == ST_OK && i < count; i++)
	{
		int64_t triple[3];

		st = tempfile_read(m->files, triple, sizeof(triple), err);
		if (st != ST_OK)
			break;
		/* The manifest's reader has seen that it is there. */
		(void) packlist_by_index(m->digests, (uint32_t) triple[0],
								 &ranges[i].digest);
		ranges[i].position = (uint32_t) triple[1];
		ranges[i].length = (uint32_t) triple[2];
	}
	return st;
}

static enum status
resolve_file(struct plan_maps *m, const struct map_source *source,
			 struct plan *plan, struct err *err)
{
	struct resolving r = {.packs = m->packs};
	struct digest_range *ranges;
	struct waiting_file file;
	enum status st = tempfile_read(m->files, &file, sizeof(file), err);

	if (st != ST_OK)
		return st;
	ranges = calloc(file.nmaps, sizeof(*ranges));
	if (ranges == NULL)
		return nomem(err);
	plan_pieces_begin(&r.pieces, plan, file.entry, file.size);
	st = read_ranges(m, ranges, file.nmaps, err);
	if (st == ST_OK)
		st = map_read(source, ranges, file.nmaps, file.size, add_piece, &r,
					  err);
	if (st == ST_OK)
		st = plan_pieces_end(&r.pieces, err);
	free(ranges);
	return st;
}

enum status
plan_maps_resolve(struct plan_maps *m, struct repo *repo, struct plan *plan,
				  struct err *err)
{
	struct map_source source = {.packs = m->packs,
								.page_size = plan->summary.page_size};
	enum status st = packlist_done(m->packs, err);

	if (st == ST_OK)
		st = packlist_done(m->digests, err);
	if (st == ST_OK && m->nfiles > 0)
		st = pack_reader_new(repo, m->digests, FRAMES_KEPT, &source.reader,
							 err);
	if (st == ST_OK)
		st = tempfile_rewind(m->files, err);
	for (uint32_t i = 0; st == ST_OK && i < m->nfiles; i++)
		st = resolve_file(m, &source, plan, err);
	pack_reader_free(source.reader);
	return st;
}
