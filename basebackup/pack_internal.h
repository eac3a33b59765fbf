/*
 * pack_internal.h - what the files of the pack writer share
 */
#ifndef BASEBACKUP_PACK_INTERNAL_H
#define BASEBACKUP_PACK_INTERNAL_H

#include "basebackup/filemap.h"
#include "basebackup/json.h"
#include "basebackup/pack.h"
#include "basebackup/page.h"

#define CHUNK_PAGES_MAX (PACK_CHUNK_MAX / 1024) /* the smallest page */

/* A run of pages that lie behind one another in file and pack. */
struct chunk
{
	uint64_t at; /* in the file */
	size_t len;
	uint32_t crc32c;
	size_t npages;
	uint8_t entries[CHUNK_PAGES_MAX * PAGE_ENTRY_BYTES];
};

/* What a file's map will need to know of its parts. */
struct part
{
	size_t first; /* of its extents */
	bool as_base; /* all of it is found where the base's map says */
};

struct pack_writer
{
	struct pack_source source;
	uint32_t npacks; /* of the base */
	uint32_t ndigests;
	uint32_t page_power; /* of a page, for crc32c_combine_by */
	struct page_hash *hash;
	struct json *json;
	struct pack *pack;   /* in the making; NULL: none */
	struct pack *digest; /* likewise */
	struct pack_counts counts;
	uint32_t *live;    /* by frame of the base's packs, */
	uint32_t *live_at; /* whose first are here */
	bool *live_any;    /* by pack */
	bool *digest_used;

	char *path; /* of the file in hand */
	uint64_t size;
	struct stored_file file;
	size_t extents_room, pages_room, maps_room;
	const struct stored_file *base; /* its file of that path, or NULL */
	uint64_t base_npages;
	size_t base_extent; /* a cursor: the extent that holds base_at */
	uint64_t base_at;   /* where that one begins in the file */
	struct chunk chunk; /* ends the pack's data if it has any */
	uint8_t *page;      /* an incomplete page */
	size_t page_len;

	/* The part in hand, and those before it. */
	struct part *parts;
	size_t nparts, parts_room;
	size_t part_pages;      /* in hand */
	size_t part_base_pages; /* of them the base has */
	uint8_t *entries;       /* of FILEMAP_PART_PAGES pages, */
	uint8_t *base_entries;  /* and what the base has of them */
	struct filemap_buffer map;
	struct filemap_extent *map_extents;
	size_t map_extents_room;
};

/*
 * Lays a page into the pack; position tells where.  at is its place in the
 * file in hand.
 */
extern enum status
pack_place_page(struct pack_writer *w, uint64_t at, const void *page,
				size_t len, const uint8_t *entry, struct extent *out,
				struct err *err) ERR_CHECK;

/* Ends the run of pages. */
extern enum status
pack_end_chunk(struct pack_writer *w, struct err *err) ERR_CHECK;

/* Lays bytes into a digest object. */
extern enum status
pack_place_digest(struct pack_writer *w, const void *data, size_t len,
				  struct digest_range *out, struct err *err) ERR_CHECK;

/* A part's page digests and, at the file's end, the maps of all parts. */
extern enum status
pack_store_pages(struct pack_writer *w, struct err *err) ERR_CHECK;
extern enum status
pack_store_maps(struct pack_writer *w, struct err *err) ERR_CHECK;

/* An array with room for at least count elements, or NULL. */
extern void *
pack_reserve(void *array, size_t *room, size_t count, size_t size);

#endif
