/*
 * histories.h - the timelines of an archive, each with its history
 */
#ifndef BASEBACKUP_HISTORIES_H
#define BASEBACKUP_HISTORIES_H

#include <stddef.h>

#include "common/err.h"
#include "common/repo.h"
#include "common/timeline.h"

/* In ascending order. */
struct histories
{
	size_t nhistories;
	struct timeline_history *list;
};

/*
 * Of all timelines that have WAL in the archive; one whose history file is not
 * there is left out, since nothing leads to it.  On success *out is freed with
 * histories_free.
 */
extern enum status histories_load(struct repo *repo, struct histories *out,
								  struct err *err) ERR_CHECK;
extern void histories_free(struct histories *histories);

#endif
