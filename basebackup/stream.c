/*
 * stream.c - BASE_BACKUP: what the server answers
 */
#include "basebackup/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/walname.h"

/*
 * How long the server may take for the checkpoint it begins with: a spread
 * one follows checkpoint_timeout, which can be a day.
 */
#define CHECKPOINT_WAIT_MS ((int64_t) 26 * 60 * 60 * 1000)

#define TABLESPACES_MAX 100000

/* The SQLSTATE of a failure that is only found at the end. */
#define DATA_CORRUPTED "XX001"

struct stream
{
	struct pgconn *conn;
	struct stream_options options;
	struct stream_start start;
};

/* Takes a zero-terminated string from *p; NULL if there is none. */
static const char *
take_string(const uint8_t **p, size_t *left)
{
	const uint8_t *text = *p;
	const uint8_t *end = memchr(text, '\0', *left);

	if (end == NULL)
		return NULL;
	*left -= (size_t) (end - text) + 1;
	*p = end + 1;
	return (const char *) text;
}

static enum status
parse_archive_message(const uint8_t *p, size_t left, struct stream_event *out,
					  struct err *err)
{
	out->kind = STREAM_ARCHIVE;
	out->archive = take_string(&p, &left);
	out->location = out->archive == NULL ? NULL : take_string(&p, &left);
	if (out->location == NULL || left != 0)
		return err_set(err, ST_CORRUPT,
					   "malformed archive message in the backup stream");
	return ST_OK;
}

static enum status
parse_progress_message(const uint8_t *p, size_t left, struct stream_event *out,
					   struct err *err)
{
	if (left != 8)
		return err_set(err, ST_CORRUPT,
					   "malformed progress message in the backup stream");
	out->kind = STREAM_PROGRESS;
	for (size_t i = 0; i < 8; i++)
		out->progress = out->progress << 8 | p[i];
	return ST_OK;
}

enum status
stream_parse_message(const uint8_t *data, size_t len, struct stream_event *out,
					 struct err *err)
{
	memset(out, 0, sizeof(*out));
	if (len == 0)
		return err_set(err, ST_CORRUPT, "empty message in the backup stream");
	switch (data[0])
	{
		case 'n':
			return parse_archive_message(data + 1, len - 1, out, err);
		case 'm':
			out->kind = STREAM_MANIFEST;
			if (len != 1)
				return err_set(
					err, ST_CORRUPT,
					"malformed manifest message in the backup stream");
			return ST_OK;
		case 'd':
			out->kind = STREAM_DATA;
			out->data = data + 1;
			out->len = len - 1;
			return ST_OK;
		case 'p':
			return parse_progress_message(data + 1, len - 1, out, err);
		default:
			return err_set(err, ST_CORRUPT,
						   "unknown message type %u in the backup stream",
						   (unsigned) data[0]);
	}
}

bool
stream_parse_archive(const char *archive, bool lz4, uint32_t *oid)
{
	const char *suffix = lz4 ? ".tar.lz4" : ".tar";
	char digits[11];
	size_t n = strspn(archive, "0123456789");
	uint64_t value;

	if (strncmp(archive, "base", 4) == 0 && strcmp(archive + 4, suffix) == 0)
	{
		*oid = 0;
		return true;
	}
	if (n == 0 || n >= sizeof(digits) || strcmp(archive + n, suffix) != 0)
		return false;
	memcpy(digits, archive, n);
	digits[n] = '\0';
	if (!parse_uint64(digits, UINT32_MAX, &value) || value == 0)
		return false;
	*oid = (uint32_t) value;
	return true;
}

/* Appends text between quotes that the replication grammar understands. */
static void
append_quoted(char *out, size_t size, const char *text)
{
	size_t n = strlen(out);

	if (n + 2 >= size)
		return;
	out[n++] = '\'';
	for (; *text != '\0' && n + 3 < size; text++)
	{
		if (*text == '\'')
			out[n++] = '\'';
		out[n++] = *text;
	}
	out[n++] = '\'';
	out[n] = '\0';
}

