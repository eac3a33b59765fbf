/*
 * publish.c - the last steps of a backup, up to its manifest
 */
#include "basebackup/publish_objects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basebackup/archive_wait.h"
#include "basebackup/store_put_same.h"
#include "common/cli.h"
#include "common/log.h"

#define HISTORY_BYTES_MAX ((size_t) 1 << 20)

int64_t
publish_clock_ms(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Asks the server for the history file of the backup's timeline. */
static enum status
fetch_history(struct publication *pub, struct pgresult **res, struct err *err)
{
	struct deadline d =
		deadline_in(pub->repo->cfg->command_timeout_ms, cli_cancel());
	char command[64];
	enum status status;

	(void) snprintf(command, sizeof(command), "TIMELINE_HISTORY %" PRIu32,
					pub->summary.timeline);
	status = pgconn_query(pub->conn, command, 0, NULL, &d, res, err);
	if (status != ST_OK)
		return status;
	if (pgresult_rows(*res) == 1 && pgresult_columns(*res) == 2 &&
		pgresult_value(*res, 0, 1) != NULL)
		return ST_OK;
	pgresult_free(*res);
	*res = NULL;
	return err_set(err, ST_SERVER,
				   "the server gave no history of timeline %" PRIu32,
				   pub->summary.timeline);
}

/* An archive that holds another history belongs to another branch. */
static enum status
compare_history(struct publication *pub, const char *name, const char *text,
				size_t len, struct err *err)
{
	char *stored = NULL;
	size_t stored_len = 0;
	enum status status =
		repo_get_bytes(pub->repo, OBJECT_WAL, name, HISTORY_BYTES_MAX, &stored,
					   &stored_len, err);

	if (status == ST_OK &&
		(stored_len != len || memcmp(stored, text, len) != 0))
	{
		(void) err_set(err, ST_DIFFERS,
					   "\"%s\" in the archive is not this server's history of "
					   "timeline %" PRIu32,
					   name, pub->summary.timeline);
		status = err_hint(err, "Two servers were promoted to the same "
							   "timeline: the archive has WAL of the other.");
	}
	free(stored);
	return status;
}

static enum status
store_history(struct publication *pub, const char *name,
			  const struct pgresult *res, struct err *err)
{
	const char *text = pgresult_value(res, 0, 1);
	size_t len = pgresult_length(res, 0, 1);
	enum status status =
		repo_put_bytes(pub->repo, OBJECT_WAL, name, text, len, err);

	if (status == ST_OK)
		log_info("stored \"%s\", which the archive did not hold", name);
	else if (status == ST_EXISTS)
		status = compare_history(pub, name, text, len, err);
	return status;
}

/*
 * Recovery needs the timeline's history, which the server archived when the
 * timeline began: perhaps long before this repository was in use.  A server
 * that has lost its copy is no obstacle if the archive has one.
 */
static enum status
ensure_history(struct publication *pub, struct err *err)
{
	struct pgresult *res = NULL;
	struct wal_name wal = {.kind = WAL_HISTORY,
						   .timeline = pub->summary.timeline};
	char name[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];
	struct store_stat stat;
	struct err absent;
	enum status status;

	if (pub->summary.timeline == 1)
		return ST_OK;
	(void) snprintf(wal.text, sizeof(wal.text), "%08" PRIX32 ".history",
					wal.timeline);
	repo_wal_name(name, &wal);
	repo_key(key, pub->repo->system_identifier, name);
	status = fetch_history(pub, &res, err);
	if (status == ST_OK)
		status = store_history(pub, name, res, err);
	else if (status == ST_SERVER &&
			 store_head(pub->repo->store, key, &stat, &absent) == ST_OK)
		status = ST_OK;
	pgresult_free(res);
	return status;
}

/*
 * FORMAT.md section 7, step 4.  Expiry elsewhere takes us for dead at M; half
 * of it is left for what still follows.
 */
static enum status
check_age(const struct publication *pub, struct err *err)
{
	int64_t limit_ms = pub->repo->cfg->backup_max_age_ms / 2;
	int64_t age_ms = publish_clock_ms() - pub->start_put_ms;
	char name[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];
	struct store_stat stat;
	enum status status;

	repo_backup_name(name, pub->backup_id, "start");
	repo_key(key, pub->repo->system_identifier, name);
	status = store_head(pub->repo->store, key, &stat, err);
	if (status != ST_OK)
		return err_context(err, "cannot publish the backup");
	if (pub->repo->store->answered_s > stat.modified &&
		(pub->repo->store->answered_s - stat.modified) * 1000 > age_ms)
		age_ms = (pub->repo->store->answered_s - stat.modified) * 1000;
	if (age_ms <= limit_ms)
		return ST_OK;
	(void) err_set(err, ST_DEADLINE,
				   "the backup took %lld s, more than half of backup_max_age",
				   (long long) (age_ms / 1000));
	return err_hint(err, "Raise backup_max_age on all hosts that use this "
						 "repository, or make the backup faster.");
}

static enum status
put_manifest(struct publication *pub, struct err *err)
{
	struct object_buffer buf;
	char name[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];
	enum status status;

	repo_backup_name(name, pub->backup_id, "manifest");
	repo_key(key, pub->repo->system_identifier, name);
	status = manifest_seal(pub->manifest, &pub->summary, name, pub->repo->ring,
						   &buf, err);
	if (status != ST_OK)
		return status;
	status = store_put_same(pub->repo->store, key, buf.data, buf.len, err);
	object_buffer_free(&buf);
	return status;
}

enum status
publish_backup(struct publication *pub, struct err *err)
{
	const struct archive_wait wait = {
		.ranges = pub->received.ranges,
		.nranges = pub->received.nranges,
		.segment_size = pub->summary.wal_segment_size,
		.from_standby = pub->summary.from_standby,
		.timeout_ms = pub->repo->cfg->archive_wait_ms,
		.cancel = cli_cancel()};
	/* First what needs the server: it may be gone when the WAL has come. */
	enum status status = ensure_history(pub, err);

	if (status == ST_OK)
		status = archive_wait(pub->repo, &wait, err);
	if (status == ST_OK)
		status = publish_add_objects(pub, err);
	if (status == ST_OK)
		status = publish_retain_objects(pub, err);
	if (status == ST_OK)
		status = check_age(pub, err);
	if (status == ST_OK)
		status = publish_prove_objects(pub, err);
	if (status == ST_OK)
		status = put_manifest(pub, err);
	return status;
}
