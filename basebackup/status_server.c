/*
 * status_server.c - what the server says of its own archiving
 */
#include "basebackup/status_server.h"

#include <stdio.h>
#include <string.h>

#include "common/cli.h"

#define QUERY_MS   30000
#define CONNECT_MS INT64_C(10000)

/* In a standby the timeline is that of what it receives or has replayed. */
static const char identity_sql[] =
	"SELECT c.system_identifier::text, r.yes::int,"
	" CASE WHEN r.yes THEN coalesce(greatest(pg_last_wal_receive_lsn(),"
	" pg_last_wal_replay_lsn()), '0/0') ELSE pg_current_wal_lsn() END,"
	" CASE WHEN r.yes THEN coalesce((SELECT received_tli FROM"
	" pg_stat_wal_receiver), (SELECT timeline_id FROM"
	" pg_control_checkpoint())) ELSE ('x' || substr(pg_walfile_name("
	"pg_current_wal_lsn()), 1, 8))::bit(32)::int END,"
	" (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'),"
	" CASE WHEN r.yes THEN current_setting('archive_mode') = 'always'"
	" ELSE current_setting('archive_mode') <> 'off' END::int,"
	" (SELECT setting FROM pg_settings WHERE name = 'archive_timeout'),"
	" floor(extract(epoch FROM clock_timestamp()))::bigint"
	" FROM pg_control_system() c, pg_is_in_recovery() AS r(yes)";

static const char archiver_sql[] =
	"SELECT archived_count, failed_count, coalesce(last_archived_wal, ''),"
	" coalesce(last_failed_wal, ''),"
	" coalesce(floor(extract(epoch FROM last_archived_time)), 0)::bigint,"
	" coalesce(floor(extract(epoch FROM last_failed_time)), 0)::bigint,"
	" coalesce(last_failed_time > last_archived_time,"
	" last_failed_time IS NOT NULL)::int"
	" FROM pg_stat_archiver";

static const char may_look_sql[] =
	"SELECT has_function_privilege('pg_ls_archive_statusdir()',"
	" 'EXECUTE')::int";

static const char ready_sql[] =
	"SELECT count(*), greatest(coalesce(floor(extract(epoch FROM"
	" clock_timestamp() - min(modification))), 0), 0)::bigint"
	" FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'";

/* One row of so many columns, none of them null. */
static enum status
ask_row(struct pgconn *conn, const char *sql, size_t columns,
		struct pgresult **out, struct err *err)
{
	struct deadline deadline = deadline_in(QUERY_MS, cli_cancel());
	struct pgresult *res = NULL;
	bool fine;

	if (pgconn_query(conn, sql, 0, NULL, &deadline, &res, err) != ST_OK)
		return err->status;
	fine = pgresult_rows(res) == 1 && pgresult_columns(res) == columns;
	for (size_t i = 0; fine && i < columns; i++)
		fine = pgresult_value(res, 0, i) != NULL;
	if (!fine)
	{
		pgresult_free(res);
		return err_set(err, ST_SERVER,
					   "could not understand the server's answer");
	}
	*out = res;
	return ST_OK;
}

static bool
number(const struct pgresult *res, size_t column, uint64_t max, uint64_t *out)
{
	return parse_uint64(pgresult_value(res, 0, column), max, out);
}

static bool
number_s(const struct pgresult *res, size_t column, int64_t *out)
{
	uint64_t value;

	if (!number(res, column, INT64_MAX, &value))
		return false;
	*out = (int64_t) value;
	return true;
}

static enum status
ask_identity(struct pgconn *conn, struct status_server *out, struct err *err)
{
	struct pgresult *res = NULL;
	uint64_t timeline, size, in_recovery, archives;
	bool fine;

	if (ask_row(conn, identity_sql, 8, &res, err) != ST_OK)
		return err->status;
	fine = parse_system_identifier(pgresult_value(res, 0, 0),
								   &out->system_identifier) &&
		   number(res, 1, 1, &in_recovery) &&
		   lsn_parse(pgresult_value(res, 0, 2), &out->lsn) &&
		   number(res, 3, UINT32_MAX, &timeline) &&
		   number(res, 4, WAL_SEGMENT_SIZE_MAX, &size) &&
		   wal_segment_size_valid(size) && number(res, 5, 1, &archives) &&
		   number_s(res, 6, &out->archive_timeout_s) &&
		   number_s(res, 7, &out->clock_s);
	pgresult_free(res);
	if (!fine)
		return err_set(err, ST_SERVER,
					   "could not understand what the server says of itself");
	out->in_recovery = in_recovery == 1;
	out->archives = archives == 1;
	out->timeline = (uint32_t) timeline;
	out->segment_size = (uint32_t) size;
	return ST_OK;
}

static enum status
ask_archiver(struct pgconn *conn, struct status_server *out, struct err *err)
{
	struct pgresult *res = NULL;
	uint64_t failing = 0;
	bool fine;

	if (ask_row(conn, archiver_sql, 7, &res, err) != ST_OK)
		return err->status;
	(void) snprintf(out->last_archived, sizeof(out->last_archived), "%s",
					pgresult_value(res, 0, 2));
	(void) snprintf(out->last_failed, sizeof(out->last_failed), "%s",
					pgresult_value(res, 0, 3));
	fine = number(res, 0, INT64_MAX, &out->archived_count) &&
		   number(res, 1, INT64_MAX, &out->failed_count) &&
		   number_s(res, 4, &out->last_archived_s) &&
		   number_s(res, 5, &out->last_failed_s) &&
		   number(res, 6, 1, &failing);
	out->failing = failing == 1;
	pgresult_free(res);
	return fine ? ST_OK
				: err_set(err, ST_SERVER,
						  "could not understand pg_stat_archiver");
}

static void
ask_ready(struct pgconn *conn, struct status_server *out)
{
	struct pgresult *res = NULL;
	struct err ignored;
	uint64_t may_look = 0;

	if (ask_row(conn, may_look_sql, 1, &res, &ignored) != ST_OK)
		return;
	(void) number(res, 0, 1, &may_look);
	pgresult_free(res);
	if (may_look == 0 || ask_row(conn, ready_sql, 2, &res, &ignored) != ST_OK)
		return;
	out->ready_known = number(res, 0, INT64_MAX, &out->ready_files) &&
					   number_s(res, 1, &out->ready_age_s);
	pgresult_free(res);
}

void
status_server_ask(struct pg_options *options, const struct config *cfg,
				  struct status_server *out)
{
	int64_t connect_ms = cfg->connect_timeout_ms < CONNECT_MS
							 ? cfg->connect_timeout_ms
							 : CONNECT_MS;
	struct pgconn *conn = NULL;
	enum status status;

	*out = (struct status_server){.reached = false};
	status = pgconn_open(options, PG_ORDINARY, connect_ms, &conn, &out->why);
	if (status != ST_OK)
		return;
	out->version = pgconn_server_version(conn);
	status = ask_identity(conn, out, &out->why);
	if (status == ST_OK)
		status = ask_archiver(conn, out, &out->why);
	if (status == ST_OK)
		ask_ready(conn, out);
	out->reached = status == ST_OK;
	pgconn_close(conn);
}
