/*
 * tar.h - the tar archives that PostgreSQL sends
 *
 * Pure push parser: fed bytes in pieces of any size, it calls its handler for
 * each entry, for a file's data, and at a file's end.  Understands exactly
 * what the server writes (common/tar.c): plain ustar without prefix and
 * without extension headers, files, directories and symbolic links, sizes in
 * octal or base-256, closed by two zero blocks.  All else is ST_CORRUPT:
 * absolute names, empty, "." and ".." components (but for one "./" in front,
 * which is dropped), other types, a bad checksum, bytes behind the end.
 */
#ifndef BASEBACKUP_TAR_H
#define BASEBACKUP_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define TAR_BLOCK    ((size_t) 512)
#define TAR_NAME_MAX 100

enum tar_type
{
	TAR_FILE,
	TAR_DIRECTORY,
	TAR_SYMLINK
};

struct tar_entry
{
	enum tar_type type;
	char name[TAR_NAME_MAX + 1]; /* relative, without a '/' at its end */
	char link[TAR_NAME_MAX + 1]; /* a symlink's target, as sent */
	uint64_t size;               /* 0 unless a file */
	uint32_t mode;               /* permission bits alone */
	int64_t mtime;               /* seconds since 1970 */
};

/* Any status but ST_OK ends the parse with it. */
struct tar_handler
{
	enum status (*entry)(void *arg, const struct tar_entry *entry,
						 struct err *err);
	enum status (*data)(void *arg, const void *data, size_t len,
						struct err *err);
	enum status (*end)(void *arg, struct err *err); /* of a file */
};

/* Plain value; tar_init begins an archive. */
struct tar_parser
{
	const struct tar_handler *handler;
	void *arg;
	uint8_t block[TAR_BLOCK];
	size_t block_len;     /* bytes of a header that have come */
	uint64_t data_left;   /* of the present file */
	uint32_t padding;     /* bytes to skip behind it */
	unsigned zero_blocks; /* 2: the archive is complete */
	struct tar_entry entry;
};

extern void
tar_init(struct tar_parser *tar, const struct tar_handler *handler, void *arg);
extern enum status tar_feed(struct tar_parser *tar, const void *data,
							size_t len, struct err *err) ERR_CHECK;

/* ST_CORRUPT unless the archive came to its end. */
extern enum status
tar_finish(const struct tar_parser *tar, struct err *err) ERR_CHECK;

/* True for a path whose components are neither empty, "." nor "..". */
extern bool tar_path_safe(const char *path);

#endif
