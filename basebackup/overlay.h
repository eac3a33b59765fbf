/*
 * overlay.h - what the server sent of a file, over what the base holds of it
 *
 * Turns a file INCREMENTAL.<name> into the whole file <name> as a pack writer
 * takes it: pages that were sent are stored, pages that were not are referred
 * to in the base, and where the base had none they are zeros, as with
 * pg_combinebackup.
 */
#ifndef BASEBACKUP_OVERLAY_H
#define BASEBACKUP_OVERLAY_H

#include <stddef.h>
#include <stdint.h>

#include "basebackup/pack.h"
#include "common/err.h"

struct overlay;

/* packs is borrowed.  pages_max: of a file, as native_ask says. */
extern enum status
overlay_new(struct pack_writer *packs, uint32_t page_size, uint32_t pages_max,
			struct overlay **out, struct err *err) ERR_CHECK;
extern void overlay_free(struct overlay *overlay);

/* path is that of the whole file, sent_size that of what was sent. */
extern enum status
overlay_begin(struct overlay *overlay, const char *path, uint64_t sent_size,
			  struct err *err) ERR_CHECK;
extern enum status overlay_data(struct overlay *overlay, const void *data,
								size_t len, struct err *err) ERR_CHECK;

/* As pack_file_end. */
extern enum status
overlay_end(struct overlay *overlay, const struct stored_file **out,
			struct err *err) ERR_CHECK;

#endif
