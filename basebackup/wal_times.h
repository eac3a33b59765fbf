/*
 * wal_times.h - when did the transactions in some WAL end?
 *
 * Pure.  Recovery stops at a time before the first record of a commit or an
 * abort that is later, and fails if there is none.  So the latest of these
 * times tells whether a target can be reached.  Records are followed from the
 * first that begins in what is fed; they are not checked in themselves.
 * Source: PostgreSQL's access/xlogrecord.h, access/xact.h and
 * access/transam/xlogrecovery.c.
 */
#ifndef BASEBACKUP_WAL_TIMES_H
#define BASEBACKUP_WAL_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define WAL_TIMES_PAGE_MAX 65536
#define WAL_TIMES_HEAD     64 /* of a record, is all that is looked at */

struct wal_times
{
	uint32_t page_size; /* 0: the first page is still to come */
	bool ended;         /* no WAL follows */
	bool any;           /* a transaction ended */
	int64_t latest_us;  /* the latest, microseconds since 1970; if any */
	bool any_record;    /* a whole record began in what was fed */
	uint64_t last;      /* where the last of them did, in bytes; if any */
	uint64_t fed;       /* bytes of whole pages */

	/* The record that the scan is in. */
	uint64_t left;
	uint64_t begun; /* where it did */
	uint8_t head[WAL_TIMES_HEAD];
	size_t head_len;
	bool skipping; /* it began before what was fed */

	size_t page_len;
	uint8_t page[WAL_TIMES_PAGE_MAX];
};

/* Big: not for the stack. */
extern void wal_times_begin(struct wal_times *t);

/*
 * Has a store_sink's shape, a struct wal_times being its arg: WAL of one or
 * several segments in order, from the beginning of a segment on.  Always
 * ST_OK.
 */
extern enum status
wal_times_feed(void *arg, const void *data, size_t len, struct err *err);

/* True if the last record continues beyond what was fed. */
extern bool wal_times_open(const struct wal_times *t);

#endif
