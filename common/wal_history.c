/*
 * wal_history.c - timeline histories in the repository
 */
#include "common/wal_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/walname.h"

static enum status
parse(uint32_t timeline, const char *text, size_t len,
	  struct timeline_history *out, struct err *err)
{
	struct timeline_history history;
	enum status status =
		timeline_history_parse(timeline, text, len, &history, err);

	if (status != ST_OK)
		return status;
	if (history.nentries == 1)
	{
		timeline_history_free(&history);
		return err_set(err, ST_CORRUPT,
					   "history of timeline %" PRIu32 " names no ancestor",
					   timeline);
	}
	*out = history;
	return ST_OK;
}

enum status
wal_history_check(uint32_t timeline, const char *text, size_t len,
				  struct err *err)
{
	struct timeline_history history;
	enum status status = parse(timeline, text, len, &history, err);

	if (status == ST_OK)
		timeline_history_free(&history);
	return status;
}

enum status
wal_history_get(struct repo *repo, uint32_t timeline,
				struct timeline_history *out, struct err *err)
{
	struct wal_name wal = {.kind = WAL_HISTORY, .timeline = timeline};
	char name[OBJECT_NAME_MAX + 1];
	char *text;
	size_t len;
	enum status status;

	if (timeline == 1)
		return timeline_history_root(timeline, out, err);
	(void) snprintf(wal.text, sizeof(wal.text), "%08" PRIX32 ".history",
					timeline);
	repo_wal_name(name, &wal);
	status = repo_get_bytes(repo, OBJECT_WAL, name, WAL_HISTORY_BYTES_MAX,
							&text, &len, err);
	if (status != ST_OK)
		return status;
	status = parse(timeline, text, len, out, err);
	free(text);
	return status;
}
