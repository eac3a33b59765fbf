/*
 * histories.c - the timelines of an archive, each with its history
 */
#include "basebackup/histories.h"

#include <stdlib.h>

#include "basebackup/archive.h"
#include "common/wal_history.h"

/* Takes a timeline as far as its history can be had. */
static enum status
add(struct repo *repo, uint32_t timeline, struct histories *h, struct err *err)
{
	struct timeline_history *out = &h->list[h->nhistories];
	struct history_flaw flaw = {.timeline = timeline};
	enum status status = wal_history_get(repo, timeline, out, &flaw.why);

	if (status != ST_OK && status != ST_MISSING && status != ST_CORRUPT &&
		status != ST_AUTH && status != ST_CONFIG)
	{
		*err = flaw.why;
		return status;
	}
	if (status != ST_OK)
		h->flaws[h->nflaws++] = flaw;
	if (status == ST_MISSING)
		status = timeline_history_root(timeline, out, err);
	else if (status != ST_OK)
		return ST_OK;
	if (status == ST_OK)
		h->nhistories++;
	return status;
}

enum status
histories_load(struct repo *repo, struct histories *out, struct err *err)
{
	struct archive_timelines found;
	struct histories h = {.nhistories = 0};
	enum status status = archive_list_timelines(repo, &found, err);

	if (status != ST_OK)
		return status;
	h.list = calloc(found.ntimelines + 1, sizeof(*h.list));
	h.flaws = calloc(found.ntimelines + 1, sizeof(*h.flaws));
	if (h.list == NULL || h.flaws == NULL)
		status = err_set(err, ST_NOMEM, "out of memory");
	else
		for (size_t i = 0; i < found.ntimelines && status == ST_OK; i++)
			status = add(repo, found.timelines[i], &h, err);
	archive_timelines_free(&found);
	if (status == ST_OK)
		*out = h;
	else
		histories_free(&h);
	return status;
}

enum status
histories_require(const struct histories *histories, struct err *err)
{
	for (size_t i = 0; i < histories->nflaws; i++)
		if (histories->flaws[i].why.status != ST_MISSING)
		{
			*err = histories->flaws[i].why;
			return err->status;
		}
	return ST_OK;
}

bool
histories_lack(const struct histories *histories, uint32_t timeline)
{
	for (size_t i = 0; i < histories->nflaws; i++)
		if (histories->flaws[i].timeline == timeline &&
			histories->flaws[i].why.status == ST_MISSING)
			return true;
	return false;
}

void
histories_free(struct histories *histories)
{
	for (size_t i = 0; i < histories->nhistories; i++)
		timeline_history_free(&histories->list[i]);
	free(histories->list);
	free(histories->flaws);
	*histories = (struct histories){.nhistories = 0};
}
