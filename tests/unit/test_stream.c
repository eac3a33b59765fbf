#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/stream.h"

static enum status
parse(const char *data, size_t len, struct stream_event *event)
{
	struct err err;

	return stream_parse_message((const uint8_t *) data, len, event, &err);
}

static void
test_messages(void **state)
{
	static const char archive[] = "n16384.tar\0/srv/ts";
	struct stream_event e;

	(void) state;
	assert_int_equal(parse(archive, sizeof(archive), &e), ST_OK);
	assert_int_equal(e.kind, STREAM_ARCHIVE);
	assert_string_equal(e.archive, "16384.tar");
	assert_string_equal(e.location, "/srv/ts");
	assert_int_equal(parse("nbase.tar\0", 11, &e), ST_OK);
	assert_string_equal(e.location, "");
	assert_int_equal(parse("m", 1, &e), ST_OK);
	assert_int_equal(e.kind, STREAM_MANIFEST);
	assert_int_equal(parse("dabc", 4, &e), ST_OK);
	assert_int_equal(e.kind, STREAM_DATA);
	assert_int_equal(e.len, 3);
	assert_memory_equal(e.data, "abc", 3);
	assert_int_equal(parse("d", 1, &e), ST_OK);
	assert_int_equal(e.len, 0);
	assert_int_equal(parse("p\1\2\3\4\5\6\7\10", 9, &e), ST_OK);
	assert_int_equal(e.kind, STREAM_PROGRESS);
	assert_true(e.progress == UINT64_C(0x0102030405060708));
}

static void
test_malformed_refused(void **state)
{
	struct stream_event e;

	(void) state;
	assert_int_equal(parse("", 0, &e), ST_CORRUPT);
	assert_int_equal(parse("x", 1, &e), ST_CORRUPT);
	assert_int_equal(parse("mm", 2, &e), ST_CORRUPT);
	assert_int_equal(parse("p1234567", 8, &e), ST_CORRUPT);
	assert_int_equal(parse("p123456789", 10, &e), ST_CORRUPT);
	assert_int_equal(parse("n", 1, &e), ST_CORRUPT);
	assert_int_equal(parse("nbase.tar", 9, &e), ST_CORRUPT);
	assert_int_equal(parse("nbase.tar\0", 10, &e), ST_CORRUPT);
	assert_int_equal(parse("nbase.tar\0x", 11, &e), ST_CORRUPT);
	assert_int_equal(parse("nbase.tar\0\0x", 12, &e), ST_CORRUPT);
}

static void
test_archive_names(void **state)
{
	static const char *const bad[] = {
		"",           "base",           "base.tar.lz4",
		"16384",      "16384.tar.gz",   "0.tar",
		"-1.tar",     "4294967296.tar", "99999999999.tar",
		"x16384.tar", ".tar",           "16384 .tar"};
	uint32_t oid = 7;

	(void) state;
	assert_true(stream_parse_archive("base.tar", false, &oid));
	assert_int_equal(oid, 0);
	assert_true(stream_parse_archive("16384.tar", false, &oid));
	assert_int_equal(oid, 16384);
	assert_true(stream_parse_archive("4294967295.tar", false, &oid));
	assert_int_equal(oid, 4294967295U);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(stream_parse_archive(bad[i], false, &oid));
}

/* --- a server by script ---------------------------------------------------
 */

struct pgresult
{
	const char *values[3]; /* one row; NULL in the first: none */
};

/* What the server says next. */
struct step
{
	enum pg_next next;
	struct pgresult row;
	enum status fails;
};

struct pgconn
{
	const struct step *steps;
	enum status copy_ends; /* of the data stream, at once */
	const char *sqlstate;
	const char *warning;
	char command[2048];
};

enum status
pgconn_send(struct pgconn *conn, const char *command, struct err *err)
{
	(void) err;
	(void) snprintf(conn->command, sizeof(conn->command), "%s", command);
	return ST_OK;
}

enum status
pgconn_next(struct pgconn *conn, const struct deadline *deadline,
			enum pg_next *next, struct pgresult **rows, struct err *err)
{
	static struct pgresult row;
	const struct step *step = conn->steps++;

	(void) deadline;
	if (step->fails != ST_OK)
		return err_set(err, step->fails, "it failed");
	*next = step->next;
	row = step->row;
	if (step->next == PG_ROWS)
		*rows = &row;
	return ST_OK;
}

enum status
pgconn_copy_read(struct pgconn *conn, const struct deadline *deadline,
				 const uint8_t **data, size_t *len, struct err *err)
{
	(void) deadline;
	*data = NULL;
	*len = 0;
	if (conn->copy_ends == ST_OK)
		return ST_OK;
	return err_set(err, conn->copy_ends, "it failed");
}

size_t
pgresult_rows(const struct pgresult *res)
{
	return res->values[0] == NULL ? 0 : 1;
}

size_t
pgresult_columns(const struct pgresult *res)
{
	(void) res;
	return 3;
}

const char *
pgresult_value(const struct pgresult *res, size_t row, size_t column)
{
	(void) row;
	return res->values[column];
}

