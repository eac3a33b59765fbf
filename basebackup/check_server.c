/*
 * check_server.c - is the server set up for archiving and backup?
 */
#include "basebackup/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/server_facts.h"

#define QUERY_MS 30000

static enum status
ask(const struct check_server *server, const char *sql, struct pgresult **out,
	struct err *err)
{
	struct deadline deadline = deadline_in(QUERY_MS, cli_cancel());

	return pgconn_query(server->conn, sql, 0, NULL, &deadline, out, err);
}

enum status
check_server_identify(struct pg_options *opts, const struct config *cfg,
					  uint64_t *system_identifier, struct err *err)
{
	struct check_server server = {.conn = NULL};
	struct pgresult *res = NULL;
	enum status rc;

	rc = pgconn_open(opts, PG_REPLICATION, cfg->connect_timeout_ms,
					 &server.conn, err);
	if (rc != ST_OK)
		return rc;
	rc = ask(&server, "IDENTIFY_SYSTEM", &res, err);
	if (rc == ST_OK &&
		(pgresult_rows(res) != 1 || pgresult_value(res, 0, 0) == NULL ||
		 !parse_system_identifier(pgresult_value(res, 0, 0),
								  system_identifier)))
		rc = err_set(err, ST_SERVER,
					 "could not understand the result of IDENTIFY_SYSTEM");
	pgresult_free(res);
	pgconn_close(server.conn);
	return rc;
}

const char *
check_server_setting(const struct check_server *server, const char *name)
{
	if (server->settings == NULL)
		return NULL;
	for (size_t i = 0; i < pgresult_rows(server->settings); i++)
		if (strcmp(pgresult_value(server->settings, i, 0), name) == 0)
			return pgresult_value(server->settings, i, 1);
	return NULL;
}

/* The same where every role may see it; "" if the version lacks it. */
static const char *
setting(const struct check_server *server, const char *name)
{
	const char *value = check_server_setting(server, name);

	return value != NULL ? value : "";
}

static void
check_version(struct check *check, const struct check_server *server)
{
	int major = server->version / 10000;
	int minor = server->version % 10000;

	if (major < SERVER_MAJOR_MIN)
		check_tell(check, CHECK_FAIL, "server_version",
				   "PostgreSQL 15 and newer are supported.", "%d.%d", major,
				   minor);
	else if (major > SERVER_MAJOR_MAX)
		check_tell(check, CHECK_WARNING, "server_version",
				   "Look for a newer version of walship.",
				   "%d.%d is newer than this program knows", major, minor);
	else
		check_tell(check, CHECK_OK, "server_version", NULL, "%d.%d%s", major,
				   minor, server->in_recovery ? ", a standby" : "");
}

static void
check_wal_level(struct check *check, const struct check_server *server)
{
	const char *level = setting(server, "wal_level");
	bool enough = strcmp(level, "minimal") != 0;

	check_tell(check, enough ? CHECK_OK : CHECK_FAIL, "wal_level",
			   enough ? NULL : "Set wal_level = replica and restart.", "%s",
			   level);
}

static void
check_archive_mode(struct check *check, const struct check_server *server)
{
	const char *mode = setting(server, "archive_mode");

	if (strcmp(mode, "off") == 0)
		check_tell(check, CHECK_FAIL, "archive_mode",
				   "Set archive_mode = on and restart.", "off");
	else
		check_tell(check, CHECK_OK, "archive_mode", NULL, "%s", mode);
}

