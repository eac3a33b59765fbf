/*
 * server_config.c - configuration files from outside the data directory
 */
#include "basebackup/server_facts.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

/* A configuration file larger than that is none. */
#define CONFIG_BYTES_MAX ((size_t) 16 << 20)

/*
 * Where configuration comes from, as far as the role may know: the three
 * files themselves, and the files that settings were read from, which names
 * most of what include and include_dir brought in.
 */
static const char settings_sql[] =
	"SELECT setting AS path FROM pg_catalog.pg_settings"
	" WHERE name IN ('config_file', 'hba_file', 'ident_file')"
	" UNION SELECT sourcefile FROM pg_catalog.pg_settings";

/* Views that name the rest, for a role that may read them. */
static const struct
{
	int version; /* since when the view names files */
	const char *view;
	const char *function;
	const char *sql;
} views[] = {
	{0, "pg_catalog.pg_file_settings",
	 "pg_catalog.pg_show_all_file_settings()",
	 " UNION SELECT sourcefile FROM pg_catalog.pg_file_settings"},
	{160000, "pg_catalog.pg_hba_file_rules", "pg_catalog.pg_hba_file_rules()",
	 " UNION SELECT file_name FROM pg_catalog.pg_hba_file_rules"},
	{160000, "pg_catalog.pg_ident_file_mappings",
	 "pg_catalog.pg_ident_file_mappings()",
	 " UNION SELECT file_name FROM pg_catalog.pg_ident_file_mappings"},
};

static enum status
may_read(struct pgconn *conn, const struct deadline *deadline,
		 const char *view, const char *function, bool *may, struct err *err)
{
	const char *params[2] = {view, function};
	struct pgresult *res = NULL;
	const char *value;
	enum status status = pgconn_query(
		conn,
		"SELECT pg_catalog.has_table_privilege($1::pg_catalog.text, 'SELECT')"
		" AND pg_catalog.has_function_privilege($2::pg_catalog.text,"
		" 'EXECUTE')",
		2, params, deadline, &res, err);

	if (status != ST_OK)
		return status;
	value = pgresult_value(res, 0, 0);
	*may = value != NULL && strcmp(value, "t") == 0;
	pgresult_free(res);
	return ST_OK;
}

/* Paths, and whether each lies in the data directory. */
static enum status
find_files(struct pgconn *conn, const struct deadline *deadline,
		   struct pgresult **out, struct err *err)
{
	char sql[2048];
	size_t n = (size_t) snprintf(
		sql, sizeof(sql),
		"SELECT f.path, pg_catalog.starts_with(f.path, d.setting || '/')"
		" FROM pg_catalog.pg_settings d, (%s",
		settings_sql);

	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
	{
		bool may = false;
		enum status status = ST_OK;

		if (pgconn_server_version(conn) >= views[i].version)
			status = may_read(conn, deadline, views[i].view, views[i].function,
							  &may, err);
		if (status != ST_OK)
			return status;
		if (may)
			n += (size_t) snprintf(sql + n, sizeof(sql) - n, "%s",
								   views[i].sql);
	}
	(void) snprintf(sql + n, sizeof(sql) - n,
					") f WHERE d.name = 'data_directory' AND f.path <> ''"
					" ORDER BY f.path");
	return pgconn_query(conn, sql, 0, NULL, deadline, out, err);
}

/* Stores one; *readable: go on with the next. */
static enum status
store_file(struct pgconn *conn, const struct deadline *deadline,
		   struct pack_writer *packs, struct manifest_writer *manifest,
		   const char *path, bool *readable, struct err *err)
{
	struct pgresult *res = NULL;
	const struct stored_file *file = NULL;
	const char *params[1] = {path};
	struct err why;
	size_t len;
	enum status status =
		pgconn_query_binary(conn, "SELECT pg_catalog.pg_read_binary_file($1)",
							1, params, deadline, &res, &why);

	*readable = status != ST_AUTH;
	if (status == ST_CANCELLED || status == ST_DEADLINE)
	{
		*err = why;
		return status;
	}
	if (status == ST_AUTH)
		(void) err_hint(&why, "The backup goes on without it. To include it: "
							  "GRANT pg_read_server_files TO the role; GRANT "
							  "EXECUTE ON FUNCTION pg_read_binary_file(text) "
							  "TO the role.");
	if (status != ST_OK)
	{
		(void) err_context(&why, "configuration file \"%s\"", path);
		log_err_warning(&why);
		return ST_OK;
	}
	len = pgresult_length(res, 0, 0);
	if (len > CONFIG_BYTES_MAX || pgresult_value(res, 0, 0) == NULL)
	{
		log_warning("configuration file \"%s\" is left out: it has %zu bytes",
					path, len);
		pgresult_free(res);
		return ST_OK;
	}
	status = pack_file_begin(packs, path, len, err);
	if (status == ST_OK)
		status = pack_file_data(packs, pgresult_value(res, 0, 0), len, err);
	if (status == ST_OK)
		status = pack_file_end(packs, &file, err);
	if (status == ST_OK)
		status = manifest_add_config(manifest, path, file, err);
	pgresult_free(res);
	return status;
}

enum status
server_config_store(struct pgconn *conn, const struct deadline *deadline,
					struct pack_writer *packs,
					struct manifest_writer *manifest, struct err *err)
{
	struct pgresult *res = NULL;
	bool readable = true;
	enum status status = find_files(conn, deadline, &res, err);

	if (status != ST_OK)
		return status;
	if (pgresult_rows(res) == 0)
		log_warning("configuration files outside the data directory are not "
					"looked for: GRANT pg_read_all_settings TO the role");
	for (size_t i = 0; i < pgresult_rows(res) && status == ST_OK && readable;
		 i++)
	{
		const char *path = pgresult_value(res, i, 0);
		const char *inside = pgresult_value(res, i, 1);

		if (path != NULL && path[0] == '/' && inside != NULL &&
			strcmp(inside, "t") != 0)
			status = store_file(conn, deadline, packs, manifest, path,
								&readable, err);
	}
	pgresult_free(res);
	return status;
}