void
pgresult_free(struct pgresult *res)
{
	(void) res;
}

const char *
pgconn_sqlstate(const struct pgconn *conn)
{
	return conn->sqlstate;
}

const char *
pgconn_warning(const struct pgconn *conn)
{
	return conn->warning;
}

void
pgconn_forget_warning(struct pgconn *conn)
{
	conn->warning = "";
}

#define START                                          \
	{PG_ROWS, {{"0/2000028", "1", NULL}}, ST_OK},      \
		{PG_ROWS, {{"16384", "/srv/ts", "7"}}, ST_OK}, \
	{                                                  \
		PG_COPY_OUT, {{NULL}}, ST_OK                   \
	}

static struct pgconn conn;
static struct err err;

static struct stream *
begun(const struct step *steps, const struct stream_options *options)
{
	struct stream *s = NULL;

	conn = (struct pgconn){.steps = steps, .sqlstate = "", .warning = "old"};
	assert_int_equal(stream_begin(&conn, options, &s, &err), ST_OK);
	return s;
}

static void
test_command(void **state)
{
	static const struct step steps[] = {START};
	const struct stream_options options = {.label = "it's",
										   .max_rate_kb = 32,
										   .incremental = true,
										   .lz4 = true,
										   .wait_ms = 7000};
	struct stream *s = begun(steps, &options);

	(void) state;
	assert_string_equal(
		conn.command,
		"BASE_BACKUP (LABEL 'it''s', PROGRESS true, CHECKPOINT 'spread', "
		"WAIT false, WAL false, TABLESPACE_MAP false, VERIFY_CHECKSUMS false, "
		"MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C', INCREMENTAL true, "
		"COMPRESSION 'lz4', MAX_RATE 32)");
	assert_true(stream_start(s)->lsn == 0x2000028);
	assert_int_equal(stream_start(s)->total_bytes, 7 * 1024);
	assert_int_equal(stream_start(s)->ntablespaces, 1);
	assert_string_equal(stream_start(s)->tablespaces[0].location, "/srv/ts");
	stream_free(s);
}

static void
test_silence(void **state)
{
	static const struct step steps[] = {START, {.fails = ST_DEADLINE}};
	const struct stream_options options = {.label = "", .wait_ms = 7000};
	struct stream *s = begun(steps, &options);
	struct stream_event event;
	uint64_t lsn;
	uint32_t tli;

	(void) state;
	conn.copy_ends = ST_DEADLINE;
	assert_int_equal(stream_next(s, &event, &err), ST_DEADLINE);
	assert_string_equal(err.message, "the server has sent nothing for 7 s");
	assert_non_null(strstr(err.hint, "command_timeout"));
	assert_int_equal(stream_finish(s, &lsn, &tli, &err), ST_DEADLINE);
	assert_string_equal(err.message, "the server has sent nothing for 7 s");
	stream_free(s);
}

/* After the end's row, and after all of the files. */
static void
test_bad_checksums(void **state)
{
	static const struct step steps[] = {
		START,
		{PG_ROWS, {{"0/2000100", "1", NULL}}, ST_OK},
		{.fails = ST_SERVER}};
	const struct stream_options options = {.label = "", .wait_ms = 7000};
	struct stream *s = begun(steps, &options);
	uint64_t lsn;
	uint32_t tli;

	(void) state;
	assert_string_equal(conn.warning, "");
	conn.sqlstate = "XX001";
	conn.warning = "block 7 of x";
	assert_int_equal(stream_finish(s, &lsn, &tli, &err), ST_SERVER);
	assert_string_equal(err.message, "it failed");
	assert_string_equal(err.detail,
						"The server's first warning was: block 7 of x");
	assert_non_null(strstr(err.hint, "--no-verify-checksums"));
	stream_free(s);
}

static void
test_ends(void **state)
{
	static const struct step good[] = {
		START,
		{PG_ROWS, {{"0/2000100", "2", NULL}}, ST_OK},
		{.next = PG_COMMAND},
		{.next = PG_NONE}};
	static const struct step copy[] = {
		START,
		{PG_ROWS, {{"0/2000100", "2", NULL}}, ST_OK},
		{.next = PG_COPY_OUT}};
	static const struct step nothing[] = {START, {.next = PG_ROWS}};
	static const struct step early[] = {START, {.next = PG_NONE}};
	const struct stream_options options = {.label = "", .wait_ms = 7000};
	const struct step *const bad[] = {copy, nothing, early};
	struct stream *s = begun(good, &options);
	uint64_t lsn = 0;
	uint32_t tli = 0;

	(void) state;
	assert_int_equal(stream_finish(s, &lsn, &tli, &err), ST_OK);
	assert_true(lsn == 0x2000100 && tli == 2);
	stream_free(s);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		s = begun(bad[i], &options);
		assert_int_equal(stream_finish(s, &lsn, &tli, &err), ST_SERVER);
		assert_string_equal(err.hint, "");
		stream_free(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_malformed_refused),
		cmocka_unit_test(test_archive_names),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_bad_checksums),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
