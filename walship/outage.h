/*
 * outage.h - how much of its patience this host has spent on an outage
 *
 * A server that promotes, or probes for timelines, runs restore_command many
 * times in a row.  If each waited out its own time while the store is down,
 * a promotion would take minutes.  So the time is noted in the spool, and the
 * calls of one outage share it.  Without a spool each has its own.
 */
#ifndef WALSHIP_OUTAGE_H
#define WALSHIP_OUTAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/spool.h"

/* An outage that nobody has met for so long is over, or a new one. */
#define OUTAGE_FORGOTTEN_MS 60000

#define OUTAGE_TEXT_MAX 80

struct outage
{
	bool noted; /* the spool has a note */
	int64_t spent_ms;
};

/* What the spool says; nothing spent if it does not, or cannot be believed. */
extern void outage_load(struct outage *outage, const struct spool *spool);

/* Adds to what was spent, as of now. */
extern void
outage_note(struct outage *outage, const struct spool *spool, int64_t more_ms);

/* The store answers. */
extern void outage_clear(struct outage *outage, const struct spool *spool);

/* The note's text, pure: milliseconds since 1970 when it was written. */
extern int
outage_format(char text[OUTAGE_TEXT_MAX], int64_t at_ms, int64_t spent_ms);
extern bool
outage_parse(const char *text, size_t len, int64_t now_ms, int64_t *spent_ms);

#endif
