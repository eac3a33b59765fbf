/*
 * base.c - the older backup that a new one builds on
 */
#include "basebackup/base.h"

#include <stdlib.h>
#include <string.h>

#include "basebackup/manifest_stored.h"
#include "basebackup/mapread.h"
#include "basebackup/pack_reader.h"
#include "basebackup/page.h"
#include "basebackup/path_hash.h"
#include "basebackup/tempfile.h"

/* Frames of 1 MiB that are kept: of digest objects, and of packs. */
#define DIGESTS_KEPT 12
#define PACKS_KEPT   16

/* Where a file's record begins, by a hash of its path. */
struct place
{
	uint64_t hash;
	uint64_t at;
};

/* Path, extents, maps and pages lie behind it; the last three as triples. */
struct record
{
	uint64_t size;
	uint32_t crc32c;
	uint32_t path_len;
	uint32_t nextents;
	uint32_t nmaps;
	uint32_t npages;
	uint32_t unused;
};

struct base
{
	struct repo *repo;
	struct backup_summary summary;
	struct packlist *packs;
	struct packlist *digests;
	struct pack_reader *digest_reader;
	struct pack_reader *pack_reader;

	FILE *files;
	uint64_t files_len;
	struct place *places;
	size_t nplaces, places_size;

	/* The file found last. */
	struct stored_file file;
	size_t extents_room, maps_room, pages_room;
	int64_t *numbers;
	size_t numbers_room;
	char path[MANIFEST_PATH_MAX + 2];
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

static enum status
take_summary(void *arg, const struct backup_summary *summary, struct err *err)
{
	struct base *base = arg;

	base->summary = *summary;
	if (summary->system_identifier != base->repo->system_identifier)
		return err_set(err, ST_CORRUPT, "it is of another cluster");
	if (!summary->has_digest_key || summary->page_size == 0)
		return err_set(err, ST_CONFIG, "it has no page digests");
	return ST_OK;
}

static enum status
write_triples(struct base *base, const int64_t *triples, size_t count,
			  struct err *err)
{
	size_t len = 3 * count * sizeof(*triples);

