/*
 * salvage.h - what backups that died have already stored
 *
 * Their packs' tables tell which pages of which files are in them
 * (common/FORMAT.md, 4.2).  They are read once, in the order of the attempts;
 * of a page that several have stored, the last counts.  The digests of their
 * pages lie in a temporary file, 12 bytes a page; in memory are 24 bytes for
 * each file in each pack.  Belongs to one thread.
 *
 * Nothing here decides whether those packs stay: the caller's "start" must
 * name the backups before anything is read.
 */
#ifndef BASEBACKUP_SALVAGE_H
#define BASEBACKUP_SALVAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/base.h"
#include "basebackup/stored.h"
#include "common/err.h"
#include "common/repo.h"

/* All borrowed. */
struct salvage_source
{
	struct repo *repo;
	uint32_t page_size;
	struct base *base; /* gets the packs: they are numbered behind its own */
	size_t nbackups;
	const char (*backups)[BACKUP_ID_MAX]; /* the oldest first */
};

struct salvage;

/*
 * Reads all the tables.  A pack that cannot be used is passed over, with a
 * warning; other failures of the store are returned.
 */
extern enum status
salvage_new(const struct salvage_source *source, struct salvage **out,
			struct err *err) ERR_CHECK;
extern void salvage_free(struct salvage *salvage);

/* How many packs there are. */
extern uint32_t salvage_packs(const struct salvage *salvage);

/* The file of that path is in hand, and then the part from that page on. */
extern enum status salvage_file(struct salvage *salvage, const char *path,
								struct err *err) ERR_CHECK;
extern enum status salvage_part(struct salvage *salvage, uint64_t first_page,
								struct err *err) ERR_CHECK;

/*
 * Is the i-th page of that part stored with that entry (page.h)?  Its length
 * is len then, and out tells where it is.
 */
extern bool salvage_find(const struct salvage *salvage, size_t i,
						 const uint8_t *entry, size_t len, struct extent *out);

#endif
