/*
 * incremental.h - the files INCREMENTAL.<name> of PostgreSQL 17 and later
 *
 * Pure push parser.  Source: PostgreSQL's backend/backup/basebackup.c
 * (sendFile) and bin/pg_combinebackup/reconstruct.c.
 *
 *   magic  count  truncation  block number...  [zeros]  page...
 *
 * Integers are of 32 bits in the byte order of the server's host.  Zeros fill
 * the head up to a multiple of the page size, but only if there are pages.
 * Block numbers count pages of this file and ascend.  The file that is meant
 * has at least truncation pages: those that are not sent are as they were in
 * the earlier backup; from there on those that are not sent are zeros.
 *
 * Told as the parts of the file that is meant, in their order and without
 * gaps.  All failures are ST_CORRUPT, or what the handler returned.
 */
#ifndef BASEBACKUP_INCREMENTAL_H
#define BASEBACKUP_INCREMENTAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define INCREMENTAL_MAGIC  0xd3ae1f0dU
#define INCREMENTAL_PREFIX "INCREMENTAL."

/*
 * True for "dir/INCREMENTAL.name"; then out is "dir/name", which needs as
 * much room as path has.
 */
extern bool incremental_path(const char *path, char *out);

/* Any status but ST_OK ends the parse with it. */
struct incremental_handler
{
	/* How many pages the file has that is meant. */
	enum status (*begin)(void *arg, uint32_t pages, struct err *err);
	/* Pages as they were, and zeros where there were none. */
	enum status (*keep)(void *arg, uint32_t first, uint32_t count,
						struct err *err);
	enum status (*zeros)(void *arg, uint32_t first, uint32_t count,
						 struct err *err);
	/* Bytes of pages that were sent, in pieces as they come. */
	enum status (*data)(void *arg, const void *data, size_t len,
						struct err *err);
};

struct incremental;

/* pages_max: of a file, the size of the server's segments. */
extern enum status
incremental_new(uint32_t page_size, uint32_t pages_max,
				struct incremental **out, struct err *err) ERR_CHECK;
extern void incremental_free(struct incremental *inc);

/* A new file, of size bytes as sent.  The handler is borrowed. */
extern enum status incremental_begin(struct incremental *inc, uint64_t size,
									 const struct incremental_handler *handler,
									 void *arg, struct err *err) ERR_CHECK;
extern enum status incremental_feed(struct incremental *inc, const void *data,
									size_t len, struct err *err) ERR_CHECK;

/* ST_CORRUPT unless all of the size has come. */
extern enum status
incremental_finish(struct incremental *inc, struct err *err) ERR_CHECK;

#endif