	base->files_len += len;
	if (count == 0)
		return ST_OK;
	return tempfile_write(base->files, triples, len, err);
}

/* Also for a configuration file, whose path is absolute. */
static enum status
take_file(void *arg, const struct manifest_entry *file, struct err *err)
{
	struct base *base = arg;
	struct record record = {.size = file->size,
							.crc32c = file->crc32c,
							.path_len = (uint32_t) strlen(file->path),
							.nextents = (uint32_t) file->nextents,
							.nmaps = (uint32_t) file->nmaps,
							.npages = (uint32_t) file->npages};
	enum status st;

	if (base->nplaces == base->places_size)
	{
		size_t size = base->places_size == 0 ? 1024 : 2 * base->places_size;
		struct place *grown = reallocarray(base->places, size, sizeof(*grown));

		if (grown == NULL)
			return nomem(err);
		base->places = grown;
		base->places_size = size;
	}
	base->places[base->nplaces++] =
		(struct place){path_hash(PATH_HASH_SEED, file->path), base->files_len};
	base->files_len += sizeof(record) + record.path_len;
	if ((st = tempfile_write(base->files, &record, sizeof(record), err)) !=
			ST_OK ||
		(st = tempfile_write(base->files, file->path, record.path_len, err)) !=
			ST_OK ||
		(st = write_triples(base, file->extents, file->nextents, err)) !=
			ST_OK ||
		(st = write_triples(base, file->maps, file->nmaps, err)) != ST_OK)
		return st;
	return write_triples(base, file->pages, file->npages, err);
}

static enum status
take_digest(void *arg, const struct manifest_pack *digest, struct err *err)
{
	return packlist_add(((struct base *) arg)->digests, digest, err);
}

static enum status
take_pack(void *arg, const struct manifest_pack *pack, struct err *err)
{
	return packlist_add(((struct base *) arg)->packs, pack, err);
}

static const struct manifest_handler handler = {.summary = take_summary,
												.config = take_file,
												.file = take_file,
												.digest = take_digest,
												.pack = take_pack};

static int
compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static enum status
read_manifest(struct base *base, const char *backup_id, struct err *err)
{
	enum status st =
		manifest_read_stored(base->repo, backup_id, &handler, base, err);

	if (st == ST_OK && strcmp(base->summary.id, backup_id) != 0)
		st = err_set(err, ST_CORRUPT, "it is the manifest of backup %s",
					 base->summary.id);
	if (st == ST_OK)
		st = packlist_done(base->packs, err);
	if (st == ST_OK)
		st = packlist_done(base->digests, err);
	if (st == ST_OK)
		st = tempfile_rewind(base->files, err);
	if (st == ST_OK && base->nplaces > 0)
		qsort(base->places, base->nplaces, sizeof(*base->places),
			  compare_places);
	return st;
}

/* On failure, too, base is to be freed. */
static enum status
open_base(struct base *base, struct repo *repo, struct err *err)
{
	enum status st;

	base->repo = repo;
	st = tempfile_open(&base->files, err);
	if (st == ST_OK)
		st = packlist_new(OBJECT_PACK, &base->packs, err);
	if (st == ST_OK)
		st = packlist_new(OBJECT_DIGEST, &base->digests, err);
	if (st == ST_OK)
		st = pack_reader_new(repo, base->digests, DIGESTS_KEPT,
							 &base->digest_reader, err);
	if (st == ST_OK)
		st = pack_reader_new(repo, base->packs, PACKS_KEPT, &base->pack_reader,
							 err);
	return st;
}

enum status
base_new_empty(struct repo *repo, struct base **out, struct err *err)
{
	struct base *base = calloc(1, sizeof(*base));
	enum status st;

	if (base == NULL)
		return nomem(err);
	st = open_base(base, repo, err);
	if (st == ST_OK)
		st = packlist_done(base->packs, err);
	if (st == ST_OK)
		st = packlist_done(base->digests, err);
	if (st != ST_OK)
	{
		base_free(base);
		return st;
	}
	*out = base;
	return ST_OK;
}

enum status
base_load(struct repo *repo, const char *backup_id, struct base **out,
		  struct err *err)
{
	struct base *base = calloc(1, sizeof(*base));
	enum status st;

	if (base == NULL)
		return nomem(err);
	st = open_base(base, repo, err);
	if (st == ST_OK)
		st = read_manifest(base, backup_id, err);
	if (st != ST_OK)
	{
		base_free(base);
		return err_context(err, "manifest of backup %s", backup_id);
	}
	*out = base;
	return ST_OK;
}

void
base_free(struct base *base)
{
	if (base == NULL)
		return;
	if (base->files != NULL)
		(void) fclose(base->files);
	pack_reader_free(base->digest_reader);
	pack_reader_free(base->pack_reader);
	packlist_free(base->packs);
	packlist_free(base->digests);
	free(base->places);
	free(base->file.extents);
	free(base->file.maps);
	free(base->file.pages);
	free(base->numbers);
	free(base);
}

const struct backup_summary *
base_summary(const struct base *base)
{
	return &base->summary;
}

const struct packlist *
base_packs(const struct base *base)
{
	return base->packs;
}

const struct packlist *
base_digests(const struct base *base)
{
	return base->digests;
}

enum status
base_add_pack(struct base *base, const struct manifest_pack *pack,
			  struct err *err)
{
	uint32_t count = packlist_count(base->packs);
	struct manifest_pack added = *pack;

