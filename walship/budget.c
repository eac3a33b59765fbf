/*
 * budget.c - memory that several threads share
 */
#include "walship/budget.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* How late a cancellation may be noticed. */
#define POLL_MS 50

/* On the stack of who waits. */
struct waiter
{
	struct waiter *next;
};

struct budget
{
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	uint64_t total;
	uint64_t taken;
	struct waiter *first;
};

enum status
budget_new(uint64_t total_bytes, struct budget **out, struct err *err)
{
	struct budget *budget = calloc(1, sizeof(*budget));

	if (budget == NULL || pthread_mutex_init(&budget->mutex, NULL) != 0)
	{
		free(budget);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	if (pthread_cond_init(&budget->changed, NULL) != 0)
	{
		(void) pthread_mutex_destroy(&budget->mutex);
		free(budget);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	budget->total = total_bytes;
	*out = budget;
	return ST_OK;
}

void
budget_free(struct budget *budget)
{
	if (budget == NULL)
		return;
	(void) pthread_cond_destroy(&budget->changed);
	(void) pthread_mutex_destroy(&budget->mutex);
	free(budget);
}

/* Waits for a change, but not for long. */
static void
wait_a_little(struct budget *budget)
{
	struct timespec until = clock_in_ms(POLL_MS);

	(void) pthread_cond_clockwait(&budget->changed, &budget->mutex,
								  CLOCK_MONOTONIC, &until);
}

static bool
fits(const struct budget *budget, uint64_t bytes)
{
	return budget->taken == 0 ||
		   (bytes <= budget->total && budget->taken <= budget->total - bytes);
}

/* The link that leads to who asked last, or to nobody. */
static struct waiter **
last_link(struct budget *budget)
{
	struct waiter **link = &budget->first;

	while (*link != NULL)
		link = &(*link)->next;
	return link;
}

static void
leave(struct budget *budget, const struct waiter *me)
{
	struct waiter **link = &budget->first;

	while (*link != me)
		link = &(*link)->next;
	*link = me->next;
	(void) pthread_cond_broadcast(&budget->changed);
}

enum status
budget_take(struct budget *budget, uint64_t bytes, const struct deadline *d,
			struct err *err)
{
	struct waiter me = {.next = NULL};
	enum status status = ST_OK;

	(void) pthread_mutex_lock(&budget->mutex);
	*last_link(budget) = &me;
	while (budget->first != &me || !fits(budget, bytes))
	{
		status = deadline_check(d, err);
		if (status != ST_OK)
			break;
		wait_a_little(budget);
	}
	if (status == ST_OK)
		budget->taken += bytes;
	leave(budget, &me);
	(void) pthread_mutex_unlock(&budget->mutex);
	return status;
}

bool
budget_try(struct budget *budget, uint64_t bytes)
{
	bool taken;

	(void) pthread_mutex_lock(&budget->mutex);
	taken = budget->first == NULL && fits(budget, bytes);
	if (taken)
		budget->taken += bytes;
	(void) pthread_mutex_unlock(&budget->mutex);
	return taken;
}

void
budget_give(struct budget *budget, uint64_t bytes)
{
	(void) pthread_mutex_lock(&budget->mutex);
	budget->taken -= bytes;
	(void) pthread_cond_broadcast(&budget->changed);
	(void) pthread_mutex_unlock(&budget->mutex);
}