static void
check_archive_command(struct check *check, const struct check_server *server)
{
	static const char name[] = "archive_command";
	static const char set[] =
		"Set archive_command = 'wal-push %p', with its full path, and "
		"reload.";
	const char *library = setting(server, "archive_library");
	const char *command = setting(server, name);

	if (library[0] != '\0')
		check_tell(check, CHECK_FAIL, name,
				   "Clear archive_library, which wins over archive_command.",
				   "archive_library is \"%s\"", library);
	else if (command[0] == '\0' || strcmp(command, "(disabled)") == 0)
		check_tell(check, CHECK_FAIL, name, set, "not set");
	else if (strstr(command, "wal-push") == NULL)
		check_tell(check, CHECK_WARNING, name, set,
				   "\"%s\" does not call wal-push", command);
	else if (strstr(command, "%p") == NULL)
		check_tell(check, CHECK_FAIL, name, set, "\"%s\" lacks %%p", command);
	else if (strstr(command, "||") != NULL || strchr(command, ';') != NULL)
		check_tell(check, CHECK_WARNING, name,
				   "Make sure that the exit status is that of wal-push.",
				   "\"%s\" is more than one command", command);
	else
		check_tell(check, CHECK_OK, name, NULL, "\"%s\"", command);
}

static void
check_archive_timeout(struct check *check, const struct check_server *server)
{
	const char *seconds = setting(server, "archive_timeout");
	bool never = strcmp(seconds, "0") == 0;

	check_tell(check, never ? CHECK_WARNING : CHECK_OK, "archive_timeout",
			   never ? "Set archive_timeout = 300, for instance, and reload: "
					   "what is not archived is lost with the server."
					 : NULL,
			   "%s s%s", seconds,
			   never ? ": a quiet server archives nothing for hours" : "");
}

static void
check_max_wal_senders(struct check *check, const struct check_server *server)
{
	const char *text = setting(server, "max_wal_senders");
	uint64_t senders = 0;

	if (!parse_uint64(text, INT32_MAX, &senders) || senders == 0)
		check_tell(check, CHECK_FAIL, "max_wal_senders",
				   "A backup needs one: set max_wal_senders = 10 and restart.",
				   "%s", text);
	else
		check_tell(check, CHECK_OK, "max_wal_senders", NULL, "%s", text);
}

static void
check_checksums(struct check *check, const struct check_server *server)
{
	const char *state = setting(server, "data_checksums");
	bool on = strcmp(state, "on") == 0;

	check_tell(
		check, on ? CHECK_OK : CHECK_WARNING, "data_checksums",
		on ? NULL : "Stop the server and run \"pg_checksums --enable\".",
		"%s%s", state, on ? "" : ": damaged pages are backed up unnoticed");
}

/* 17.11 and 18.6 mended errors that could spoil native incrementals. */
static void
check_summarize_wal(struct check *check, const struct check_server *server)
{
	static const char name[] = "summarize_wal";
	int major = server->version / 10000;
	int minor = server->version % 10000;
	const char *state = setting(server, name);

	if (major < 17)
		return;
	if (strcmp(state, "on") != 0)
		check_tell(check, CHECK_WARNING, name,
				   "Set summarize_wal = on and reload: then the server sends "
				   "only changed blocks to a backup.",
				   "%s", state);
	else if ((major == 17 && minor < 11) || (major == 18 && minor < 6))
		check_tell(check, CHECK_WARNING, name,
				   "Update the server: until then backups read everything.",
				   "on, but %d.%d may make wrong incremental backups", major,
				   minor);
	else
		check_tell(check, CHECK_OK, name, NULL, "on");
}

/*
 * What a least-privileged role needs, and the statement that gives it: a row
 * each of name, granted, needed, what for, statement.  Whether configuration
 * lies outside the data directory (as Debian has it) is known only to a role
 * that may see where; otherwise it is assumed.
 */
