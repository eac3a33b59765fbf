/*
 * pgconn.h - connections to PostgreSQL
 *
 * Connects as PostgreSQL's own clients do: -d with a database or a connection
 * string, -h, -p, -U, -w, -W, the PG* environment, the password file and
 * service files.  All of libpq stays behind this header.  Every wait has a
 * deadline and can be cancelled, except that while connecting a signal is
 * noticed only after connect_timeout at the latest (for each host given).
 *
 * Warnings of the server are logged as warnings, and the first since
 * pgconn_forget_warning is remembered.  Errors: ST_CONFIG for options that
 * cannot work, ST_AUTH when the server refuses the role or its privileges,
 * ST_SERVER for all else the server says and for a connection that breaks,
 * ST_DEADLINE, ST_CANCELLED.  Passwords are never in a message.
 *
 * A connection belongs to one thread.
 */
#ifndef BASEBACKUP_PGCONN_H
#define BASEBACKUP_PGCONN_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/deadline.h"
#include "common/err.h"

enum pg_password
{
	PG_PASSWORD_AUTO,  /* ask when the server wants one */
	PG_PASSWORD_NEVER, /* -w */
	PG_PASSWORD_PROMPT /* -W: ask before connecting */
};

/*
 * Where and as whom to connect.  All zero is a good start: libpq's defaults
 * and environment.  The strings are borrowed; what was typed at a prompt is
 * owned and kept for later connections until pg_options_wipe.
 */
struct pg_options
{
	const char *dbname; /* a database, or a connection string or URI */
	const char *host;
	const char *port;
	const char *user;
	enum pg_password ask;
	char *typed; /* the password typed at a prompt, or NULL */
};

/* For getopt_long; -h is the host, so help is --help alone. */
#define PG_SHORT_OPTIONS "d:h:p:U:wW"
/* clang-format off */
#define PG_LONG_OPTIONS \
	{"dbname", required_argument, NULL, 'd'}, \
	{"host", required_argument, NULL, 'h'}, \
	{"port", required_argument, NULL, 'p'}, \
	{"username", required_argument, NULL, 'U'}, \
	{"no-password", no_argument, NULL, 'w'}, \
	{"password", no_argument, NULL, 'W'}
/* clang-format on */

/* The lines of --help about them. */
#define PG_OPTIONS_HELP                                                      \
	"  -d, --dbname=CONNINFO      connection string, or a database's name\n" \
	"  -h, --host=HOST            server's host or socket directory\n"       \
	"  -p, --port=PORT            server's port\n"                           \
	"  -U, --username=NAME        role to connect as\n"                      \
	"  -w, --no-password          never ask for a password\n"                \
	"  -W, --password             ask for a password before connecting\n"

/* Takes one of the options above; false if option is none of them. */
extern bool
pg_options_take(struct pg_options *opts, int option, const char *value);
extern void pg_options_wipe(struct pg_options *opts);

enum pg_kind
{
	PG_REPLICATION, /* physical replication: the database does not matter */
	PG_ORDINARY     /* SQL; without a database's name, "postgres" */
};

struct pgconn;

/*
 * Connects.  connect_timeout_ms holds for each host unless the user's own
 * connect_timeout says otherwise.  An ordinary connection has an empty
 * search_path and talks UTF-8.
 */
extern enum status pgconn_open(struct pg_options *opts, enum pg_kind kind,
							   int64_t connect_timeout_ms, struct pgconn **out,
							   struct err *err) ERR_CHECK;

/*
 * Connects again if the server has ended an idle connection meanwhile, as
 * idle_session_timeout has it; *again tells so: it may be another server now.
 * Takes as long as pgconn_open at most.
 */
extern enum status
pgconn_revive(struct pgconn *conn, bool *again, struct err *err) ERR_CHECK;

/* Cancels what may still run (as well as can be) and disconnects. */
extern void pgconn_close(struct pgconn *conn);

/* Like 150020. */
extern int pgconn_server_version(const struct pgconn *conn);

/* What the server reported of itself ("in_hot_standby"), or NULL. */
extern const char *
pgconn_parameter(const struct pgconn *conn, const char *name);

/* The SQLSTATE of the last error, five characters, or "". */
extern const char *pgconn_sqlstate(const struct pgconn *conn);

/* The first warning since pgconn_forget_warning, or "". */
extern const char *pgconn_warning(const struct pgconn *conn);
extern void pgconn_forget_warning(struct pgconn *conn);

/* Rows of a query.  Values live until pgresult_free. */
struct pgresult;
extern size_t pgresult_rows(const struct pgresult *res);
extern size_t pgresult_columns(const struct pgresult *res);

/* Zero-terminated; NULL for SQL's null. */
extern const char *
pgresult_value(const struct pgresult *res, size_t row, size_t column);
extern size_t
pgresult_length(const struct pgresult *res, size_t row, size_t column);
extern void pgresult_free(struct pgresult *res);

/*
 * Runs one statement that returns rows (or none) and takes all its results.
 * params: nparams strings for $1 and so on (none on a replication
 * connection).  The connection can be used again after an error, unless that
 * was a deadline, a cancellation or a break.
 */
extern enum status
pgconn_query(struct pgconn *conn, const char *sql, size_t nparams,
			 const char *const *params, const struct deadline *deadline,
			 struct pgresult **out, struct err *err) ERR_CHECK;

/* The same with values in binary: bytea as its bytes. */
extern enum status
pgconn_query_binary(struct pgconn *conn, const char *sql, size_t nparams,
					const char *const *params, const struct deadline *deadline,
					struct pgresult **out, struct err *err) ERR_CHECK;

/*
 * For commands with several results: send, then take result by result until
 * PG_NONE.  *rows is set (and to be freed) for PG_ROWS alone.  A PG_COPY_OUT
 * must be read, and a PG_COPY_IN written, to its end before the next result.
 */
enum pg_next
{
	PG_NONE,     /* all results are taken */
	PG_ROWS,     /* rows */
	PG_COMMAND,  /* a command's completion without rows */
	PG_COPY_OUT, /* pgconn_copy_read follows */
	PG_COPY_IN   /* pgconn_copy_write and pgconn_copy_end follow */
};

extern enum status pgconn_send(struct pgconn *conn, const char *command,
							   struct err *err) ERR_CHECK;
extern enum status
pgconn_next(struct pgconn *conn, const struct deadline *deadline,
			enum pg_next *next, struct pgresult **rows,
			struct err *err) ERR_CHECK;

/*
 * Drops what still comes of the last command, errors included, so that there
 * can be another one.  Fails if the connection is lost.
 */
extern enum status
pgconn_drain(struct pgconn *conn, const struct deadline *deadline,
			 struct err *err) ERR_CHECK;

/*
 * One CopyData message; *data lives until the next call.  At the end *data
 * is NULL, and pgconn_next tells whether it was a good one.
 */
extern enum status
pgconn_copy_read(struct pgconn *conn, const struct deadline *deadline,
				 const uint8_t **data, size_t *len, struct err *err) ERR_CHECK;

/*
 * Bytes for the server, in pieces of any size.  Memory does not grow with
 * them: a server that does not take them is waited for.  What it objects to
 * comes out of pgconn_next behind the end.
 */
extern enum status
pgconn_copy_write(struct pgconn *conn, const struct deadline *deadline,
				  const void *data, size_t len, struct err *err) ERR_CHECK;
extern enum status
pgconn_copy_end(struct pgconn *conn, const struct deadline *deadline,
				struct err *err) ERR_CHECK;

#endif
