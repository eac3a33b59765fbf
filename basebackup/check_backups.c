/*
 * check_backups.c - can the backups that are there be read?
 *
 * A key that seals well is of no use to a restore if it is not the one that
 * the backups were sealed with.
 */
#include "basebackup/check.h"

#include "basebackup/catalog.h"
#include "common/cli.h"

static const char name[] = "backups";

static void
tell(struct check *check, const struct catalog *catalog)
{
	const struct catalog_backup *newest = NULL;
	const struct catalog_backup *unreadable = NULL;
	size_t total = 0, bad = 0;
	char time[21];

	for (size_t i = 0; i < catalog->nbackups; i++)
	{
		const struct catalog_backup *b = &catalog->backups[i];

		if (b->state != BACKUP_COMPLETE && b->state != BACKUP_UNREADABLE)
			continue;
		total++;
		newest = b;
		if (b->state == BACKUP_UNREADABLE)
		{
			bad++;
			unreadable = b;
		}
	}
	if (newest == NULL)
		check_tell(check, CHECK_OK, name, NULL, "there is none yet");
	else if (newest == unreadable)
		check_tell_err(check, CHECK_FAIL, name, newest->why);
	else if (unreadable != NULL)
		check_tell(check, CHECK_WARNING, name,
				   "\"walship verify\" says why; until then nothing expires.",
				   "%zu of %zu cannot be read", bad, total);
	else
		check_tell(check, CHECK_OK, name, NULL,
				   "%zu, the newest of %s, can be read with this key", total,
				   time_format(newest->summary.stop_time, time));
}

void
check_backups(struct check *check, const struct session *session,
			  uint64_t system_identifier)
{
	struct repo repo = session->repo;
	struct catalog catalog = {.nbackups = 0};
	struct err err;
	enum status rc = ST_OK;

	repo.ring = session->ring;
	repo.system_identifier = system_identifier;
	if (system_identifier == 0)
		rc = repo_resolve_cluster(&repo, &err);
	if (rc == ST_OK)
		rc = catalog_load(&repo, &catalog, &err);
	if (rc == ST_OK || rc == ST_MISSING)
		tell(check, &catalog);
	else
		check_tell_err(check, rc == ST_CONFIG ? CHECK_WARNING : CHECK_FAIL,
					   name, &err);
	catalog_free(&catalog);
}
