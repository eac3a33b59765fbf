/*
 * err.h - the outcome of a fallible function, and its explanation
 *
 * A function that can fail returns an enum status and takes a struct err * as
 * its last argument.  The lowest layer that knows the cause fills the err
 * once; the layers above may only add context in front.  Nothing here
 * allocates, prints or exits.  Messages follow PostgreSQL's error message
 * style guide: lower case and no final period in the primary message,
 * complete sentences in detail and hint.  Never put a key, a password, a
 * signature or a signed header into a message.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include <stdint.h>

/*
 * What happened, as far as the caller must tell cases apart.  The order is
 * free; nothing stores these numbers.
 */
enum status
{
	ST_OK = 0,
	ST_MISSING,   /* proven absent: the store said so, in clear words */
	ST_EXISTS,    /* a create-only put met an object of that name */
	ST_DIFFERS,   /* an object of that name holds something else */
	ST_RETRY,     /* transient: outage, throttling, time-out; may be retried */
	ST_CORRUPT,   /* bytes that fail authentication, checksum or grammar */
	ST_CONFIG,    /* configuration or usage: only a person can mend it */
	ST_AUTH,      /* refused: credentials, permission, missing key */
	ST_IO,        /* the local file system or operating system failed */
	ST_SERVER,    /* PostgreSQL refused or failed */
	ST_CANCELLED, /* a signal asked us to stop */
	ST_DEADLINE,  /* the total deadline passed */
	ST_NOMEM      /* out of memory */
};

#define ERR_MESSAGE_MAX 768
#define ERR_DETAIL_MAX  512
#define ERR_HINT_MAX    384

struct err
{
	enum status status;
	char message[ERR_MESSAGE_MAX];
	char detail[ERR_DETAIL_MAX]; /* empty: none */
	char hint[ERR_HINT_MAX];     /* empty: none */
	int64_t retry_after_ms; /* what a store asked for with ST_RETRY, or 0 */
};

#define ERR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define ERR_CHECK        __attribute__((warn_unused_result))

/*
 * Sets status and message, clears detail, hint and retry_after_ms, and
 * returns the status, so that "return err_set(err, ST_CORRUPT, ...)" reads
 * well.  A message that does not fit is cut.  err is never NULL.
 */
extern enum status err_set(struct err *err, enum status status,
						   const char *fmt, ...) ERR_PRINTF(3, 4);

/* Like err_set, with ": " and the text of errno_value appended. */
extern enum status
err_set_errno(struct err *err, enum status status, int errno_value,
			  const char *fmt, ...) ERR_PRINTF(4, 5);

/* Replaces detail or hint.  Both return the err's status. */
extern enum status
err_detail(struct err *err, const char *fmt, ...) ERR_PRINTF(2, 3);
extern enum status
err_hint(struct err *err, const char *fmt, ...) ERR_PRINTF(2, 3);

/* Puts "text: " in front of the message.  Returns the err's status. */
extern enum status
err_context(struct err *err, const char *fmt, ...) ERR_PRINTF(2, 3);

/* A stable lower-case word for logs and JSON ("missing", "corrupt", ...). */
extern const char *status_name(enum status status);

/*
 * The exit code of a program other than wal-fetch (which has its own policy):
 * 0, 2 for configuration or usage, 1 for the rest.  One table, in err.c.
 */
extern int status_exit_code(enum status status);

#endif
