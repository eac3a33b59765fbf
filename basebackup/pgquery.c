/*
 * pgquery.c - statements and their results
 */
#include "basebackup/pgconn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/pgconn_internal.h"

/* How often a wait looks at the cancel flag, in milliseconds. */
#define WAIT_SLICE_MS 100

/* Bytes in one CopyData message that we send. */
#define COPY_PIECE ((size_t) 65536)

struct pgresult
{
	PGresult *pq;
};

size_t
pgresult_rows(const struct pgresult *res)
{
	return (size_t) PQntuples(res->pq);
}

size_t
pgresult_columns(const struct pgresult *res)
{
	return (size_t) PQnfields(res->pq);
}

const char *
pgresult_value(const struct pgresult *res, size_t row, size_t column)
{
	if (PQgetisnull(res->pq, (int) row, (int) column))
		return NULL;
	return PQgetvalue(res->pq, (int) row, (int) column);
}

size_t
pgresult_length(const struct pgresult *res, size_t row, size_t column)
{
	return (size_t) PQgetlength(res->pq, (int) row, (int) column);
}

void
pgresult_free(struct pgresult *res)
{
	if (res == NULL)
		return;
	PQclear(res->pq);
	free(res);
}

/* Takes over pq, also on failure. */
static enum status
result_wrap(PGresult *pq, struct pgresult **out, struct err *err)
{
	struct pgresult *res = malloc(sizeof(*res));

	if (res == NULL)
	{
		PQclear(pq);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	res->pq = pq;
	*out = res;
	return ST_OK;
}

/* Class 28 is authorization, 42501 a missing privilege. */
static enum status
status_of_sqlstate(const char *sqlstate)
{
	if (strncmp(sqlstate, "28", 2) == 0 || strcmp(sqlstate, "42501") == 0)
		return ST_AUTH;
	return ST_SERVER;
}

static enum status
error_of_result(struct pgconn *conn, const PGresult *res, struct err *err)
{
	const char *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	(void) snprintf(conn->sqlstate, sizeof(conn->sqlstate), "%s",
					state != NULL ? state : "");
	if (primary == NULL)
		return pgconn_error(conn, ST_SERVER, err);
	(void) err_set(err, status_of_sqlstate(conn->sqlstate), "server: %s",
				   primary);
	if (detail != NULL)
		(void) err_detail(err, "%s", detail);
	if (hint != NULL)
		(void) err_hint(err, "%s", hint);
	return err->status;
}

/*
 * Waits until bytes have come, which libpq then has, or, with POLLOUT among
 * the events, until some can go.
 */
static enum status
wait_for_socket(struct pgconn *conn, const struct deadline *deadline,
				short events, struct err *err)
{
	for (;;)
	{
		struct pollfd p = {.fd = PQsocket(conn->pq), .events = events};
		int64_t left = deadline_left_ms(deadline);
		enum status status = deadline_check(deadline, err);
		int n;

		if (status != ST_OK)
		{
			conn->hung = status == ST_DEADLINE;
			return err_context(err, "waiting for the server");
		}
		n = poll(&p, 1, left < WAIT_SLICE_MS ? (int) left : WAIT_SLICE_MS);
		if (n < 0 && errno != EINTR)
			return err_set_errno(err, ST_IO, errno,
								 "could not wait for the server");
		if (n <= 0)
			continue;
		if ((p.revents & ~POLLOUT) != 0 && PQconsumeInput(conn->pq) == 0)
			return pgconn_error(conn, ST_SERVER, err);
		return ST_OK;
	}
}

static enum status
wait_for_input(struct pgconn *conn, const struct deadline *deadline,
			   struct err *err)
{
	return wait_for_socket(conn, deadline, POLLIN, err);
}

/* *out NULL: no result is left. */
static enum status
next_result(struct pgconn *conn, const struct deadline *deadline,
			PGresult **out, struct err *err)
{
	while (PQisBusy(conn->pq) != 0)
	{
		enum status status = wait_for_input(conn, deadline, err);

		if (status != ST_OK)
			return status;
	}
	*out = PQgetResult(conn->pq);
	return ST_OK;
}

/* Takes all results; the first error counts, else the last rows. */
static enum status
take_results(struct pgconn *conn, const struct deadline *deadline,
			 PGresult **out, struct err *err)
{
	enum status result = ST_OK;

	for (;;)
	{
		PGresult *res = NULL;
		struct err later;
		enum status status = next_result(conn, deadline, &res, &later);
		ExecStatusType kind;

		if (status != ST_OK)
		{
			*err = later;
			return status;
		}
		if (res == NULL)
			return result;
		kind = PQresultStatus(res);
		if (kind == PGRES_TUPLES_OK || kind == PGRES_COMMAND_OK)
		{
			PQclear(*out);
			*out = res;
			continue;
		}
		if (result == ST_OK)
			result = error_of_result(conn, res, err);
		PQclear(res);
		if (kind == PGRES_COPY_OUT || kind == PGRES_COPY_IN ||
			kind == PGRES_COPY_BOTH)
			return err_set(err, ST_SERVER,
						   "the server began an unexpected COPY");
	}
}

struct statement
{
	const char *sql;
	size_t nparams;
	const char *const *params;
	bool binary; /* results */
};

static enum status
run(struct pgconn *conn, const struct statement *s,
	const struct deadline *deadline, struct pgresult **out, struct err *err)
{
	PGresult *res = NULL;
	enum status status;
	int sent;

	conn->sqlstate[0] = '\0';
	/* A replication connection knows only the simple protocol. */
	if (s->nparams == 0 && !s->binary)
		sent = PQsendQuery(conn->pq, s->sql);
	else
		sent = PQsendQueryParams(conn->pq, s->sql, (int) s->nparams, NULL,
								 s->params, NULL, NULL, s->binary ? 1 : 0);
	if (sent == 0)
		return pgconn_error(conn, ST_SERVER, err);
	status = take_results(conn, deadline, &res, err);
	if (status != ST_OK)
	{
		PQclear(res);
		return status;
	}
	if (res == NULL)
		return err_set(err, ST_SERVER, "the server sent no result");
	return result_wrap(res, out, err);
}

enum status
pgconn_query(struct pgconn *conn, const char *sql, size_t nparams,
			 const char *const *params, const struct deadline *deadline,
			 struct pgresult **out, struct err *err)
{
	const struct statement s = {sql, nparams, params, false};

	return run(conn, &s, deadline, out, err);
}

enum status
pgconn_query_binary(struct pgconn *conn, const char *sql, size_t nparams,
					const char *const *params, const struct deadline *deadline,
					struct pgresult **out, struct err *err)
{
	const struct statement s = {sql, nparams, params, true};

	return run(conn, &s, deadline, out, err);
}

enum status
pgconn_send(struct pgconn *conn, const char *command, struct err *err)
{
	conn->sqlstate[0] = '\0';
	if (PQsendQuery(conn->pq, command) == 0)
		return pgconn_error(conn, ST_SERVER, err);
	return ST_OK;
}

enum status
pgconn_next(struct pgconn *conn, const struct deadline *deadline,
			enum pg_next *next, struct pgresult **rows, struct err *err)
{
	PGresult *res = NULL;
	enum status status = next_result(conn, deadline, &res, err);

	if (status != ST_OK)
		return status;
	if (res == NULL)
	{
		*next = PG_NONE;
		return ST_OK;
	}
	switch (PQresultStatus(res))
	{
		case PGRES_TUPLES_OK:
			*next = PG_ROWS;
			return result_wrap(res, rows, err);
		case PGRES_COMMAND_OK:
			*next = PG_COMMAND;
			break;
		case PGRES_COPY_OUT:
			*next = PG_COPY_OUT;
			break;
		case PGRES_COPY_IN:
			*next = PG_COPY_IN;
			break;
		case PGRES_COPY_BOTH:
			status =
				err_set(err, ST_SERVER, "the server began an unexpected COPY");
			break;
		default:
			status = error_of_result(conn, res, err);
			break;
	}
	PQclear(res);
	return status;
}

enum status
pgconn_drain(struct pgconn *conn, const struct deadline *deadline,
			 struct err *err)
{
	PGresult *res = NULL;

	do
	{
		enum status status = next_result(conn, deadline, &res, err);

		if (status != ST_OK)
			return status;
		PQclear(res);
	} while (res != NULL);
	if (PQstatus(conn->pq) != CONNECTION_OK)
		return pgconn_error(conn, ST_SERVER, err);
	return ST_OK;
}

enum status
pgconn_copy_read(struct pgconn *conn, const struct deadline *deadline,
				 const uint8_t **data, size_t *len, struct err *err)
{
	PQfreemem(conn->copy_data);
	conn->copy_data = NULL;
	for (;;)
	{
		enum status status;
		int n = PQgetCopyData(conn->pq, &conn->copy_data, 1);

		if (n > 0)
		{
			*data = (const uint8_t *) conn->copy_data;
			*len = (size_t) n;
			return ST_OK;
		}
		if (n == -1)
		{
			*data = NULL;
			*len = 0;
			return ST_OK;
		}
		if (n < 0)
			return pgconn_error(conn, ST_SERVER, err);
		status = wait_for_input(conn, deadline, err);
		if (status != ST_OK)
			return status;
	}
}

/* Sends what libpq still holds. */
static enum status
flush_output(struct pgconn *conn, const struct deadline *deadline,
			 struct err *err)
{
	for (;;)
	{
		int left = PQflush(conn->pq);
		enum status status;

		if (left == 0)
			return ST_OK;
		if (left < 0)
			return pgconn_error(conn, ST_SERVER, err);
		status = wait_for_socket(conn, deadline, POLLIN | POLLOUT, err);
		if (status != ST_OK)
			return status;
	}
}

/* The socket blocks again whatever the outcome, as the rest expects. */
static enum status
end_nonblocking(struct pgconn *conn, enum status status, struct err *err)
{
	if (PQsetnonblocking(conn->pq, 0) == 0 || status != ST_OK)
		return status;
	return pgconn_error(conn, ST_SERVER, err);
}

enum status
pgconn_copy_write(struct pgconn *conn, const struct deadline *deadline,
				  const void *data, size_t len, struct err *err)
{
	const char *p = data;
	enum status status = ST_OK;

	if (PQsetnonblocking(conn->pq, 1) != 0)
		return pgconn_error(conn, ST_SERVER, err);
	while (len > 0 && status == ST_OK)
	{
		size_t n = len < COPY_PIECE ? len : COPY_PIECE;

		if (PQputCopyData(conn->pq, p, (int) n) != 1)
			status = pgconn_error(conn, ST_SERVER, err);
		else
			status = flush_output(conn, deadline, err);
		p += n;
		len -= n;
	}
	return end_nonblocking(conn, status, err);
}

enum status
pgconn_copy_end(struct pgconn *conn, const struct deadline *deadline,
				struct err *err)
{
	enum status status = ST_OK;

	if (PQsetnonblocking(conn->pq, 1) != 0)
		return pgconn_error(conn, ST_SERVER, err);
	if (PQputCopyEnd(conn->pq, NULL) != 1)
		status = pgconn_error(conn, ST_SERVER, err);
	else
		status = flush_output(conn, deadline, err);
	return end_nonblocking(conn, status, err);
}
