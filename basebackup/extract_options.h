/*
 * extract_options.h - the command line of walship extract
 */
#ifndef BASEBACKUP_EXTRACT_OPTIONS_H
#define BASEBACKUP_EXTRACT_OPTIONS_H

#include <stdbool.h>

#include "basebackup/scratch_options.h"
#include "common/cli.h"

#define EXTRACT_TABLES_MAX  16
#define EXTRACT_NAME_MAX    256 /* with the terminating zero */
#define EXTRACT_PATTERN_MAX ((size_t) 2 * EXTRACT_NAME_MAX + 2)

struct extract_options
{
	struct cli_common common;
	struct scratch_options scratch;
	char database[EXTRACT_NAME_MAX];
	size_t ntables;
	char tables[EXTRACT_TABLES_MAX][EXTRACT_PATTERN_MAX];
	const char *query;  /* NULL: tables, or the whole database */
	const char *output; /* "-": standard output */
	const char *format; /* of pg_dump */
};

/* Returns -1 to go on, else the code to exit with at once. */
extern int
extract_options_read(struct extract_options *o, int argc, char **argv);

/*
 * Takes "db.schema.table" apart, as SQL reads names: a part that is not in
 * double quotes is folded to lower case.  Pure.  database has
 * EXTRACT_NAME_MAX bytes and gets the plain name, pattern
 * EXTRACT_PATTERN_MAX, for pg_dump's --table.  False: it is no such name.
 */
extern bool
extract_parse_table(const char *text, char *database, char *pattern);

#endif
