/*
 * verify.h - is everything there that a restore needs, and is it readable?
 *
 * Without reading content: every pack and digest object that a manifest refers
 * to exists with the size it must have, and the WAL is unbroken from where it
 * must be kept (keep.h).  With reading: every such object, and every WAL file,
 * is fetched and authenticated by several threads.  Nothing is changed.
 *
 * What is wrong is told as it is found, from the caller's thread or another,
 * one at a time; functions only fail if they cannot go on.
 */
#ifndef BASEBACKUP_VERIFY_H
#define BASEBACKUP_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/keep.h"
#include "common/err.h"
#include "common/session.h"

enum verify_grade
{
	VERIFY_DEFECT, /* a restore will fail, or cannot reach some moment */
	VERIFY_NOTE    /* worth knowing */
};

/* kind is a stable word, subject an object's or a backup's name. */
typedef void (*verify_sink)(void *arg, enum verify_grade grade,
							const char *kind, const char *subject,
							const char *text);

struct verify_options
{
	struct keep_rules rules; /* how far back WAL must be whole */
	bool read;
	uint32_t sample_bp; /* of what is read, in 1/10000 */
	int64_t since_s;    /* only what was stored later, by the store's clock */
	bool resume;        /* go on where the last run was interrupted */
};

struct verify_counts
{
	uint64_t backups;
	uint64_t packs; /* and digest objects, that manifests refer to */
	uint64_t pack_bytes;
	uint64_t wal_files;
	uint64_t read_objects;
	uint64_t read_bytes; /* as stored */
	uint64_t defects;
	uint64_t read_defects; /* of them, those of content */
};

/*
 * ST_OK if all was looked at, whatever was found.  Otherwise nothing is known
 * of what was not; counts are good in any case.
 */
extern enum status
verify_run(struct session *session, const struct verify_options *options,
		   verify_sink sink, void *arg, struct verify_counts *counts,
		   struct err *err) ERR_CHECK;

#endif
