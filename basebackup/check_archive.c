/*
 * check_archive.c - does WAL really arrive, and can it be opened?
 */
#include "basebackup/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/walpage.h"

#define POLL_MS  500
#define QUERY_MS 30000

static const char name[] = "wal_archiving";

/*
 * A record, so that the switch has something to end; then the switch.  The
 * segment's timeline comes from its name, its number from the position, since
 * versions differ about positions on a boundary.
 */
static enum status
force_switch(const struct check_server *server, struct wal_name *wal,
			 struct err *err)
{
	static const char assign[] = "SELECT pg_catalog.pg_current_xact_id()";
	static const char force[] =
		"SELECT s.lsn, pg_catalog.substr(pg_catalog.pg_walfile_name(s.lsn), "
		"1, 8) FROM pg_catalog.pg_switch_wal() AS s(lsn)";
	const char *size = check_server_setting(server, "wal_segment_size");
	struct deadline deadline = deadline_in(QUERY_MS, cli_cancel());
	struct pgresult *res;
	uint64_t segment_size = 0;
	uint32_t timeline;
	uint64_t lsn;
	enum status rc;

	if (size == NULL ||
		!parse_uint64(size, WAL_SEGMENT_SIZE_MAX, &segment_size) ||
		!wal_segment_size_valid(segment_size))
		return err_set(err, ST_SERVER,
					   "the server's wal_segment_size is \"%s\"",
					   size != NULL ? size : "");
	rc = pgconn_query(server->conn, assign, 0, NULL, &deadline, &res, err);
	if (rc != ST_OK)
		return rc;
	pgresult_free(res);
	rc = pgconn_query(server->conn, force, 0, NULL, &deadline, &res, err);
	if (rc != ST_OK)
		return rc;
	if (pgresult_rows(res) != 1 ||
		!lsn_parse(pgresult_value(res, 0, 0), &lsn) ||
		!timeline_parse(pgresult_value(res, 0, 1), &timeline))
		rc = err_set(err, ST_SERVER,
					 "could not understand the result of pg_switch_wal()");
	else
		wal_name_segment(wal, timeline,
						 wal_segno_before(lsn, (uint32_t) segment_size),
						 (uint32_t) segment_size);
	pgresult_free(res);
	return rc;
}

/* Keeps a segment's first bytes and counts the rest. */
struct segment
{
	uint8_t head[WAL_LONG_HEADER_BYTES];
	uint64_t len;
};

static enum status
take_segment(void *arg, const void *data, size_t len, struct err *err)
{
	struct segment *segment = arg;

	(void) err;
	if (segment->len < sizeof(segment->head))
	{
		size_t room = sizeof(segment->head) - (size_t) segment->len;

		memcpy(segment->head + segment->len, data, len < room ? len : room);
	}
	segment->len += len;
	return ST_OK;
}

/* Reads the segment as a recovery would. */
static enum status
open_segment(struct repo *repo, const struct wal_name *wal, struct err *err)
{
	char object[OBJECT_NAME_MAX + 1];
	struct segment segment = {.len = 0};
	struct wal_page page;
	enum status rc;

	repo_wal_name(object, wal);
	rc = repo_get(repo, OBJECT_WAL, object, take_segment, &segment, err);
	if (rc == ST_OK)
		rc = wal_page_parse(&page, segment.head, sizeof(segment.head), err);
	if (rc == ST_OK)
		rc = wal_page_check(&page, wal, segment.len, repo->system_identifier,
							NULL, err);
	return rc;
}

/* ST_MISSING if it did not come in time. */
static enum status
wait_for_segment(struct repo *repo, const struct wal_name *wal,
				 int64_t wait_ms, struct err *err)
{
	struct deadline deadline = deadline_in(wait_ms, cli_cancel());
	char object[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];
	struct store_stat stat;
	struct err ignored;
	enum status rc;

	repo_wal_name(object, wal);
	repo_key(key, repo->system_identifier, object);
	while ((rc = store_head(repo->store, key, &stat, err)) == ST_MISSING)
	{
		enum status slept = deadline_sleep(&deadline, POLL_MS, &ignored);

		if (slept == ST_DEADLINE)
			return ST_MISSING;
		if (slept != ST_OK)
		{
			*err = ignored;
			return slept;
		}
	}
	return rc;
}

/* What the server itself says about its archiving. */
static void
tell_absent(struct check *check, const struct check_server *server,
			const struct wal_name *wal, int64_t wait_ms)
{
	static const char ask[] =
		"SELECT coalesce(last_archived_wal, ''), coalesce(last_failed_wal, "
		"''), failed_count, coalesce(last_failed_time > last_archived_time, "
		"last_failed_time IS NOT NULL) FROM pg_catalog.pg_stat_archiver";
	struct deadline deadline = deadline_in(QUERY_MS, cli_cancel());
	struct pgresult *res = NULL;
	struct err err;
	const char *done = "";

	if (pgconn_query(server->conn, ask, 0, NULL, &deadline, &res, &err) !=
			ST_OK ||
		pgresult_rows(res) != 1)
	{
		pgresult_free(res);
		res = NULL;
	}
	else
		done = pgresult_value(res, 0, 0);
	if (strcmp(done, wal->text) == 0)
		check_tell(check, CHECK_FAIL, name,
				   "Compare the server's archive_command, and the "
				   "configuration that it names, with this one.",
				   "the server archived segment %s, but not into this "
				   "repository",
				   wal->text);
	else if (res != NULL && strcmp(pgresult_value(res, 0, 3), "t") == 0)
		check_tell(check, CHECK_FAIL, name, "The server's log has the reason.",
				   "segment %s did not arrive within %" PRId64
				   " s: archiving of %s fails, %s times so far",
				   wal->text, wait_ms / 1000, pgresult_value(res, 0, 1),
				   pgresult_value(res, 0, 2));
	else
		check_tell(check, CHECK_FAIL, name,
				   "See the server's log; a backlog shows as .ready files in "
				   "pg_wal/archive_status.",
				   "segment %s did not arrive within %" PRId64
				   " s; the last one that the server archived is %s",
				   wal->text, wait_ms / 1000,
				   done[0] != '\0' ? done : "not known");
	pgresult_free(res);
}

void
check_archive(struct check *check, const struct session *session,
			  const struct check_server *server, int64_t wait_ms)
{
	struct repo repo = session->repo;
	int64_t began = clock_now_ms();
	struct wal_name wal;
	struct err err;
	enum status rc;

	if (server->in_recovery)
	{
		check_tell(check, CHECK_OK, name, NULL,
				   "not tried: a server in recovery cannot switch WAL");
		return;
	}
	repo.system_identifier = server->system_identifier;
	rc = force_switch(server, &wal, &err);
	if (rc == ST_OK)
	{
		rc = wait_for_segment(&repo, &wal, wait_ms, &err);
		if (rc == ST_MISSING)
		{
			tell_absent(check, server, &wal, wait_ms);
			return;
		}
	}
	if (rc == ST_OK)
		rc = open_segment(&repo, &wal, &err);
	if (rc != ST_OK)
		check_tell_err(check, CHECK_FAIL, name, &err);
	else
	{
		int64_t took = clock_now_ms() - began;

		check_tell(check, CHECK_OK, name, NULL,
				   "segment %s arrived %" PRId64 ".%" PRId64
				   " s after a forced switch, and can be read",
				   wal.text, took / 1000, took % 1000 / 100);
	}
}
