/*
 * deadline.c - until when to wait, and whether to stop earlier
 */
#include "common/deadline.h"

#include <time.h>
#include <unistd.h>

#define CANCEL_POLL_MS 50

int64_t
clock_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
clock_real_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct timespec
clock_in_ms(int64_t ms)
{
	int64_t at_ms = clock_now_ms() + ms;

	return (struct timespec){.tv_sec = at_ms / 1000,
							 .tv_nsec = at_ms % 1000 * 1000000};
}

struct deadline
deadline_in(int64_t timeout_ms, const volatile sig_atomic_t *cancel)
{
	struct deadline d = {.at_ms = INT64_MAX, .cancel = cancel};
	int64_t now = clock_now_ms();

	if (timeout_ms >= 0 && timeout_ms < INT64_MAX - now)
		d.at_ms = now + timeout_ms;
	return d;
}

struct deadline
deadline_sooner(struct deadline d, int64_t timeout_ms)
{
	struct deadline other = deadline_in(timeout_ms, d.cancel);

	return other.at_ms < d.at_ms ? other : d;
}

int64_t
deadline_left_ms(const struct deadline *d)
{
	int64_t now;

	if (d->at_ms == INT64_MAX)
		return INT64_MAX;
	now = clock_now_ms();
	return d->at_ms > now ? d->at_ms - now : 0;
}

enum status
deadline_check(const struct deadline *d, struct err *err)
{
	if (d->cancel != NULL && *d->cancel != 0)
		return err_set(err, ST_CANCELLED, "cancelled by a signal");
	if (deadline_left_ms(d) == 0)
		return err_set(err, ST_DEADLINE, "the time allowed for it has passed");
	return ST_OK;
}

enum status
deadline_sleep(const struct deadline *d, int64_t ms, struct err *err)
{
	struct deadline nap = deadline_sooner(*d, ms < 0 ? 0 : ms);
	int64_t left;

	while ((left = deadline_left_ms(&nap)) > 0 &&
		   (d->cancel == NULL || *d->cancel == 0))
	{
		int64_t step = left < CANCEL_POLL_MS ? left : CANCEL_POLL_MS;
		struct timespec pause = {.tv_nsec = (long) step * 1000000};

		/* A signal cuts it short, which is what the loop is for. */
		(void) nanosleep(&pause, NULL);
	}
	return deadline_check(d, err);
}

/* Splitmix64: spreads waits; nothing secret hangs on it. */
static uint64_t
next_random(uint64_t *state)
{
	uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);

	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

void
retry_init(struct retry *r, struct deadline d, int64_t base_ms, int64_t cap_ms)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	r->deadline = d;
	r->base_ms = base_ms;
	r->cap_ms = cap_ms;
	r->attempt = 0;

	/* Processes started in the same instant must not wait in step. */
	r->seed = ((uint64_t) now.tv_nsec << 32) ^ (uint64_t) now.tv_sec ^
			  ((uint64_t) getpid() << 16) ^ (uint64_t) (uintptr_t) r;
	if (r->seed == 0)
		r->seed = 1;
}

/* min(cap, base * 2^attempt), without overflow. */
static int64_t
ceiling_ms(const struct retry *r)
{
	int64_t ceiling = r->base_ms;

	for (unsigned i = 0; i < r->attempt && ceiling < r->cap_ms; i++)
	{
		if (ceiling > INT64_MAX / 2)
			return r->cap_ms;
		ceiling *= 2;
	}
	return ceiling < r->cap_ms ? ceiling : r->cap_ms;
}

bool
retry_wait(struct retry *r, const struct err *err)
{
	uint64_t span = (uint64_t) ceiling_ms(r) + 1;
	int64_t wait = (int64_t) (next_random(&r->seed) % span);
	int64_t asked = err->retry_after_ms;
	struct err ignored;

	if (asked > r->cap_ms)
		asked = r->cap_ms;
	if (wait < asked)
		wait = asked;
	if (wait >= deadline_left_ms(&r->deadline))
		return false;

	r->attempt++;
	return deadline_sleep(&r->deadline, wait, &ignored) == ST_OK;
}
