/*
 * server_facts.c - what a backup records about its server
 */
#include "basebackup/server_facts.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "basebackup/json.h"
#include "common/cli.h"
#include "common/log.h"
#include "common/walname.h"

/* One value of one row; *res holds it. */
static enum status
one_value(struct pgconn *conn, const char *sql,
		  const struct deadline *deadline, struct pgresult **res,
		  const char **value, struct err *err)
{
	enum status status = pgconn_query(conn, sql, 0, NULL, deadline, res, err);

	if (status != ST_OK)
		return status;
	*value = pgresult_rows(*res) == 1 && pgresult_columns(*res) >= 1
				 ? pgresult_value(*res, 0, 0)
				 : NULL;
	if (*value != NULL)
		return ST_OK;
	pgresult_free(*res);
	*res = NULL;
	return err_set(err, ST_SERVER, "the server gave no answer to \"%s\"", sql);
}

enum status
server_show(struct pgconn *conn, const char *name,
			const struct deadline *deadline, char out[32], struct err *err)
{
	struct pgresult *res = NULL;
	const char *value;
	char sql[64];
	enum status status;

	(void) snprintf(sql, sizeof(sql), "SHOW %s", name);
	status = one_value(conn, sql, deadline, &res, &value, err);
	if (status == ST_OK)
		(void) snprintf(out, 32, "%s", value);
	pgresult_free(res);
	return status;
}

/* "16MB" or "1GB", as the server shows it. */
static bool
parse_segment_size(const char *text, uint32_t *out)
{
	size_t digits = strspn(text, "0123456789");
	char number[16];
	uint64_t value;
	unsigned shift;

	if (digits == 0 || digits >= sizeof(number))
		return false;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (strcmp(text + digits, "MB") == 0)
		shift = 20;
	else if (strcmp(text + digits, "GB") == 0)
		shift = 30;
	else
		return false;
	if (!parse_uint64(number, 4096, &value) ||
		!wal_segment_size_valid(value << shift))
		return false;
	*out = (uint32_t) (value << shift);
	return true;
}

static bool
parse_octal(const char *text, uint32_t *out)
{
	*out = 0;
	if (*text == '\0' || strlen(text) > 5)
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '7')
			return false;
		*out = *out << 3 | (uint32_t) (*text - '0');
	}
	return true;
}

enum status
server_identify(struct pgconn *conn, const struct deadline *deadline,
				struct server_facts *out, struct err *err)
{
	struct pgresult *res = NULL;
	enum status status =
		pgconn_query(conn, "IDENTIFY_SYSTEM", 0, NULL, deadline, &res, err);
	const char *value[3] = {NULL, NULL, NULL};
	uint64_t timeline;

	if (status != ST_OK)
		return status;
	for (size_t i = 0;
		 i < 3 && pgresult_rows(res) == 1 && pgresult_columns(res) >= 3; i++)
		value[i] = pgresult_value(res, 0, i);
	if (value[0] == NULL || value[1] == NULL || value[2] == NULL ||
		!parse_system_identifier(value[0], &out->system_identifier) ||
		!parse_uint64(value[1], UINT32_MAX, &timeline) || timeline == 0 ||
		!lsn_parse(value[2], &out->lsn))
		status =
			err_set(err, ST_SERVER, "the server did not identify its cluster");
	else
		out->timeline = (uint32_t) timeline;
	pgresult_free(res);
	return status;
}

static enum status
check_version(int version, struct err *err)
{
	int major = version / 10000;

	if (major >= SERVER_MAJOR_MIN && major <= SERVER_MAJOR_MAX)
		return ST_OK;
	return err_set(err, ST_CONFIG,
				   "cannot back up PostgreSQL %d: only versions %d to %d are "
				   "supported",
				   major, SERVER_MAJOR_MIN, SERVER_MAJOR_MAX);
}

/* A backup that would wait for its WAL in vain says so before it begins. */
static enum status
check_archiving(struct pgconn *conn, const struct server_facts *facts,
				const struct deadline *deadline, struct err *err)
{
	char mode[32];
	enum status status =
		server_show(conn, "archive_mode", deadline, mode, err);

	if (status == ST_OK && !facts->from_standby && strcmp(mode, "off") == 0)
		log_warning("archive_mode is off: the backup will wait for WAL that "
					"something else must bring into the archive");
	return status;
}

