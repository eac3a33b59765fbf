/*
 * budget.h - memory that several threads share
 *
 * Whoever needs some waits until there is enough, in the order of asking.
 * What is larger than the whole is given when nothing else is taken, so that
 * everyone gets on.  Nobody may wait for more while holding some.
 */
#ifndef WALSHIP_BUDGET_H
#define WALSHIP_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/deadline.h"
#include "common/err.h"

struct budget;

/* ST_NOMEM.  To be freed when nobody uses it any more. */
extern enum status budget_new(uint64_t total_bytes, struct budget **out,
							  struct err *err) ERR_CHECK;
extern void budget_free(struct budget *budget);

/* Waits for it.  ST_DEADLINE, ST_CANCELLED: nothing was taken. */
extern enum status
budget_take(struct budget *budget, uint64_t bytes, const struct deadline *d,
			struct err *err) ERR_CHECK;

/* Takes it if it can be had without waiting, before nobody who waits. */
extern bool budget_try(struct budget *budget, uint64_t bytes);
extern void budget_give(struct budget *budget, uint64_t bytes);

#endif
