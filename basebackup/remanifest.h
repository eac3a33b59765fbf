/*
 * remanifest.h - writing a backup_manifest as the server would
 *
 * For a backup of which the server sent only changes: its manifest lists what
 * it sent, and the restored one must list what is restored.  The format is
 * that of PostgreSQL's chapter "Backup Manifest Format", version 2.
 */
#ifndef BASEBACKUP_REMANIFEST_H
#define BASEBACKUP_REMANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "basebackup/server_manifest.h"
#include "common/err.h"

/* Receives the manifest's text; any status but ST_OK ends the call with it. */
typedef enum status (*remanifest_sink)(void *arg, const void *data, size_t len,
									   struct err *err);

struct remanifest;

/* The sink is borrowed. */
extern enum status
remanifest_new(uint64_t system_identifier, remanifest_sink sink, void *arg,
			   struct remanifest **out, struct err *err) ERR_CHECK;
extern void remanifest_free(struct remanifest *manifest);

/* First all files, then all ranges, then the end. */
extern enum status remanifest_file(struct remanifest *manifest,
								   const struct server_manifest_file *file,
								   struct err *err) ERR_CHECK;
extern enum status remanifest_range(struct remanifest *manifest,
									const struct server_manifest_range *range,
									struct err *err) ERR_CHECK;
extern enum status
remanifest_finish(struct remanifest *manifest, struct err *err) ERR_CHECK;

#endif
