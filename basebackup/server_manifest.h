/*
 * server_manifest.h - the backup_manifest that the server writes
 *
 * Pure streaming parser.  Source: PostgreSQL's chapter "Backup Manifest
 * Format".  Fed bytes in pieces of any size, it tells each file and each
 * range of WAL as they come, and at the end checks the manifest's own
 * checksum (SHA-256 of all lines but the last): until
 * server_manifest_finish says ST_OK nothing that was told is sure.
 * All failures are ST_CORRUPT, or what the handler returned.
 */
#ifndef BASEBACKUP_SERVER_MANIFEST_H
#define BASEBACKUP_SERVER_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct server_manifest_file
{
	const char *path; /* relative to the data directory; any bytes but 0 */
	uint64_t size;
	uint32_t crc32c;
	const char *modified; /* the server's words for when, or "" */
};

struct server_manifest_range
{
	uint32_t timeline;
	uint64_t start_lsn;
	uint64_t end_lsn;
};

/* Any status but ST_OK ends the parse with it. */
struct server_manifest_handler
{
	enum status (*file)(void *arg, const struct server_manifest_file *file,
						struct err *err);
	enum status (*range)(void *arg, const struct server_manifest_range *range,
						 struct err *err);
};

struct server_manifest;

/* The handler is borrowed.  system_identifier: what a manifest that has one
 * must have. */
extern enum status
server_manifest_new(const struct server_manifest_handler *handler, void *arg,
					uint64_t system_identifier, struct server_manifest **out,
					struct err *err) ERR_CHECK;
extern void server_manifest_free(struct server_manifest *manifest);

/* After a failure only server_manifest_free may follow. */
extern enum status
server_manifest_feed(struct server_manifest *manifest, const void *data,
					 size_t len, struct err *err) ERR_CHECK;
extern enum status server_manifest_finish(struct server_manifest *manifest,
										  struct err *err) ERR_CHECK;

#endif
