/*
 * manifest_line.h - what the files of the manifest's reader share
 */
#ifndef BASEBACKUP_MANIFEST_LINE_H
#define BASEBACKUP_MANIFEST_LINE_H

#include "basebackup/manifest_read.h"

/* A file's mode, octal text: "0600". */
extern enum status
manifest_get_mode(const struct jsonl_line *line, const char *name, mode_t *out,
				  struct err *err) ERR_CHECK;

/* Which packs, or digest objects, lines have referred to. */
struct object_uses
{
	uint32_t *used; /* by index, where the last piece ends; 0: not yet */
	size_t count;   /* indexes below it may be in use */
	size_t size;
	size_t next; /* the lowest index whose line may come now */
};

extern void object_uses_free(struct object_uses *uses);

/*
 * The line of object index has come, its pieces end at *end.  False if the
 * line is out of order or one that was left out is in use.
 */
extern bool
object_uses_take(struct object_uses *uses, uint32_t index, uint32_t *end);

/* True if every object in use has had its line. */
extern bool object_uses_done(const struct object_uses *uses);

/*
 * The extents of a file, or its maps, and its page digests.  file->size is
 * set; what is set here points into the line.
 */
extern enum status
manifest_get_extents(const struct jsonl_line *line, struct object_uses *packs,
					 struct manifest_entry *file, struct err *err) ERR_CHECK;
extern enum status
manifest_get_maps(const struct jsonl_line *line, uint32_t page_size,
				  struct object_uses *digests, struct manifest_entry *file,
				  struct err *err) ERR_CHECK;
extern enum status
manifest_get_pages(const struct jsonl_line *line, uint32_t page_size,
				   struct object_uses *digests, struct manifest_entry *file,
				   struct err *err) ERR_CHECK;

/* *out is untouched on failure. */
extern enum status
manifest_summary_read(const struct jsonl_line *line,
					  struct backup_summary *out, struct err *err) ERR_CHECK;

#endif