	added.index = count == 0 ? 0 : packlist_index(base->packs, count - 1) + 1;
	return packlist_add(base->packs, &added, err);
}

enum status
base_packs_added(struct base *base, struct err *err)
{
	return packlist_done(base->packs, err);
}

enum status
base_hint(struct err *err)
{
	if (err->status != ST_CORRUPT && err->status != ST_MISSING)
		return err->status;
	return err_hint(err, "Older backups need it, too: \"walship verify\" "
						 "tells which. \"walship backup --full\" builds on "
						 "none of them.");
}

/* The array with room for count elements, or NULL. */
static void *
reserve(void *array, size_t *room, size_t count, size_t size)
{
	void *grown;

	if (array != NULL && count <= *room)
		return array;
	grown = reallocarray(array, count + 1, size);
	if (grown != NULL)
		*room = count + 1;
	return grown;
}

static enum status
read_triples(struct base *base, uint64_t *at, size_t count, struct err *err)
{
	size_t len = 3 * count * sizeof(*base->numbers);
	int64_t *numbers = reserve(base->numbers, &base->numbers_room, 3 * count,
							   sizeof(*numbers));
	uint64_t from = *at;

	if (numbers == NULL)
		return nomem(err);
	base->numbers = numbers;
	*at += len;
	return tempfile_read_at(base->files, from, numbers, len, err);
}

/* The manifest's indexes become numbers; its reader has checked them. */
static enum status
read_extents(struct base *base, uint64_t *at, size_t count, struct err *err)
{
	struct stored_file *f = &base->file;
	struct extent *extents =
		reserve(f->extents, &base->extents_room, count, sizeof(*extents));
	enum status st;

	if (extents == NULL)
		return nomem(err);
	f->extents = extents;
	st = read_triples(base, at, count, err);
	if (st != ST_OK)
		return st;
	for (size_t i = 0; i < count; i++)
	{
		const int64_t *e = &base->numbers[3 * i];
		uint32_t number = 0;

		f->extents[i] = (struct extent){EXTENT_ZEROS, 0, (uint64_t) e[2]};
		if (e[0] < 0)
			continue;
		(void) packlist_by_index(base->packs, (uint32_t) e[0], &number);
		f->extents[i].pack = number;
		f->extents[i].position = (uint64_t) e[1];
	}
	f->nextents = count;
	return ST_OK;
}

static enum status
read_ranges(struct base *base, uint64_t *at, size_t count,
			struct digest_range **ranges, size_t *room, struct err *err)
{
	struct digest_range *grown = reserve(*ranges, room, count, sizeof(*grown));
	enum status st;

	if (grown == NULL)
		return nomem(err);
	*ranges = grown;
	st = read_triples(base, at, count, err);
	if (st != ST_OK)
		return st;
	for (size_t i = 0; i < count; i++)
	{
		const int64_t *e = &base->numbers[3 * i];
		uint32_t number = 0;

		(void) packlist_by_index(base->digests, (uint32_t) e[0], &number);
		(*ranges)[i] =
			(struct digest_range){number, (uint32_t) e[1], (uint32_t) e[2]};
	}
	return ST_OK;
}

static enum status
add_mapped(void *arg, const struct extent *extent, struct err *err)
{
	struct base *base = arg;
	struct stored_file *f = &base->file;
	struct extent *extents = f->extents;

	if (f->nextents == 2 * EXTENTS_MAX)
		return err_set(err, ST_CORRUPT, "maps have too many extents");
	if (f->nextents == base->extents_room)
		extents = reserve(f->extents, &base->extents_room,
						  2 * f->nextents + EXTENTS_INLINE, sizeof(*extents));
	if (extents == NULL)
		return nomem(err);
	f->extents = extents;
	f->extents[f->nextents++] = *extent;
	return ST_OK;
}

static enum status
read_file(struct base *base, const struct record *record, uint64_t at,
		  struct err *err)
{
	const struct map_source source = {.reader = base->digest_reader,
									  .packs = base->packs,
									  .page_size = base->summary.page_size};
	struct stored_file *f = &base->file;
	enum status st;

