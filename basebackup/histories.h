/*
 * histories.h - the timelines of an archive, each with its history
 */
#ifndef BASEBACKUP_HISTORIES_H
#define BASEBACKUP_HISTORIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/repo.h"
#include "common/timeline.h"

/* What is amiss with the history of a timeline that has WAL. */
struct history_flaw
{
	uint32_t timeline;
	struct err why; /* ST_MISSING: its file is not in the archive */
};

/* Both in ascending order. */
struct histories
{
	size_t nhistories;
	struct timeline_history *list;
	size_t nflaws;
	struct history_flaw *flaws;
};

/*
 * Of all timelines that have WAL in the archive.  One whose history file is
 * not there begins with itself, as a server takes it: a cluster may come to
 * the repository on a later timeline than its first.  One whose history cannot
 * be read is left out.  Each of both is among the flaws.  On success *out is
 * freed with histories_free.
 */
extern enum status histories_load(struct repo *repo, struct histories *out,
								  struct err *err) ERR_CHECK;

/* For who cannot do without any: fails with the first that cannot be read. */
extern enum status histories_require(const struct histories *histories,
									 struct err *err) ERR_CHECK;

/* Is the history file of that timeline absent? */
extern bool
histories_lack(const struct histories *histories, uint32_t timeline);
extern void histories_free(struct histories *histories);

#endif