enum status
server_facts_read(struct pgconn *conn, const struct deadline *deadline,
				  struct server_facts *out, struct err *err)
{
	const char *standby = pgconn_parameter(conn, "in_hot_standby");
	char segment[32];
	char page[32];
	char checksums[32];
	char mode[32];
	uint64_t page_size = 0;
	enum status status;

	memset(out, 0, sizeof(*out));
	out->version = pgconn_server_version(conn);
	out->from_standby = standby != NULL && strcmp(standby, "on") == 0;
	status = check_version(out->version, err);
	if (status == ST_OK)
		status = server_identify(conn, deadline, out, err);
	if (status == ST_OK)
		status = server_show(conn, "wal_segment_size", deadline, segment, err);
	if (status == ST_OK)
		status = server_show(conn, "block_size", deadline, page, err);
	if (status == ST_OK)
		status = server_show(conn, "data_checksums", deadline, checksums, err);
	if (status == ST_OK)
		status = server_show(conn, "data_directory_mode", deadline, mode, err);
	if (status == ST_OK)
		status = check_archiving(conn, out, deadline, err);
	if (status != ST_OK)
		return status;
	if (!parse_segment_size(segment, &out->wal_segment_size) ||
		!parse_uint64(page, 65536, &page_size) ||
		!parse_octal(mode, &out->data_directory_mode))
		return err_set(err, ST_SERVER,
					   "the server shows an unexpected wal_segment_size, "
					   "block_size or data_directory_mode");
	out->page_size = (uint32_t) page_size;
	out->data_checksums = strcmp(checksums, "on") == 0;
	return ST_OK;
}

enum status
server_clock_read(struct pgconn *conn, const struct deadline *deadline,
				  int64_t *out, struct err *err)
{
	struct pgresult *res = NULL;
	const char *value;
	uint64_t seconds;
	enum status status =
		one_value(conn,
				  "SELECT pg_catalog.ceil(pg_catalog.date_part('epoch', "
				  "pg_catalog.clock_timestamp()))::pg_catalog.int8",
				  deadline, &res, &value, err);

	if (status != ST_OK)
		return status;
	if (parse_uint64(value, INT64_MAX, &seconds))
		*out = (int64_t) seconds;
	else
		status = err_set(err, ST_SERVER, "the server told no time");
	pgresult_free(res);
	return status;
}

static bool
contains(const char *text, const char *word)
{
	return strcasestr(text, word) != NULL;
}

bool
setting_is_secret(const char *name, const char *value)
{
	static const char *const names[] = {"primary_conninfo",
										"ssl_passphrase_command"};
	/* For the settings of extensions, which nobody can list. */
	static const char *const words[] = {
		"password", "passwd",     "passphrase", "secret",
		"token",    "credential", "conninfo",   "private_key",
		"api_key",  "apikey",     "access_key", "encryption_key"};
	/* As environment, conninfo or option of a command. */
	static const char *const values[] = {
		"password=", "passwd=", "secret=", "token=", "_key=", "passphrase"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (strchr(name, '.') != NULL && contains(name, words[i]))
			return true;
	}
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
	{
		if (contains(value, values[i]))
			return true;
	}
	/* A URI may carry a password in front of the host. */
	return contains(value, "://") && strchr(value, '@') != NULL;
}

enum status
server_settings_record(struct pgconn *conn, const struct deadline *deadline,
					   struct manifest_writer *manifest, struct err *err)
{
	struct pgresult *res = NULL;
	enum status status =
		pgconn_query(conn,
					 "SELECT name, setting, source FROM pg_catalog.pg_settings"
					 " WHERE setting IS NOT NULL"
					 " AND source NOT IN ('client', 'session', 'interactive')"
					 " ORDER BY name",
					 0, NULL, deadline, &res, err);

	if (status != ST_OK)
		return status;
	for (size_t i = 0; i < pgresult_rows(res) && status == ST_OK; i++)
	{
		const char *name = pgresult_value(res, i, 0);
		const char *value = pgresult_value(res, i, 1);
		const char *source = pgresult_value(res, i, 2);

		if (setting_is_secret(name, value) ||
			!utf8_valid(value, strlen(value)))
			log_debug("setting \"%s\" is left out of the backup's record",
					  name);
		else
			status = manifest_add_setting(manifest, name, value, source, err);
	}
	pgresult_free(res);
	return status;
}
