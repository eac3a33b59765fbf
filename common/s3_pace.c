/*
 * s3_pace.c - how many requests a second a busy store gets
 */
#include "common/s3_pace.h"

#define SECOND_US INT64_C(1000000)

/* Of the rate at which the store refused. */
#define CUT 0.7

/* Refusals of requests that were under way together are one. */
#define TOGETHER_US (SECOND_US / 2)

/* A shorter time tells nothing of a rate. */
#define GLIMPSE_US (SECOND_US / 20)

/* Without a refusal for so long, the store has recovered. */
#define LIFT_US (60 * SECOND_US)

/* However often it refuses, it is asked so often. */
#define RATE_MIN 0.5

int64_t
s3_pace_start(struct s3_pace *pace, int64_t now_us)
{
	int64_t at_us = now_us;

	if (now_us - pace->window_us >= SECOND_US)
	{
		pace->recent = (double) pace->started * (double) SECOND_US /
					   (double) (now_us - pace->window_us);
		pace->window_us = now_us;
		pace->started = 0;
	}
	pace->started++;
	if (pace->rate > 0.0 && now_us - pace->cut_us >= LIFT_US)
		pace->rate = 0.0;
	if (pace->rate <= 0.0)
		return 0;
	if (at_us < pace->next_us)
		at_us = pace->next_us;
	pace->next_us = at_us + (int64_t) ((double) SECOND_US / pace->rate);
	return at_us - now_us;
}

/* What a store got that has just begun to refuse. */
static double
observed(const struct s3_pace *pace, int64_t now_us)
{
	int64_t since_us = now_us - pace->window_us;
	double rate;

	if (since_us < GLIMPSE_US)
		since_us = GLIMPSE_US;
	rate = (double) pace->started * (double) SECOND_US / (double) since_us;
	return rate > pace->recent ? rate : pace->recent;
}

void
s3_pace_refused(struct s3_pace *pace, int64_t now_us)
{
	double rate = pace->rate;

	if (rate > 0.0 && now_us - pace->cut_us < TOGETHER_US)
		return;

	if (rate <= 0.0)
		rate = observed(pace, now_us);
	rate *= CUT;
	pace->rate = rate > RATE_MIN ? rate : RATE_MIN;
	pace->cut_us = now_us;
	if (pace->next_us < now_us)
		pace->next_us = now_us;
}

void
s3_pace_served(struct s3_pace *pace)
{
	if (pace->rate > 0.0)
		pace->rate += 1.0 / pace->rate;
}
