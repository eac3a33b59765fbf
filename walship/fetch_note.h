/*
 * fetch_note.h - what the server asked wal-fetch for last
 *
 * Each call leaves a note in the spool, so that the worker that fetches ahead
 * can follow the server, and the next call knows whether one is worth
 * starting.  Not synced; one that is lost or stale costs time only.
 */
#ifndef WALSHIP_FETCH_NOTE_H
#define WALSHIP_FETCH_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/spool.h"
#include "common/walname.h"

enum fetch_outcome
{
	NOTE_ASKING, /* the call has not ended */
	NOTE_FOUND,
	NOTE_ABSENT,
	NOTE_FAILED
};

#define FETCH_STREAK_MAX 1000000

struct fetch_note
{
	bool named;           /* a segment was asked for */
	struct wal_name name; /* that segment, if named */
	enum fetch_outcome outcome;
	uint32_t streak;       /* segments found since one was not */
	uint32_t target;       /* timeline of the last history found; 0: none */
	uint32_t segment_size; /* 0: unknown */
};

#define FETCH_NOTE_TEXT_MAX 160

/* The note's text, pure; format returns its length. */
extern size_t
fetch_note_format(char text[FETCH_NOTE_TEXT_MAX], const struct fetch_note *n);
extern bool
fetch_note_parse(const char *text, size_t len, struct fetch_note *out);

/* Loading gives an empty note where there is none, or none to be believed. */
extern void
fetch_note_load(struct fetch_note *note, const struct spool *spool);
extern void
fetch_note_save(const struct fetch_note *note, const struct spool *spool);

#endif
