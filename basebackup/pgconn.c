/*
 * pgconn.c - connections to PostgreSQL
 */
#include "basebackup/pgconn.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/password.h"
#include "basebackup/pgconn_internal.h"
#include "common/log.h"

#define PARAMETERS_MAX 64

bool
pg_options_take(struct pg_options *opts, int option, const char *value)
{
	switch (option)
	{
		case 'd':
			opts->dbname = value;
			return true;
		case 'h':
			opts->host = value;
			return true;
		case 'p':
			opts->port = value;
			return true;
		case 'U':
			opts->user = value;
			return true;
		case 'w':
			opts->ask = PG_PASSWORD_NEVER;
			return true;
		case 'W':
			opts->ask = PG_PASSWORD_PROMPT;
			return true;
		default:
			return false;
	}
}

void
pg_options_wipe(struct pg_options *opts)
{
	password_free(opts->typed);
	opts->typed = NULL;
}

/* What libpq is given: keyword and value pairs, the last one of a kind wins.
 */
struct parameters
{
	size_t count;
	const char *keywords[PARAMETERS_MAX + 1];
	const char *values[PARAMETERS_MAX + 1];
};

static void
parameters_add(struct parameters *p, const char *keyword, const char *value)
{
	if (value == NULL || p->count == PARAMETERS_MAX)
		return;
	for (size_t i = 0; i < p->count; i++)
	{
		if (strcmp(p->keywords[i], keyword) == 0)
		{
			p->values[i] = value;
			return;
		}
	}
	p->keywords[p->count] = keyword;
	p->values[p->count++] = value;
	p->keywords[p->count] = NULL;
	p->values[p->count] = NULL;
}

/* The rule of libpq's expand_dbname. */
static bool
is_conninfo(const char *dbname)
{
	return strchr(dbname, '=') != NULL ||
		   strncmp(dbname, "postgresql://", 13) == 0 ||
		   strncmp(dbname, "postgres://", 11) == 0;
}

static bool
has_environment(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0';
}

/* *parsed holds the strings that p points to; freed with PQconninfoFree. */
static enum status
parameters_fill(struct parameters *p, const struct pg_options *opts,
				enum pg_kind kind, PQconninfoOption **parsed, struct err *err)
{
	if (kind == PG_ORDINARY && !has_environment("PGDATABASE") &&
		!has_environment("PGSERVICE"))
		parameters_add(p, "dbname", "postgres");
	if (opts->dbname != NULL && is_conninfo(opts->dbname))
	{
		/* libpq's message may quote a piece of a password. */
		*parsed = PQconninfoParse(opts->dbname, NULL);
		if (*parsed == NULL)
			return err_set(err, ST_CONFIG, "invalid connection string");
		for (const PQconninfoOption *o = *parsed; o->keyword != NULL; o++)
		{
			if (o->val != NULL && *o->val != '\0')
				parameters_add(p, o->keyword, o->val);
		}
	}
	else
		parameters_add(p, "dbname", opts->dbname);
	parameters_add(p, "host", opts->host);
	parameters_add(p, "port", opts->port);
	parameters_add(p, "user", opts->user);
	if (kind == PG_REPLICATION)
	{
		parameters_add(p, "dbname", "replication");
		parameters_add(p, "replication", "true");
	}
	else
		parameters_add(p, "client_encoding", "UTF8");
	parameters_add(p, "fallback_application_name", "walship");
	parameters_add(p, "password", opts->typed);
	return ST_OK;
}

static bool
parameters_have(const struct parameters *p, const char *keyword)
{
	for (size_t i = 0; i < p->count; i++)
	{
		if (strcmp(p->keywords[i], keyword) == 0)
			return true;
	}
	return false;
}

/*
 * Our own time-outs, where neither the user nor the environment gave others.
 * A peer that vanished without a word is noticed within two minutes.
 */
static void
parameters_timeouts(struct parameters *p, const char *connect_timeout_s)
{
	if (!parameters_have(p, "connect_timeout") &&
		!has_environment("PGCONNECT_TIMEOUT"))
		parameters_add(p, "connect_timeout", connect_timeout_s);
	if (parameters_have(p, "keepalives") ||
		parameters_have(p, "keepalives_idle"))
		return;
	parameters_add(p, "keepalives_idle", "60");
	parameters_add(p, "keepalives_interval", "15");
	parameters_add(p, "keepalives_count", "4");
}