	f->size = record->size;
	f->crc32c = record->crc32c;
	f->nmaps = record->nmaps;
	f->npages = record->npages;
	if ((st = read_extents(base, &at, record->nextents, err)) != ST_OK ||
		(st = read_ranges(base, &at, record->nmaps, &f->maps, &base->maps_room,
						  err)) != ST_OK ||
		(st = read_ranges(base, &at, record->npages, &f->pages,
						  &base->pages_room, err)) != ST_OK)
		return st;
	if (f->nmaps == 0)
		return ST_OK;
	return map_read(&source, f->maps, f->nmaps, f->size, add_mapped, base,
					err);
}

/* The first place of that hash. */
static size_t
find_place(const struct base *base, uint64_t hash)
{
	size_t low = 0, high = base->nplaces;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (base->places[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

enum status
base_find(struct base *base, const char *path, const struct stored_file **out,
		  struct err *err)
{
	uint64_t hash = path_hash(PATH_HASH_SEED, path);

	*out = NULL;
	for (size_t i = find_place(base, hash);
		 i < base->nplaces && base->places[i].hash == hash; i++)
	{
		uint64_t at = base->places[i].at;
		struct record record;
		enum status st;

		st = tempfile_read_at(base->files, at, &record, sizeof(record), err);
		at += sizeof(record);
		if (st == ST_OK && record.path_len >= sizeof(base->path))
			st = err_set(err, ST_IO, "temporary file is damaged");
		if (st == ST_OK)
			st = tempfile_read_at(base->files, at, base->path, record.path_len,
								  err);
		if (st != ST_OK)
			return st;
		base->path[record.path_len] = '\0';
		if (strcmp(base->path, path) != 0)
			continue;
		st = read_file(base, &record, at + record.path_len, err);
		if (st != ST_OK)
		{
			(void) err_context(err, "file \"%s\" of backup %s", path,
							   base->summary.id);
			return base_hint(err);
		}
		*out = &base->file;
		return ST_OK;
	}
	return ST_OK;
}

/* The pieces of the file's table of pages that hold bytes from to to. */
static size_t
cut_ranges(const struct stored_file *f, uint64_t from, uint64_t to, size_t *i,
		   uint64_t *at, struct digest_range *out)
{
	for (; *i < f->npages && *at < to; *i += 1)
	{
		const struct digest_range *r = &f->pages[*i];
		uint64_t begin = from > *at ? from - *at : 0;
		uint64_t end = to - *at < r->length ? to - *at : r->length;

		*at += r->length;
		if (begin >= end)
			continue;
		*out = (struct digest_range){r->digest, r->position + (uint32_t) begin,
									 (uint32_t) (end - begin)};
		*i += 1;
		return 1;
	}
	return 0;
}

enum status
base_pages(struct base *base, uint64_t first, size_t count, uint8_t *out,
		   struct err *err)
{
	uint64_t from = first * PAGE_ENTRY_BYTES;
	uint64_t to = from + count * PAGE_ENTRY_BYTES;
	struct digest_range range;
	uint64_t at = 0;
	size_t i = 0;
	enum status st = ST_OK;

	while (st == ST_OK &&
		   cut_ranges(&base->file, from, to, &i, &at, &range) > 0)
	{
		st = pack_reader_read(base->digest_reader, range.digest,
							  range.position, out, range.length, err);
		out += range.length;
	}
	if (st == ST_OK)
		return ST_OK;
	(void) err_context(err, "page digests of backup %s", base->summary.id);
	return base_hint(err);
}

void
base_page_ranges(const struct base *base, uint64_t first, size_t count,
				 struct digest_range *ranges, size_t *nranges)
{
	uint64_t from = first * PAGE_ENTRY_BYTES;
	uint64_t to = from + count * PAGE_ENTRY_BYTES;
	struct digest_range range;
	uint64_t at = 0;
	size_t i = 0;

	while (cut_ranges(&base->file, from, to, &i, &at, &range) > 0)
		digest_ranges_add(ranges, nranges, &range);
}

enum status
base_content(struct base *base, uint32_t pack, uint64_t position, void *out,
			 size_t len, struct err *err)
{
	enum status st =
		pack_reader_read(base->pack_reader, pack, position, out, len, err);

	return st == ST_OK ? ST_OK : base_hint(err);
}
