/*
 * sql_split.h - the statements of a file of SQL
 *
 * Pure.  Knows what psql knows of quotes, dollar quotes, E'' strings and
 * comments, and of its commands \connect (\c) with a database's name, in
 * double quotes or not, on a line of its own between statements.  Bodies of
 * functions in BEGIN ATOMIC are not followed.
 */
#ifndef BASEBACKUP_SQL_SPLIT_H
#define BASEBACKUP_SQL_SPLIT_H

#include <stddef.h>

#include "common/err.h"

struct sql_statement
{
	unsigned line; /* where it begins, from 1 */
	size_t at;     /* in the text, without white space or a semicolon */
	size_t len;

	/* The comment on the line before it, without "--"; 0: there is none. */
	size_t name_at;
	size_t name_len;

	/* Of the last \connect before it; 0: there was none. */
	size_t database_at;
	size_t database_len;
};

/*
 * The next statement at or behind *at, which is moved behind it; *line goes
 * along.  To begin with, both *at and *out are zero and *line is 1; *out is
 * handed back as it was, since it knows the database.  ST_MISSING: there is
 * none.  ST_CONFIG: a quote or comment without an end, or another command.
 */
extern enum status
sql_split(const char *text, size_t len, size_t *at, unsigned *line,
		  struct sql_statement *out, struct err *err) ERR_CHECK;

#endif