static const char grants_sql[] =
	"WITH outside(yes) AS ("
	" SELECT coalesce(bool_or(NOT starts_with(f.path, d.setting || '/')),"
	" true)"
	" FROM (SELECT setting AS path FROM pg_settings"
	" WHERE name IN ('config_file', 'hba_file', 'ident_file')"
	" UNION SELECT sourcefile FROM pg_settings"
	" WHERE sourcefile IS NOT NULL) f, pg_settings d"
	" WHERE d.name = 'data_directory' AND f.path <> '') "
	"SELECT g.name, g.granted, g.needed, g.purpose,"
	" 'GRANT ' || g.what || ' TO ' || quote_ident(current_user) "
	"FROM outside, LATERAL (VALUES"
	" ('pg_read_all_settings',"
	" pg_has_role(current_user, 'pg_read_all_settings', 'USAGE'), true,"
	" 'record the settings and find the configuration files',"
	" 'pg_read_all_settings'),"
	" ('pg_read_server_files',"
	" pg_has_role(current_user, 'pg_read_server_files', 'USAGE'), yes,"
	" 'back up configuration files outside the data directory',"
	" 'pg_read_server_files'),"
	" ('pg_read_binary_file',"
	" has_function_privilege('pg_read_binary_file(text)', 'EXECUTE'), yes,"
	" 'back up configuration files outside the data directory',"
	" 'EXECUTE ON FUNCTION pg_read_binary_file(text)'),"
	" ('pg_switch_wal',"
	" has_function_privilege('pg_switch_wal()', 'EXECUTE'), true,"
	" 'force a WAL switch in this check',"
	" 'EXECUTE ON FUNCTION pg_switch_wal()'),"
	" ('pg_create_restore_point',"
	" has_function_privilege('pg_create_restore_point(text)', 'EXECUTE'),"
	" true, 'name moments to recover to',"
	" 'EXECUTE ON FUNCTION pg_create_restore_point(text)'))"
	" AS g(name, granted, needed, purpose, what)";

static void
check_grants(struct check *check, const struct check_server *server)
{
	struct pgresult *res;
	struct err err;

	if (ask(server, grants_sql, &res, &err) != ST_OK)
	{
		check_tell_err(check, CHECK_FAIL, "grants", &err);
		return;
	}
	for (size_t i = 0; i < pgresult_rows(res); i++)
	{
		const char *name = pgresult_value(res, i, 0);
		char advice[ERR_HINT_MAX];

		(void) snprintf(advice, sizeof(advice),
						"Run: %s (in the database that walship connects to).",
						pgresult_value(res, i, 4));
		if (strcmp(pgresult_value(res, i, 1), "t") == 0)
			check_tell(check, CHECK_OK, name, NULL, "granted");
		else if (strcmp(pgresult_value(res, i, 2), "t") != 0)
			check_tell(check, CHECK_OK, name, NULL,
					   "not granted, and not needed: the configuration lies "
					   "in the data directory");
		else
			check_tell(check, CHECK_WARNING, name, advice,
					   "not granted, but needed to %s",
					   pgresult_value(res, i, 3));
	}
	pgresult_free(res);
}

/* Opens the connection and reads the settings.  False if told that not. */
static bool
connect_server(struct check *check, struct pg_options *opts,
			   const struct config *cfg, struct check_server *server)
{
	static const char sql[] =
		"SELECT name, setting FROM pg_catalog.pg_settings";
	const char *recovery;
	struct err err;

	if (pgconn_open(opts, PG_ORDINARY, cfg->connect_timeout_ms, &server->conn,
					&err) != ST_OK)
	{
		server->conn = NULL;
		check_tell_err(check, CHECK_FAIL, "connection", &err);
		return false;
	}
	if (ask(server, sql, &server->settings, &err) != ST_OK)
	{
		server->settings = NULL;
		check_tell_err(check, CHECK_FAIL, "connection", &err);
		check_server_close(server);
		return false;
	}
	server->version = pgconn_server_version(server->conn);
	recovery = setting(server, "in_hot_standby");
	server->in_recovery = strcmp(recovery, "on") == 0;
	return true;
}

void
check_server(struct check *check, struct pg_options *opts,
			 const struct config *cfg, struct check_server *server)
{
	static void (*const checks[])(struct check *,
								  const struct check_server *) = {
		check_version,         check_wal_level,       check_archive_mode,
		check_archive_command, check_archive_timeout, check_max_wal_senders,
		check_checksums,       check_summarize_wal,   check_grants,
	};

	if (!connect_server(check, opts, cfg, server))
		return;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](check, server);
}

void
check_server_close(struct check_server *server)
{
	pgresult_free(server->settings);
	server->settings = NULL;
	if (server->conn != NULL)
		pgconn_close(server->conn);
	server->conn = NULL;
}