static void
build_command(const struct stream_options *o, char *out, size_t size)
{
	size_t n;

	(void) snprintf(out, size, "BASE_BACKUP (LABEL ");
	append_quoted(out, size, o->label);
	n = strlen(out);
	n += (size_t) snprintf(
		out + n, size - n,
		", PROGRESS true, CHECKPOINT '%s', WAIT false, WAL false, "
		"TABLESPACE_MAP false, VERIFY_CHECKSUMS %s, MANIFEST 'yes', "
		"MANIFEST_CHECKSUMS 'CRC32C'",
		o->fast_checkpoint ? "fast" : "spread",
		o->verify_checksums ? "true" : "false");
	if (o->incremental)
		n += (size_t) snprintf(out + n, size - n, ", INCREMENTAL true");
	if (o->lz4)
		n += (size_t) snprintf(out + n, size - n, ", COMPRESSION 'lz4'");
	if (o->max_rate_kb > 0)
		n += (size_t) snprintf(out + n, size - n, ", MAX_RATE %u",
							   o->max_rate_kb);
	(void) snprintf(out + n, size - n, ")");
}

static struct deadline
wait_until(const struct stream *s)
{
	return deadline_in(s->options.wait_ms, s->options.cancel);
}

/* Rows are expected next. */
static enum status
expect_rows(struct stream *s, size_t columns, struct deadline deadline,
			struct pgresult **rows, struct err *err)
{
	enum pg_next next;
	enum status status = pgconn_next(s->conn, &deadline, &next, rows, err);

	if (status != ST_OK)
		return status;
	if (next != PG_ROWS)
		return err_set(err, ST_SERVER,
					   "unexpected answer of the server to BASE_BACKUP");
	if (pgresult_columns(*rows) < columns)
	{
		pgresult_free(*rows);
		*rows = NULL;
		return err_set(err, ST_SERVER,
					   "unexpected columns in the server's answer to "
					   "BASE_BACKUP");
	}
	return ST_OK;
}

/* A row of LSN and timeline, at the backup's start and at its end. */
static enum status
take_position(struct stream *s, struct deadline deadline, uint64_t *lsn,
			  uint32_t *timeline, struct err *err)
{
	struct pgresult *rows = NULL;
	enum status status = expect_rows(s, 2, deadline, &rows, err);
	const char *text[2] = {NULL, NULL};
	uint64_t tli;

	if (status != ST_OK)
		return status;
	if (pgresult_rows(rows) == 1)
	{
		text[0] = pgresult_value(rows, 0, 0);
		text[1] = pgresult_value(rows, 0, 1);
	}
	if (text[0] == NULL || text[1] == NULL || !lsn_parse(text[0], lsn) ||
		!parse_uint64(text[1], UINT32_MAX, &tli) || tli == 0)
		status = err_set(err, ST_SERVER,
						 "the server told no position of the backup");
	else
		*timeline = (uint32_t) tli;
	pgresult_free(rows);
	return status;
}

static enum status
keep_tablespace(struct stream *s, const struct pgresult *rows, size_t row,
				struct err *err)
{
	const char *oid = pgresult_value(rows, row, 0);
	const char *location = pgresult_value(rows, row, 1);
	const char *size_kb = pgresult_value(rows, row, 2);
	struct stream_tablespace ts;
	uint64_t value;

	if (size_kb != NULL && parse_uint64(size_kb, UINT64_MAX / 1024, &value))
		s->start.total_bytes += value * 1024;
	if (oid == NULL)
		return ST_OK; /* the data directory itself */
	if (location == NULL || !parse_uint64(oid, UINT32_MAX, &value) ||
		value == 0)
		return err_set(err, ST_SERVER, "the server told a bad tablespace");
	ts.oid = (uint32_t) value;
	ts.location = strdup(location);
	if (ts.location == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	s->start.tablespaces[s->start.ntablespaces++] = ts;
	return ST_OK;
}

static enum status
keep_tablespaces(struct stream *s, const struct pgresult *rows,
				 struct err *err)
{
	size_t n = pgresult_rows(rows);
	struct stream_tablespace *list;
	enum status status = ST_OK;

