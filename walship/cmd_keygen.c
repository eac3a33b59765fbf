/*
 * cmd_keygen.c - walship keygen: makes a repository key
 */
#include <stdio.h>

#include "common/cli.h"
#include "common/key.h"
#include "common/log.h"
#include "walship/command.h"

static const char help[] =
	"Usage: walship keygen FILE\n"
	"\n"
	"Makes a new repository key and writes it to FILE, which must not exist,\n"
	"readable by you alone.  The key's id goes to standard output.\n"
	"\n"
	"Without this file nothing that it sealed can ever be read again, by\n"
	"anybody.  Keep a copy away from the database hosts and from the\n"
	"repository.\n"
	"\n"
	"  --help, --version    show this, or the version, and exit\n";

int
cmd_keygen(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, CLI_HELP},
		{"version", no_argument, NULL, CLI_VERSION},
		{NULL, 0, NULL, 0}};
	struct cli_common common;
	char id[2 * KEY_ID_BYTES + 1];
	struct err err;
	int opt;

	log_init("walship keygen", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	cli_common_init(&common, "walship keygen", help);
	while ((opt = getopt_long(argc, argv, CLI_SHORT, options, NULL)) != -1)
	{
		int code = cli_common_option(&common, opt, argv);

		if (code >= 0)
			return code;
	}
	if (argc - optind != 1)
		return cli_usage(common.program, "one file name is needed");

	if (key_generate_file(argv[optind], id, &err) != ST_OK)
		return cli_fail(&err);

	if (printf("%s\n", id) < 0 || fflush(stdout) == EOF)
		return 1;
	(void) fprintf(stderr,
				   "Key %s is in \"%s\".\n"
				   "Without this file nothing that it seals can be read again "
				   "by anybody: keep a\n"
				   "copy away from the database hosts and from the "
				   "repository.\n",
				   id, argv[optind]);
	return 0;
}