/* Into one line; out has room for ERR_DETAIL_MAX. */
static void
join_lines(const char *text, char *out)
{
	size_t n = 0;

	for (; *text != '\0' && n + 1 < ERR_DETAIL_MAX; text++)
	{
		bool blank = *text == '\n' || *text == '\t' || *text == ' ';

		if (!blank)
			out[n++] = *text;
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

/* What a server adds while connecting is labelled by libpq. */
enum status
pgconn_error(const struct pgconn *conn, enum status status, struct err *err)
{
	static const char detail_label[] = "DETAIL: ", hint_label[] = "HINT: ";
	const char *text = PQerrorMessage(conn->pq);
	size_t first = strcspn(text, "\n");
	char rest[ERR_DETAIL_MAX] = "";
	char *detail = rest, *hint;

	if (first == 0)
		return err_set(err, status, "the connection to the server is lost");
	(void) err_set(err, status, "%.*s", (int) first, text);
	join_lines(text + first, rest);
	hint = strstr(rest, hint_label);
	if (hint != NULL)
	{
		(void) err_hint(err, "%s", hint + strlen(hint_label));
		*(hint > rest ? hint - 1 : hint) = '\0';
	}
	if (strncmp(detail, detail_label, strlen(detail_label)) == 0)
		detail += strlen(detail_label);
	if (*detail != '\0')
		(void) err_detail(err, "%s", detail);
	return status;
}

static void
take_notice(void *arg, const PGresult *res)
{
	struct pgconn *conn = arg;
	const char *severity =
		PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (severity == NULL || text == NULL)
		return;
	if (strcmp(severity, "WARNING") != 0)
	{
		log_debug("server: %s", text);
		return;
	}
	log_warning("server: %s", text);
	if (conn->warning[0] == '\0')
		(void) snprintf(conn->warning, sizeof(conn->warning), "%s", text);
}

static enum status
connect_once(struct pgconn *conn, struct pg_options *opts, enum pg_kind kind,
			 const char *connect_timeout_s, struct err *err)
{
	struct parameters p = {0};
	PQconninfoOption *parsed = NULL;
	enum status status = parameters_fill(&p, opts, kind, &parsed, err);

	if (status != ST_OK)
		return status;
	parameters_timeouts(&p, connect_timeout_s);
	PQfinish(conn->pq);
	conn->pq = PQconnectdbParams(p.keywords, p.values, 0);
	PQconninfoFree(parsed);
	if (conn->pq == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	if (PQstatus(conn->pq) == CONNECTION_OK)
		return ST_OK;
	if (PQconnectionNeedsPassword(conn->pq))
		return pgconn_error(conn, ST_AUTH, err);
	return pgconn_error(conn, ST_SERVER, err);
}

static enum status
ask_password(struct pg_options *opts, struct err *err)
{
	char prompt[128];

	if (opts->user != NULL)
		(void) snprintf(prompt, sizeof(prompt),
						"Password for user %.80s: ", opts->user);
	else
		(void) snprintf(prompt, sizeof(prompt), "Password: ");
	return password_ask(prompt, &opts->typed, err);
}

static enum status
connect_asking(struct pgconn *conn, struct pg_options *opts, enum pg_kind kind,
			   int64_t connect_timeout_ms, struct err *err)
{
	enum status status = ST_OK;
	char seconds[24];

	(void) snprintf(seconds, sizeof(seconds), "%lld",
					(long long) ((connect_timeout_ms + 999) / 1000));
	if (opts->ask == PG_PASSWORD_PROMPT && opts->typed == NULL)
		status = ask_password(opts, err);
	if (status == ST_OK)
		status = connect_once(conn, opts, kind, seconds, err);
	if (status == ST_AUTH && opts->ask == PG_PASSWORD_AUTO &&
		opts->typed == NULL)
	{
		struct err unasked;

		/* Without a terminal the server's own words say more. */
		if (ask_password(opts, &unasked) == ST_OK)
			status = connect_once(conn, opts, kind, seconds, err);
	}
	return status;
}

enum status
pgconn_open(struct pg_options *opts, enum pg_kind kind,
			int64_t connect_timeout_ms, struct pgconn **out, struct err *err)
{
	struct pgconn *conn = calloc(1, sizeof(*conn));
	enum status status;

	if (conn == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = connect_asking(conn, opts, kind, connect_timeout_ms, err);
	if (status == ST_OK)
	{
		(void) PQsetNoticeReceiver(conn->pq, take_notice, conn);
		if (kind == PG_ORDINARY)
		{
			struct deadline d = deadline_in(connect_timeout_ms, NULL);
			struct pgresult *res = NULL;

			status = pgconn_query(
				conn, "SELECT pg_catalog.set_config('search_path', '', false)",
				0, NULL, &d, &res, err);
			pgresult_free(res);
		}
	}
	if (status != ST_OK)
	{
		pgconn_close(conn);
		return status;
	}
	*out = conn;
	return ST_OK;
}

enum status
pgconn_revive(struct pgconn *conn, bool *again, struct err *err)
{
	struct pollfd p = {.fd = PQsocket(conn->pq), .events = POLLIN};

	/* Last words, which are of no interest, and then the end. */
	while (PQstatus(conn->pq) == CONNECTION_OK && poll(&p, 1, 0) > 0 &&
		   PQconsumeInput(conn->pq) != 0)
		(void) PQisBusy(conn->pq);
	*again = PQstatus(conn->pq) != CONNECTION_OK;
	if (*again)
		PQreset(conn->pq);
	return PQstatus(conn->pq) == CONNECTION_OK
			   ? ST_OK
			   : pgconn_error(conn, ST_SERVER, err);
}

void
pgconn_close(struct pgconn *conn)
{
	if (conn == NULL)
		return;
	if (conn->pq != NULL && !conn->hung &&
		PQstatus(conn->pq) == CONNECTION_OK &&
		PQtransactionStatus(conn->pq) == PQTRANS_ACTIVE)
	{
		PGcancel *cancel = PQgetCancel(conn->pq);
		char reason[256];

		if (cancel != NULL && PQcancel(cancel, reason, sizeof(reason)) == 0)
			log_debug("could not cancel the server's command: %s", reason);
		PQfreeCancel(cancel);
	}
	PQfreemem(conn->copy_data);
	PQfinish(conn->pq);
	free(conn);
}

int
pgconn_server_version(const struct pgconn *conn)
{
	return PQserverVersion(conn->pq);
}

const char *
pgconn_parameter(const struct pgconn *conn, const char *name)
{
	return PQparameterStatus(conn->pq, name);
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
	conn->warning[0] = '\0';
}
