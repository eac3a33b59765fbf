/*
 * s3_pace.h - how many requests a second a busy store gets
 *
 * Each request that fails is tried again later and later, which calms one
 * thread.  A store that says "slow down" means all of them, so they share a
 * rate: there is none until the first refusal, which sets it to a part of what
 * was going on; each further one cuts it, requests that are served raise it
 * by about one a second every second, and a while without a refusal lifts it.
 *
 * Pure: the clock, in microseconds from any point on, is the caller's, as is
 * locking.
 */
#ifndef COMMON_S3_PACE_H
#define COMMON_S3_PACE_H

#include <stdint.h>

struct s3_pace
{
	double rate;       /* requests a second; 0: as many as there are */
	int64_t next_us;   /* when the next request may start */
	int64_t cut_us;    /* of the latest cut */
	int64_t window_us; /* since when started counts */
	unsigned started;
	double recent; /* requests a second, in the window before */
};

/* For the next request: how long it has to wait from now on. */
extern int64_t s3_pace_start(struct s3_pace *pace, int64_t now_us);

/* An answer: the store is busy, or it is not. */
extern void s3_pace_refused(struct s3_pace *pace, int64_t now_us);
extern void s3_pace_served(struct s3_pace *pace);

#endif
