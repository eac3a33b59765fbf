/*
 * packlist.h - the packs, or the digest objects, that a manifest names
 *
 * What it takes to read each lies in a temporary file; in memory are 36 bytes
 * for each.  They are numbered from 0 on in the order of their indexes in the
 * manifest, which may have gaps.  Filled by one thread; after packlist_done
 * read-only, and safe from any thread.
 */
#ifndef BASEBACKUP_PACKLIST_H
#define BASEBACKUP_PACKLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/manifest_read.h"
#include "common/err.h"
#include "common/object.h"

/* A stored object; big: not for the stack. */
struct stored_object
{
	enum object_kind kind; /* OBJECT_PACK or OBJECT_DIGEST */
	uint32_t source;       /* whose it is: a number of packlist_backup */
	const char *backup;    /* the same as id; the list's */
	uint32_t n;
	size_t header_len;
	uint8_t header[OBJECT_HEADER_MAX];
	size_t nframes;
	uint32_t frames[MANIFEST_FRAMES_MAX]; /* stored length of each */
	uint32_t data_len;                    /* bytes of data; 0: unknown */
	bool has_live;                        /* else all of it is in use */
	uint32_t live[MANIFEST_FRAMES_MAX];   /* bytes in use, by frame of data */
};

struct packlist;

extern enum status packlist_new(enum object_kind kind, struct packlist **out,
								struct err *err) ERR_CHECK;
extern void packlist_free(struct packlist *list);

/* Takes what a manifest's line says.  ST_CORRUPT if the header is none. */
extern enum status
packlist_add(struct packlist *list, const struct manifest_pack *pack,
			 struct err *err) ERR_CHECK;

/*
 * All have been added; more may follow, and then this again.  ST_CORRUPT if
 * one came twice.
 */
extern enum status
packlist_done(struct packlist *list, struct err *err) ERR_CHECK;

extern uint32_t packlist_count(const struct packlist *list);

/* The number of what has that index in the manifest. */
extern bool packlist_by_index(const struct packlist *list, uint32_t index,
							  uint32_t *number);

/* Its index again. */
extern uint32_t packlist_index(const struct packlist *list, uint32_t number);

/* The backups that own them: how many, and the id of each. */
extern uint32_t packlist_backups(const struct packlist *list);
extern const char *
packlist_backup(const struct packlist *list, uint32_t source);

/* Which of them has this id? */
extern bool packlist_source(const struct packlist *list, const char *backup_id,
							uint32_t *source);

/* The number of a backup's n-th pack, and the other way round. */
extern bool packlist_find(const struct packlist *list, uint32_t source,
						  uint32_t n, uint32_t *number);
extern void packlist_owner(const struct packlist *list, uint32_t number,
						   uint32_t *source, uint32_t *n);

/* How many frames of data it has, of what size, and the most they hold. */
struct packlist_shape
{
	uint32_t nframes;
	uint32_t frame_size;
	uint32_t room;
};
extern void packlist_shape(const struct packlist *list, uint32_t number,
						   struct packlist_shape *out);

extern enum status
packlist_get(const struct packlist *list, uint32_t number,
			 struct stored_object *out, struct err *err) ERR_CHECK;

#endif
