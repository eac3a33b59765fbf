/*
 * plan_maps.h - a plan's extents, also of files that have maps
 *
 * Maps can be read only when the manifest has named all packs and digest
 * objects, so such files wait in a temporary file until then.
 */
#ifndef BASEBACKUP_PLAN_MAPS_H
#define BASEBACKUP_PLAN_MAPS_H

#include "basebackup/plan_files.h"

/* The extents of one file as they come. */
struct plan_pieces
{
	struct plan *plan;
	uint32_t entry;
	uint64_t size;
	uint64_t at;
	struct plan_extent last; /* not yet added */
};

extern void plan_pieces_begin(struct plan_pieces *pieces, struct plan *plan,
							  uint32_t entry, uint64_t size);

/* pack is its index in the manifest, or negative for zeros. */
extern enum status
plan_pieces_add(struct plan_pieces *pieces, int64_t pack, uint32_t position,
				uint64_t length, struct err *err) ERR_CHECK;
extern enum status
plan_pieces_end(struct plan_pieces *pieces, struct err *err) ERR_CHECK;

struct plan_maps;

extern enum status
plan_maps_new(struct plan_maps **out, struct err *err) ERR_CHECK;
extern void plan_maps_free(struct plan_maps *maps);

/* Notes a file that has maps, and where they and its packs are. */
extern enum status
plan_maps_add(struct plan_maps *maps, uint32_t entry,
			  const struct manifest_entry *file, struct err *err) ERR_CHECK;
extern enum status
plan_maps_digest(struct plan_maps *maps, const struct manifest_pack *digest,
				 struct err *err) ERR_CHECK;
extern enum status
plan_maps_pack(struct plan_maps *maps, const struct manifest_pack *pack,
			   struct err *err) ERR_CHECK;

/* Fetches the maps and adds what they say to the plan. */
extern enum status
plan_maps_resolve(struct plan_maps *maps, struct repo *repo, struct plan *plan,
				  struct err *err) ERR_CHECK;

#endif
