/*
 * native.c - incremental backups that the server makes
 */
#include "basebackup/native.h"

#include <stdio.h>
#include <string.h>

#include "basebackup/server_facts.h"
#include "common/cli.h"

#define FIRST_MAJOR 17

/* From which minor release on a major one is trusted; 0: from its first. */
static int
first_good_minor(int major)
{
	switch (major)
	{
		case 17:
			return 11;
		case 18:
			return 6;
		default:
			return 0;
	}
}

bool
native_version_good(int version, char why[NATIVE_WHY_MAX])
{
	int major = version / 10000;
	int minor = version % 10000;

	if (major < FIRST_MAJOR)
	{
		(void) snprintf(why, NATIVE_WHY_MAX,
						"PostgreSQL %d makes no incremental backups", major);
		return false;
	}
	if (minor < first_good_minor(major))
	{
		(void) snprintf(why, NATIVE_WHY_MAX,
						"incremental backups of PostgreSQL %d.%d may be "
						"wrong, %d.%d mended that",
						major, minor, major, first_good_minor(major));
		return false;
	}
	return true;
}

/* "1GB", "16kB" and the like, as the server shows them, in bytes. */
static bool
parse_size(const char *text, uint64_t *out)
{
	static const struct
	{
		const char *unit;
		unsigned shift;
	} units[] = {{"B", 0}, {"kB", 10}, {"MB", 20}, {"GB", 30}, {"TB", 40}};
	size_t digits = strspn(text, "0123456789");
	char number[12];
	uint64_t value;

	if (digits == 0 || digits >= sizeof(number))
		return false;
	memcpy(number, text, digits);
	number[digits] = '\0';
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		if (!parse_uint64(number, UINT64_MAX >> 44, &value))
			return false;
		*out = value << units[i].shift;
		return true;
	}
	return false;
}

enum status
native_ask(struct pgconn *conn, uint32_t page_size,
		   const struct deadline *deadline, bool *good, uint32_t *pages_max,
		   char why[NATIVE_WHY_MAX], struct err *err)
{
	char text[32];
	uint64_t segment;
	enum status status;

	*good = native_version_good(pgconn_server_version(conn), why);
	if (!*good)
		return ST_OK;
	status = server_show(conn, "summarize_wal", deadline, text, err);
	if (status != ST_OK)
		return status;
	if (strcmp(text, "on") != 0)
	{
		*good = false;
		(void) snprintf(why, NATIVE_WHY_MAX,
						"summarize_wal is off on the server");
		return ST_OK;
	}
	status = server_show(conn, "segment_size", deadline, text, err);
	if (status != ST_OK)
		return status;
	if (!parse_size(text, &segment) || page_size == 0 ||
		segment / page_size == 0 || segment / page_size > UINT32_MAX)
		return err_set(err, ST_SERVER,
					   "the server shows the unexpected segment_size \"%s\"",
					   text);
	*pages_max = (uint32_t) (segment / page_size);
	return ST_OK;
}

static enum status
take_next(struct pgconn *conn, const struct deadline *deadline,
		  enum pg_next expected, struct err *err)
{
	struct pgresult *rows = NULL;
	enum pg_next next = PG_NONE;
	enum status status = pgconn_next(conn, deadline, &next, &rows, err);

	pgresult_free(rows);
	if (status == ST_OK && next != expected)
		status = err_set(err, ST_SERVER,
						 "unexpected answer of the server to "
						 "UPLOAD_MANIFEST");
	return status;
}

enum status
native_upload_begin(struct pgconn *conn, const struct deadline *deadline,
					struct err *err)
{
	enum status status = pgconn_send(conn, "UPLOAD_MANIFEST", err);

	if (status != ST_OK)
		return status;
	return take_next(conn, deadline, PG_COPY_IN, err);
}

enum status
native_upload_data(struct pgconn *conn, const struct deadline *deadline,
				   const void *data, size_t len, struct err *err)
{
	return pgconn_copy_write(conn, deadline, data, len, err);
}

enum status
native_upload_end(struct pgconn *conn, const struct deadline *deadline,
				  struct err *err)
{
	enum status status = pgconn_copy_end(conn, deadline, err);

	if (status != ST_OK)
		return status;
	status = take_next(conn, deadline, PG_COMMAND, err);
	return status == ST_OK ? pgconn_drain(conn, deadline, err) : status;
}

size_t
native_strip_label(char *text, size_t len)
{
	static const char *const lines[] = {"INCREMENTAL FROM LSN: ",
										"INCREMENTAL FROM TLI: "};
	size_t kept = 0;
	size_t at = 0;

	while (at < len)
	{
		const char *newline = memchr(text + at, '\n', len - at);
		size_t n =
			newline == NULL ? len - at : (size_t) (newline - text) - at + 1;
		bool strip = false;

		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
			strip =
				strip || (n >= strlen(lines[i]) &&
						  memcmp(text + at, lines[i], strlen(lines[i])) == 0);
		if (!strip)
		{
			memmove(text + kept, text + at, n);
			kept += n;
		}
		at += n;
	}
	return kept;
}
