/*
 * pgconn_internal.h - what pgconn.c and pgquery.c share
 */
#ifndef BASEBACKUP_PGCONN_INTERNAL_H
#define BASEBACKUP_PGCONN_INTERNAL_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "basebackup/pgconn.h"

struct pgconn
{
	PGconn *pq;
	char *copy_data; /* of PQgetCopyData, until the next call */
	bool hung;       /* the server did not answer in time */
	char sqlstate[6];
	char warning[256];
};

/*
 * libpq's messages have several lines: the first becomes the message, the
 * others detail and hint.  Returns status.
 */
extern enum status
pgconn_error(const struct pgconn *conn, enum status status, struct err *err);

#endif
