/*
 * histories.c - the timelines of an archive, each with its history
 */
#include "basebackup/histories.h"

#include <stdlib.h>

#include "basebackup/archive.h"
#include "common/wal_history.h"

enum status
histories_load(struct repo *repo, struct histories *out, struct err *err)
{
	struct archive_timelines found;
	struct histories h = {.nhistories = 0};
	enum status status = archive_list_timelines(repo, &found, err);

	if (status != ST_OK)
		return status;
	h.list = calloc(found.ntimelines + 1, sizeof(*h.list));
	if (h.list == NULL)
		status = err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < found.ntimelines && status == ST_OK; i++)
	{
		status = wal_history_get(repo, found.timelines[i],
								 &h.list[h.nhistories], err);
		if (status == ST_OK)
			h.nhistories++;
		else if (status == ST_MISSING)
			status = ST_OK;
	}
	archive_timelines_free(&found);
	if (status == ST_OK)
		*out = h;
	else
		histories_free(&h);
	return status;
}

void
histories_free(struct histories *histories)
{
	for (size_t i = 0; i < histories->nhistories; i++)
		timeline_history_free(&histories->list[i]);
	free(histories->list);
	histories->list = NULL;
	histories->nhistories = 0;
}
