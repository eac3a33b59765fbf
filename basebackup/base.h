/*
 * base.h - the older backup that a new one builds on
 *
 * Reads its manifest once and finds files by path: where their content is,
 * and what tells their pages from others.  What grows with the number of
 * files lies in temporary files but for 16 bytes each; pages and maps are
 * fetched from the store as they are asked for, some frames being kept.
 * Belongs to one thread.
 *
 * Packs and digest objects are numbered as in base_packs and base_digests.
 */
#ifndef BASEBACKUP_BASE_H
#define BASEBACKUP_BASE_H

#include <stddef.h>
#include <stdint.h>

#include "basebackup/manifest_read.h"
#include "basebackup/packlist.h"
#include "basebackup/stored.h"
#include "common/err.h"
#include "common/repo.h"

struct base;

/*
 * Reads the manifest of that backup.  repo is borrowed and must be used by no
 * other thread meanwhile.  ST_CORRUPT, ST_MISSING and what the store says;
 * ST_CONFIG if it cannot be a base: it has no page digests.
 */
extern enum status base_load(struct repo *repo, const char *backup_id,
							 struct base **out, struct err *err) ERR_CHECK;
extern void base_free(struct base *base);

extern const struct backup_summary *base_summary(const struct base *base);
extern const struct packlist *base_packs(const struct base *base);
extern const struct packlist *base_digests(const struct base *base);

/*
 * Adds a hint to an error about what older backups hold: without it every
 * later backup would fail in the same way.  Returns the err's status.
 */
extern enum status base_hint(struct err *err);

/*
 * One without files, for a backup that builds on none: its summary is empty.
 */
extern enum status base_new_empty(struct repo *repo, struct base **out,
								  struct err *err) ERR_CHECK;

/*
 * Adds a pack that is in none of its files, with the next number; its index
 * is set here.  After the last, and before any is used, base_packs_added.
 */
extern enum status
base_add_pack(struct base *base, const struct manifest_pack *pack,
			  struct err *err) ERR_CHECK;
extern enum status
base_packs_added(struct base *base, struct err *err) ERR_CHECK;

/*
 * What follows fails with ST_CORRUPT, or ST_MISSING if an object is gone, and
 * then with a hint, or with what the store says.
 *
 * The file of that path, with all its extents, or NULL.  It lives until the
 * next call; nmaps and npages are as in the manifest.
 */
extern enum status
base_find(struct base *base, const char *path, const struct stored_file **out,
		  struct err *err) ERR_CHECK;

/* Entries (page.h) of count pages from first on of the file found last. */
extern enum status base_pages(struct base *base, uint64_t first, size_t count,
							  uint8_t *out, struct err *err) ERR_CHECK;

/*
 * Where those entries lie: adds to ranges, which has room for *nranges and
 * one for each of the file's, joining what is one piece.
 */
extern void
base_page_ranges(const struct base *base, uint64_t first, size_t count,
				 struct digest_range *ranges, size_t *nranges);

/*
 * Reads a piece of a pack back from the store, authenticated: what is to be
 * stored again although it has not changed.
 */
extern enum status
base_content(struct base *base, uint32_t pack, uint64_t position, void *out,
			 size_t len, struct err *err) ERR_CHECK;

#endif
