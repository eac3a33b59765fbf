/*
 * drill_checks.c - is the recovered cluster in order?
 */
#include "basebackup/drill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basebackup/sql_split.h"
#include "common/deadline.h"
#include "common/log.h"

#define FILE_MAX    (1 << 20)
#define MARK        "\xEF\xBB\xBF" /* some editors begin UTF-8 with it */
#define NAME_BYTES  80
#define VALUE_BYTES 40
#define CONNECT_MS  30000
#define JOBS_MAX    4

/* --- reading the file ---------------------------------------------------- */

/* At most n bytes of text, and no part of a character. */
static size_t
cut(const char *text, size_t len, size_t n)
{
	if (len <= n)
		return len;
	while (n > 0 && (text[n] & 0xC0) == 0x80)
		n--;
	return n;
}

/* On one line. */
static char *
make_name(const char *text, size_t len)
{
	size_t n = cut(text, len, NAME_BYTES), to = 0;
	char *name = malloc(n + sizeof("..."));

	if (name == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
	{
		bool shown = text[i] > ' ' || (text[i] & 0x80) != 0;
		char c = text[i];

		if (!shown)
			c = ' ';

		if (c != ' ' || (to > 0 && name[to - 1] != ' '))
			name[to++] = c;
	}
	(void) snprintf(name + to, sizeof("..."), "%s", n < len ? "..." : "");
	return name;
}

static enum status
add_check(struct drill_checks *checks, const char *text,
		  const struct sql_statement *s, struct err *err)
{
	struct drill_check *c,
		*list = reallocarray(checks->list, checks->nchecks + 1, sizeof(*list));

	if (list == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	checks->list = list;
	c = &list[checks->nchecks++];
	*c = (struct drill_check){
		.line = s->line,
		.name = s->name_len > 0 ? make_name(text + s->name_at, s->name_len)
								: make_name(text + s->at, s->len),
		.database = s->database_len > 0
						? strndup(text + s->database_at, s->database_len)
						: strdup("postgres"),
		.sql = strndup(text + s->at, s->len)};
	if (c->name == NULL || c->database == NULL || c->sql == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	return ST_OK;
}

static enum status
read_file(const char *path, char **out, size_t *len, struct err *err)
{
	FILE *file = fopen(path, "re");
	char *text = malloc(FILE_MAX + 1);
	enum status st = ST_OK;

	if (text == NULL)
		st = err_set(err, ST_NOMEM, "out of memory");
	else if (file == NULL)
		st = err_set_errno(err, ST_IO, errno, "could not open file \"%s\"",
						   path);
	else
	{
		*len = fread(text, 1, FILE_MAX + 1, file);
		if (ferror(file) != 0)
			st = err_set_errno(err, ST_IO, errno, "could not read file \"%s\"",
							   path);
		else if (*len > FILE_MAX)
			st = err_set(err, ST_CONFIG, "file \"%s\" is too large", path);
		else if (!utf8_valid(text, *len) || memchr(text, '\0', *len) != NULL)
			st = err_set(err, ST_CONFIG, "file \"%s\" is not UTF-8", path);
	}
	if (file != NULL)
		(void) fclose(file);
	if (st == ST_OK)
		*out = text;
	else
		free(text);
	return st;
}

enum status
drill_checks_read(const char *path, struct drill_checks *out, struct err *err)
{
	struct sql_statement statement = {.line = 0};
	unsigned line = 1;
	size_t len = 0, at = 0;
	char *text;
	enum status st = read_file(path, &text, &len, err);

	if (st != ST_OK)
		return st;
	if (len >= strlen(MARK) && memcmp(text, MARK, strlen(MARK)) == 0)
		at = strlen(MARK);
	while ((st = sql_split(text, len, &at, &line, &statement, err)) == ST_OK)
		if ((st = add_check(out, text, &statement, err)) != ST_OK)
			break;
	free(text);
	if (st == ST_MISSING && out->nchecks > 0)
		return ST_OK;
	if (st == ST_MISSING)
		return err_set(err, ST_CONFIG, "file \"%s\" holds no statement", path);
	return err_context(err, "file \"%s\"", path);
}

void
drill_checks_free(struct drill_checks *checks)
{
	for (size_t i = 0; i < checks->nchecks; i++)
	{
		free(checks->list[i].name);
		free(checks->list[i].database);
		free(checks->list[i].sql);
	}
	free(checks->list);
	*checks = (struct drill_checks){.nchecks = 0};
}

/* --- asking -------------------------------------------------------------- */

enum status
drill_connect(struct drill *d, const char *database, struct pgconn **out,
			  struct err *err)
{
	struct pg_options options = {.user = d->cluster.options->user,
								 .host = d->cluster.scratch.socket,
								 .port = "5432",
								 .ask = PG_PASSWORD_NEVER};
	char *info = scratch_server_database(database);
	enum status st;

	if (info == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	options.dbname = info;
	scratch_server_environment(d->cluster.server);
	st = pgconn_open(&options, PG_ORDINARY, CONNECT_MS, out, err);
	pg_options_wipe(&options);
	free(info);
	return st;
}

/* The role's own search_path, which pgconn_open has emptied. */
static enum status
open_database(struct drill *d, const char *name, struct pgconn **conn,
			  struct err *err)
{
	const struct deadline forever = deadline_in(-1, cli_cancel());
	struct pgresult *none = NULL;
	enum status st = drill_connect(d, name, conn, err);

	if (st == ST_OK)
		st = pgconn_query(*conn, "RESET search_path", 0, NULL, &forever, &none,
						  err);
	pgresult_free(none);
	return st;
}

static enum status
judge(const struct pgresult *rows, struct err *err)
{
	size_t nrows = pgresult_rows(rows), ncolumns = pgresult_columns(rows);
	const char *value;

	if (nrows != 1 || ncolumns != 1)
		return err_set(err, ST_CORRUPT,
					   "it returned %zu rows of %zu columns instead of true",
					   nrows, ncolumns);
	value = pgresult_value(rows, 0, 0);
	if (value == NULL)
		return err_set(err, ST_CORRUPT, "it returned null instead of true");
	if (strcmp(value, "t") == 0)
		return ST_OK;
	if (strcmp(value, "f") == 0)
		return err_set(err, ST_CORRUPT, "it returned false");
	(void) err_set(err, ST_CORRUPT, "it returned \"%.*s\" instead of true",
				   (int) cut(value, strlen(value), VALUE_BYTES), value);
	return err_hint(err, "A check returns a boolean.");
}

static enum status
run_check(struct drill_check *check, struct pgconn *conn, struct err *err)
{
	const struct deadline forever = deadline_in(-1, cli_cancel());
	int64_t begin_ms = clock_now_ms();
	struct pgresult *rows = NULL;
	enum status st =
		pgconn_query(conn, check->sql, 0, NULL, &forever, &rows, err);

	if (st == ST_OK)
		st = judge(rows, err);
	pgresult_free(rows);
	check->ms = clock_now_ms() - begin_ms;
	return st;
}

enum status
drill_run_checks(struct drill *d, struct err *err)
{
	const char *database = NULL;
	struct pgconn *conn = NULL;
	enum status st = ST_OK;

	for (size_t i = 0; st == ST_OK && i < d->checks.nchecks; i++)
	{
		struct drill_check *check = &d->checks.list[i];

		check->outcome = CHECK_FAILED;
		if (database == NULL || strcmp(database, check->database) != 0)
		{
			pgconn_close(conn);
			conn = NULL;
			database = check->database;
			st = open_database(d, database, &conn, err);
		}
		if (st == ST_OK)
			st = run_check(check, conn, err);
		if (st == ST_OK)
			check->outcome = CHECK_TRUE;
		else
			err_context(err, "check \"%s\" (line %u, database \"%s\")",
						check->name, check->line, check->database);
	}
	pgconn_close(conn);
	return st;
}

/* --- pg_amcheck ---------------------------------------------------------- */

enum status
drill_find_amcheck(const struct drill *d, struct err *err)
{
	char path[PATH_MAX + 16];

	(void) snprintf(path, sizeof(path), "%s/pg_amcheck", d->cluster.bindir);
	if (access(path, X_OK) == 0)
		return ST_OK;
	err_set_errno(err, ST_CONFIG, errno, "cannot find \"%s\"", path);
	return err_hint(err, "It comes with PostgreSQL's contrib modules; "
						 "--no-amcheck goes on without it.");
}

/* "btree index "d.s.i":" and the line behind it, which is indented. */
static void
explain_corruption(const struct drill *d, struct err *err)
{
	char *said = scratch_server_said(d->cluster.server);
	char *relation = said, *end, *to;

	while (relation != NULL && strncmp(relation, "btree index ", 12) != 0 &&
		   strncmp(relation, "heap table ", 11) != 0)
	{
		relation = strchr(relation, '\n');
		relation = relation == NULL ? NULL : relation + 1;
	}
	if (relation != NULL)
	{
		end = strchr(relation, '\n');
		end = end == NULL ? NULL : strchr(end + 1, '\n');
		if (end != NULL)
			*end = '\0';
		to = relation;
		for (const char *c = relation; *c != '\0'; c++)
			if (*c != '\n' && (*c != ' ' || c[1] != ' '))
				*to++ = *c;
		*to = '\0';
		err_set(err, ST_CORRUPT, "pg_amcheck found damage: %s", relation);
	}
	free(said);
}

enum status
drill_run_amcheck(struct drill *d, struct err *err)
{
	int jobs = d->cluster.session.cfg->restore_workers;
	char user[256], number[32];
	const char *const args[] = {
		"--all", "--install-missing", "--no-password", user, number, NULL};
	enum status st;

	(void) snprintf(user, sizeof(user), "--username=%s",
					d->cluster.options->user);
	(void) snprintf(number, sizeof(number), "--jobs=%d",
					jobs > JOBS_MAX ? JOBS_MAX : jobs);
	st = scratch_server_run(d->cluster.server, "pg_amcheck", args, NULL, -1,
							err);
	if (st == ST_SERVER)
		explain_corruption(d, err);
	return st;
}
