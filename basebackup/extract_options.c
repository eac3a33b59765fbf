/*
 * extract_options.c - the command line of walship extract
 */
#include "basebackup/extract_options.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"walship extract brings back a table, a database or some rows, as they "
	"were.\n\n"
	"Usage: walship extract [BACKUP | latest] --output=FILE [OPTION]...\n\n"
	"What, one of:\n"
	"  --table=DB.SCHEMA.TABLE  a dump of the table, and of those below it;\n"
	"                           repeatable\n"
	"  --database=DB            a dump of the database\n"
	"  --database=DB --query=SQL  what the query returns, as CSV\n\n"
	"  --output=FILE            must not exist; - for standard output\n"
	"  --format=plain|custom    of a dump (default: plain)\n" SCRATCH_PLACE_HELP
	"\nAs of the end of the archive, or of one of these:\n" SCRATCH_TARGET_HELP
	"\n" CLI_OPTIONS_HELP
	"\nA private server, without network, recovers a copy of the cluster and is "
	"asked.\nStarted by root it goes on as the user postgres.\n";

enum option_code
{
	OPT_TABLE = 1,
	OPT_DATABASE,
	OPT_QUERY,
	OPT_OUTPUT,
	OPT_FORMAT
};

static const struct option options[] = {
	CLI_OPTIONS,
	SCRATCH_OPTIONS,
	{"table", required_argument, NULL, OPT_TABLE},
	{"database", required_argument, NULL, OPT_DATABASE},
	{"query", required_argument, NULL, OPT_QUERY},
	{"output", required_argument, NULL, OPT_OUTPUT},
	{"format", required_argument, NULL, OPT_FORMAT},
	{NULL, 0, NULL, 0}};

/* One part of a name, up to a dot outside of quotes; false: it is none. */
static bool
take_part(const char **text, char *out)
{
	const char *at = *text;
	size_t len = 0;
	bool quoted = false;

	for (; *at != '\0' && (quoted || *at != '.'); at++)
	{
		char c = *at;

		if (c == '"' && quoted && at[1] == '"')
			at++;
		else if (c == '"')
		{
			quoted = !quoted;
			continue;
		}
		if (len + 1 == EXTRACT_NAME_MAX)
			return false;
		if (!quoted && c >= 'A' && c <= 'Z')
			c = (char) tolower(c);
		out[len++] = c;
	}
	out[len] = '\0';
	*text = at;
	return !quoted && len > 0;
}

/* Within double quotes pg_dump's patterns have no special characters. */
static char *
put_quoted(char *out, const char *end, const char *name)
{
	*out++ = '"';
	for (; *name != '\0' && out + 3 < end; name++)
	{
		if (*name == '"')
			*out++ = '"';
		*out++ = *name;
	}
	*out++ = '"';
	*out = '\0';
	return *name == '\0' ? out : NULL;
}

bool
extract_parse_table(const char *text, char *database, char *pattern)
{
	char schema[EXTRACT_NAME_MAX], table[EXTRACT_NAME_MAX];
	const char *end = pattern + EXTRACT_PATTERN_MAX;
	char *at;

	if (!take_part(&text, database) || *text++ != '.' ||
		!take_part(&text, schema) || *text++ != '.' ||
		!take_part(&text, table) || *text != '\0')
		return false;
	at = put_quoted(pattern, end, schema);
	if (at == NULL || at + 1 >= end)
		return false;
	*at++ = '.';
	return put_quoted(at, end, table) != NULL;
}

static int
take_table(struct extract_options *o, const char *arg)
{
	char database[EXTRACT_NAME_MAX];

	if (o->ntables == EXTRACT_TABLES_MAX)
		return cli_usage(o->common.program, "there are too many tables");
	if (!extract_parse_table(arg, database, o->tables[o->ntables]))
		return cli_usage(o->common.program,
						 "--table needs DB.SCHEMA.TABLE, not \"%s\"", arg);
	if (o->database[0] != '\0' && strcmp(o->database, database) != 0)
		return cli_usage(o->common.program,
						 "tables can be of one database only, not of \"%s\" "
						 "and \"%s\"",
						 o->database, database);
	memcpy(o->database, database, sizeof(database));
	o->ntables++;
	return -1;
}

static int
take_database(struct extract_options *o, const char *arg)
{
	if (*arg == '\0' || strlen(arg) >= EXTRACT_NAME_MAX)
		return cli_usage(o->common.program, "invalid database \"%s\"", arg);
	if (o->database[0] != '\0' && strcmp(o->database, arg) != 0)
		return cli_usage(o->common.program,
						 "there can be one database only, not \"%s\" and "
						 "\"%s\"",
						 o->database, arg);
	(void) snprintf(o->database, sizeof(o->database), "%s", arg);
	return -1;
}

static int
take_option(struct extract_options *o, int opt, char **argv)
{
	switch (opt)
	{
		case OPT_TABLE:
			return take_table(o, optarg);
		case OPT_DATABASE:
			return take_database(o, optarg);
		case OPT_QUERY:
			o->query = optarg;
			return -1;
		case OPT_OUTPUT:
			o->output = optarg;
			return -1;
		case OPT_FORMAT:
			o->format = optarg;
			return -1;
		default:
			if (scratch_option(opt))
				return scratch_option_take(o->common.program, &o->scratch, opt,
										   optarg);
			return cli_common_option(&o->common, opt, argv);
	}
}

/* What does not go together. */
static int
check(const struct extract_options *o)
{
	const char *program = o->common.program;

	if (o->query != NULL && o->ntables > 0)
		return cli_usage(program, "--table and --query do not go together");
	if (o->database[0] == '\0')
		return cli_usage(program, o->query != NULL
									  ? "--query needs --database=DB"
									  : "--table or --database is needed");
	if (o->query != NULL && o->format != NULL)
		return cli_usage(program, "--format is for a dump");
	if (o->query != NULL && o->query[strspn(o->query, " \t\r\n;")] == '\0')
		return cli_usage(program, "the query is empty");
	if (o->format != NULL && strcmp(o->format, "plain") != 0 &&
		strcmp(o->format, "custom") != 0)
		return cli_usage(program, "invalid format \"%s\"", o->format);
	if (o->output == NULL || *o->output == '\0')
		return cli_usage(program, "--output is needed");
	return scratch_options_check(program, &o->scratch);
}

int
extract_options_read(struct extract_options *o, int argc, char **argv)
{
	int opt, code;

	*o = (struct extract_options){.ntables = 0};
	scratch_options_init(&o->scratch);
	cli_common_init(&o->common, "walship extract", help);
	while ((opt = getopt_long(argc, argv, CLI_SHORT, options, NULL)) != -1)
		if ((code = take_option(o, opt, argv)) >= 0)
			return code;
	if (optind < argc && strcmp(argv[optind], "latest") != 0)
		o->scratch.request.backup_id = argv[optind];
	if (optind + 1 < argc)
		return cli_usage(o->common.program, "unexpected \"%s\"",
						 argv[optind + 1]);
	return check(o);
}
