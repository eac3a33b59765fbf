/*
 * usage.h - how much is stored, by kind and storage class
 *
 * Pure: a small table that is counted up.
 */
#ifndef BASEBACKUP_USAGE_H
#define BASEBACKUP_USAGE_H

#include <stddef.h>
#include <stdint.h>

enum usage_kind
{
	USAGE_WAL,
	USAGE_PACK,
	USAGE_DIGEST,
	USAGE_MANIFEST,
	USAGE_MARK, /* start, keep, expired */
	USAGE_REPORT,
	USAGE_KINDS
};

#define USAGE_CLASS_MAX 32 /* bytes with the terminating zero */
#define USAGE_ROWS_MAX  64

struct usage_row
{
	enum usage_kind kind;
	char storage_class[USAGE_CLASS_MAX]; /* "": the store has none */
	uint64_t objects;
	uint64_t bytes;
};

struct usage
{
	size_t nrows;
	struct usage_row rows[USAGE_ROWS_MAX];
};

/*
 * Adds to the row of that kind and class.  Where a store tells more classes
 * than there are rows, the rest count for the kind's last row.
 */
extern void usage_add(struct usage *usage, const struct usage_row *more);

/* Adds all rows of more. */
extern void usage_join(struct usage *usage, const struct usage *more);

extern uint64_t usage_bytes(const struct usage *usage);

/* "wal", "pack", ... */
extern const char *usage_kind_name(enum usage_kind kind);

#endif
