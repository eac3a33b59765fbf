/*
 * namebatch.h - the smallest of many names, in bounded memory
 *
 * Takes names in any order and keeps the smallest of them: when it is full,
 * it throws its greater half out, and from then on whatever is greater than
 * what it kept.  What it holds at the end is therefore exactly the names up
 * to its last one, and `cut` tells that there are greater ones.  Pure.
 */
#ifndef COMMON_NAMEBATCH_H
#define COMMON_NAMEBATCH_H

#include <stdbool.h>
#include <stddef.h>

#define NAMEBATCH_NAME_MAX 257 /* bytes with the terminating zero */

struct namebatch
{
	size_t max_names; /* at least 2 */
	size_t max_bytes; /* at least 2 * NAMEBATCH_NAME_MAX */
	size_t nnames;
	bool cut;

	/* Private: names one behind the other, and where each begins. */
	char *text;
	size_t used;
	size_t room;
	size_t *at;
	size_t at_room;
	size_t limit; /* if cut: where the greatest name begins */
};

/* Limits of 0 stand for the defaults, about 10 MB. */
extern void
namebatch_init(struct namebatch *batch, size_t max_names, size_t max_bytes);
extern void namebatch_free(struct namebatch *batch);

/* False if out of memory.  The name is copied. */
extern bool namebatch_add(struct namebatch *batch, const char *name);

/* In byte order.  Afterwards namebatch_get gives the names by their rank. */
extern void namebatch_sort(struct namebatch *batch);
extern const char *namebatch_get(const struct namebatch *batch, size_t rank);

#endif
