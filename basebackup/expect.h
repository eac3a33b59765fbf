/*
 * expect.h - the packs and digest objects that manifests refer to
 *
 * Gathers from any number of manifests which objects must be there, how long
 * each is, and the checksum of its header; a listing is then held against
 * that.  Memory: 32 bytes for each object.  Filled and asked by one thread;
 * expect_find may then be called by any.
 */
#ifndef BASEBACKUP_EXPECT_H
#define BASEBACKUP_EXPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/object.h"
#include "common/repo.h"

#define EXPECT_SUM_BYTES 16

struct expected
{
	uint64_t size_bytes;           /* as stored; 0: nobody refers to it */
	uint8_t sum[EXPECT_SUM_BYTES]; /* the last bytes of its header */
	uint32_t users;                /* how many manifests refer to it */
	bool seen;                     /* the caller's */
};

struct expect;

extern enum status expect_new(struct expect **out, struct err *err) ERR_CHECK;
extern void expect_free(struct expect *expect);

/*
 * Reads a manifest to its end.  ST_MISSING: there is none.  ST_CORRUPT also
 * if it says of an object something else than an earlier one.
 */
extern enum status
expect_add_manifest(struct expect *expect, struct repo *repo,
					const char *backup_id, struct err *err) ERR_CHECK;

/* OBJECT_PACK or OBJECT_DIGEST; NULL if nobody refers to it. */
extern struct expected *
expect_find(const struct expect *expect, const char *backup_id,
			enum object_kind kind, uint32_t n);

/*
 * Splits "backup/<id>/pack/<n>"; false for another kind of object.  id has
 * room for BACKUP_ID_MAX.
 */
extern bool expect_parse_name(const char *name, char *id,
							  enum object_kind *kind, uint32_t *n);

/* Calls visit for each that has not been seen, owner by owner. */
typedef enum status (*expect_visit)(void *arg, const char *backup_id,
									enum object_kind kind, uint32_t n,
									const struct expected *expected,
									struct err *err);
extern enum status
expect_each_unseen(const struct expect *expect, expect_visit visit, void *arg,
				   struct err *err) ERR_CHECK;

#endif
