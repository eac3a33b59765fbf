/*
 * progress.h - how far a long transfer is
 *
 * On a terminal one line on standard error, written again and again;
 * otherwise a line of the log every minute.
 */
#ifndef BASEBACKUP_PROGRESS_H
#define BASEBACKUP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress
{
	bool terminal;
	uint64_t total_bytes; /* an estimate; 0: unknown */
	int64_t begun_ms;
	int64_t shown_ms;
	bool shown;       /* a line stands on the terminal */
	const char *verb; /* what became of the bytes: "received" to begin with */
};

/* terminal: whether one may be used, if standard error is one. */
extern void
progress_begin(struct progress *p, bool terminal, uint64_t total_bytes);

/* Cheap; shows something only when it is time to. */
extern void progress_update(struct progress *p, uint64_t done_bytes);

/* Clears the terminal's line. */
extern void progress_end(struct progress *p);

#endif
