/*
 * deadline.h - until when to wait, and whether to stop earlier
 *
 * Every wait in walship has a deadline and looks at the flag that a signal
 * handler sets.  Times are milliseconds of CLOCK_MONOTONIC.  Pure values,
 * copied freely; safe from any thread.
 */
#ifndef COMMON_DEADLINE_H
#define COMMON_DEADLINE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "common/err.h"

struct deadline
{
	int64_t at_ms;                       /* INT64_MAX: never */
	const volatile sig_atomic_t *cancel; /* NULL: cannot be cancelled */
};

extern int64_t clock_now_ms(void);

/* Milliseconds since 1970, for what other processes shall read. */
extern int64_t clock_real_ms(void);

/* ms from now on CLOCK_MONOTONIC, for pthread_cond_clockwait. */
extern struct timespec clock_in_ms(int64_t ms);

/* A deadline timeout_ms from now; timeout_ms < 0 means never. */
extern struct deadline
deadline_in(int64_t timeout_ms, const volatile sig_atomic_t *cancel);

/* The earlier of d and timeout_ms from now, with d's cancel flag. */
extern struct deadline deadline_sooner(struct deadline d, int64_t timeout_ms);

/* Milliseconds left, never below 0. */
extern int64_t deadline_left_ms(const struct deadline *d);

/* ST_OK while waiting may go on; else ST_DEADLINE or ST_CANCELLED, with err.
 */
extern enum status
deadline_check(const struct deadline *d, struct err *err) ERR_CHECK;

/*
 * Sleeps ms, or until the deadline, or until cancelled (noticed within
 * 50 ms).  Returns what deadline_check says at the end.
 */
extern enum status deadline_sleep(const struct deadline *d, int64_t ms,
								  struct err *err) ERR_CHECK;

/*
 * Retries with "full jitter": the n-th wait is drawn evenly from
 * [0, min(cap, base * 2^n)], but is never shorter than what the store asked
 * for (Retry-After, itself capped at cap).
 */
struct retry
{
	struct deadline deadline;
	int64_t base_ms;
	int64_t cap_ms;
	unsigned attempt; /* waits so far */
	uint64_t seed;    /* state of a small generator, never 0 */
};

extern void retry_init(struct retry *r, struct deadline d, int64_t base_ms,
					   int64_t cap_ms);

/*
 * Waits before the next try.  Returns false, leaving err untouched (it still
 * says why the last try failed), when the deadline would pass before the try
 * or the wait was cancelled.
 */
extern bool retry_wait(struct retry *r, const struct err *err);

#endif