	if (n > TABLESPACES_MAX)
		return err_set(err, ST_SERVER, "too many tablespaces");
	list = calloc(n + 1, sizeof(*list));
	if (list == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	s->start.tablespaces = list;
	for (size_t i = 0; status == ST_OK && i < n; i++)
		status = keep_tablespace(s, rows, i, err);
	return status;
}

static enum status
take_tablespaces(struct stream *s, struct err *err)
{
	struct pgresult *rows = NULL;
	enum status status = expect_rows(s, 3, wait_until(s), &rows, err);

	if (status != ST_OK)
		return status;
	status = keep_tablespaces(s, rows, err);
	pgresult_free(rows);
	return status;
}

static enum status
begin(struct stream *s, struct err *err)
{
	char command[2048];
	enum pg_next next;
	struct pgresult *rows = NULL;
	struct deadline deadline;
	enum status status;

	build_command(&s->options, command, sizeof(command));
	status = pgconn_send(s->conn, command, err);
	if (status == ST_OK)
		status = take_position(
			s, deadline_in(CHECKPOINT_WAIT_MS, s->options.cancel),
			&s->start.lsn, &s->start.timeline, err);
	if (status == ST_OK)
		status = take_tablespaces(s, err);
	if (status != ST_OK)
		return status;
	deadline = wait_until(s);
	status = pgconn_next(s->conn, &deadline, &next, &rows, err);
	if (status == ST_OK && next != PG_COPY_OUT)
		status = err_set(err, ST_SERVER,
						 "unexpected answer of the server to BASE_BACKUP");
	pgresult_free(rows);
	return status;
}

enum status
stream_begin(struct pgconn *conn, const struct stream_options *options,
			 struct stream **out, struct err *err)
{
	struct stream *s = calloc(1, sizeof(*s));
	enum status status;

	if (s == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	s->conn = conn;
	s->options = *options;
	pgconn_forget_warning(conn);
	status = begin(s, err);
	if (status != ST_OK)
	{
		stream_free(s);
		return status;
	}
	*out = s;
	return ST_OK;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->start.ntablespaces; i++)
		free(s->start.tablespaces[i].location);
	free(s->start.tablespaces);
	free(s);
}

const struct stream_start *
stream_start(const struct stream *s)
{
	return &s->start;
}

static enum status
silent(const struct stream *s, struct err *err)
{
	(void) err_set(err, ST_DEADLINE, "the server has sent nothing for %lld s",
				   (long long) (s->options.wait_ms / 1000));
	return err_hint(err, "command_timeout says how long that may last.");
}

enum status
stream_next(struct stream *s, struct stream_event *out, struct err *err)
{
	struct deadline deadline = wait_until(s);
	const uint8_t *data;
	size_t len;
	enum status status =
		pgconn_copy_read(s->conn, &deadline, &data, &len, err);

	if (status == ST_DEADLINE)
		return silent(s, err);
	if (status != ST_OK)
		return status;
	if (data == NULL)
	{
		memset(out, 0, sizeof(*out));
		out->kind = STREAM_END;
		return ST_OK;
	}
	return stream_parse_message(data, len, out, err);
}

/* The server names the file in a warning and only fails at the very end. */
static enum status
explain_failure(const struct stream *s, struct err *err)
{
	if (err->status == ST_DEADLINE)
		return silent(s, err);
	if (pgconn_warning(s->conn)[0] != '\0' && err->detail[0] == '\0')
		(void) err_detail(err, "The server's first warning was: %s",
						  pgconn_warning(s->conn));
	if (strcmp(pgconn_sqlstate(s->conn), DATA_CORRUPTED) == 0)
		(void) err_hint(err, "Older backups may have these pages intact: see "
							 "that they do not expire. "
							 "--no-verify-checksums keeps a backup with such "
							 "pages, marked as not verified.");
	return err->status;
}

enum status
stream_finish(struct stream *s, uint64_t *end_lsn, uint32_t *end_timeline,
			  struct err *err)
{
	enum status status =
		take_position(s, wait_until(s), end_lsn, end_timeline, err);

	while (status == ST_OK)
	{
		struct deadline deadline = wait_until(s);
		struct pgresult *rows = NULL;
		enum pg_next next = PG_NONE;

		status = pgconn_next(s->conn, &deadline, &next, &rows, err);
		pgresult_free(rows);
		if (status == ST_OK && next == PG_NONE)
			return ST_OK;
		if (status == ST_OK && next != PG_COMMAND)
			status = err_set(err, ST_SERVER,
							 "unexpected answer of the server at the end of "
							 "BASE_BACKUP");
	}
	return explain_failure(s, err);
}
