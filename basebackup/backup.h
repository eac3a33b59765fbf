/*
 * backup.h - one base backup, from connection to published manifest
 *
 * The steps, in an order that common/FORMAT.md section 7 rests on:
 *
 *  1. put "start";
 *  2. receive everything the server sends, packs going out meanwhile, until
 *     all of the server's results are taken and its manifest agrees;
 *  3. wait until the archive holds the WAL from start to stop;
 *  4. refuse if "start" is older than half of backup_max_age by the store's
 *     clock; prove by a listing that every pack is there;
 *  5. put the manifest: from then on the backup exists.
 *
 * A backup that fails leaves its "start" and packs behind.  They count for
 * nothing, a later attempt may use them, and expire removes them once they
 * are older than backup_max_age.  Either way a report is put.
 */
#ifndef BASEBACKUP_BACKUP_H
#define BASEBACKUP_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/json.h"
#include "basebackup/native.h"
#include "basebackup/pgconn.h"
#include "basebackup/server_facts.h"
#include "common/err.h"
#include "common/session.h"

/* "0000000002000028-00000001-20261121T010203Z" and zero */
#define BACKUP_ID_ROOM 44

/* Strings are borrowed. */
struct backup_options
{
	const char *label;
	size_t nannotations;
	const char *const *annotations; /* "KEY=VALUE" */
	bool fast_checkpoint;
	uint32_t max_rate_kb; /* 0: unlimited */
	bool no_verify;       /* the server does not verify page checksums */
	bool lz4;             /* the server compresses what it sends */
	bool no_native;       /* read everything, also from a server that could
						   * send only changes */
	bool full;            /* refer to no older backup */
	bool progress;        /* a line on the terminal, if there is one */
};

struct backup_result
{
	const char *label; /* of the options, as are the annotations */
	size_t nannotations;
	const char *const *annotations;
	char id[BACKUP_ID_ROOM];
	uint64_t files;
	uint64_t bytes;
	uint64_t packs;
	uint64_t stored_bytes;
	char base[BACKUP_ID_ROOM]; /* what it builds on; empty: nothing */
	uint64_t digest_bytes;     /* stored size of digests and maps */
	uint64_t referenced_bytes; /* stored size of older packs in use */
	uint64_t changed_bytes;    /* content that was stored as it is new, */
	uint64_t rewritten_bytes;  /* and to keep restores cheap; */
	uint64_t salvaged_bytes;   /* a backup that died had stored it */
	uint64_t start_lsn;
	uint64_t stop_lsn;
	uint32_t timeline;
	int64_t start_time; /* seconds since 1970, of the manifest's clock */
	int64_t stop_time;
	bool native; /* the server sent only changes; else: */
	char why_read[NATIVE_WHY_MAX];
	bool checksums_verified; /* of pages, by the server */
	int64_t duration_ms;
};

/* What a backup is made from and into.  All borrowed. */
struct backup_source
{
	struct pgconn *conn;        /* replication */
	struct pg_options *options; /* for ordinary connections beside it */
	const struct server_facts *facts;
	struct session *session; /* its repository open for facts' cluster */
};

/* What is told of a backup, as members of an object in the making. */
extern void
backup_result_members(const struct backup_result *result, struct json *json);

extern enum status
backup_run(const struct backup_source *source,
		   const struct backup_options *options, struct backup_result *result,
		   struct err *err) ERR_CHECK;

#endif
