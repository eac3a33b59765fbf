/*
 * cmd_keygen.c - walship keygen: makes a repository key, or changes keys
 */
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/key.h"
#include "common/log.h"
#include "walship/command.h"

static const char help[] =
	"Usage: walship keygen [--add | --use ID] FILE\n"
	"\n"
	"Makes a new repository key and writes it to FILE, which must not exist,\n"
	"readable by you alone.  The key's id goes to standard output.\n"
	"\n"
	"  --add                append a new key to FILE: it opens what others "
	"seal\n"
	"  --use ID             put that key first: it seals from now on\n"
	"\n"
	"To change keys: --add on one host, copy the file to all, and when every\n"
	"host has it, --use on each.  Old keys stay in the file as long as "
	"anything\n"
	"in the repository is sealed with them.\n"
	"\n"
	"Without this file nothing that it sealed can ever be read again, by\n"
	"anybody.  Keep a copy away from the database hosts and from the\n"
	"repository.\n"
	"\n"
	"  --help, --version    show this, or the version, and exit\n";

enum
{
	OPT_ADD = 0x3000,
	OPT_USE
};

/* How it is lost: by itself, or as the one key that old copies lack. */
static void
tell(const char *id, const char *path, bool add)
{
	(void) fprintf(stderr,
				   "Key %s is in \"%s\".\n"
				   "Without this file nothing that it seals can be read again "
				   "by anybody: keep a\n"
				   "copy away from the database hosts and from the "
				   "repository.\n",
				   id, path);
	if (!add && geteuid() == 0)
		(void) fputs("It is root's: let the server's user read it, by chown "
					 "or as its group.\n",
					 stderr);
	if (add)
		(void) fputs("Copies made before lack this key: replace them before "
					 "--use.\n",
					 stderr);
}

/* Before that, an old copy of the file would have done. */
static void
tell_used(const char *id, const char *path)
{
	(void) fprintf(stderr,
				   "Key %s is the first in \"%s\" and seals from now on.\n"
				   "A copy of the file that lacks it cannot open what is "
				   "sealed from now on.\n",
				   id, path);
}

static enum status
run(const char *path, bool add, const char *use, struct err *err)
{
	char id[2 * KEY_ID_BYTES + 1];
	enum status status;

	if (use != NULL)
	{
		status = key_use_in_file(path, use, err);
		if (status == ST_OK)
			tell_used(use, path);
		return status;
	}
	status = add ? key_add_to_file(path, id, err)
				 : key_generate_file(path, id, err);
	if (status != ST_OK)
		return status;
	tell(id, path, add);
	if (printf("%s\n", id) < 0 || fflush(stdout) == EOF)
		return err_set(err, ST_IO, "could not write to standard output");
	return ST_OK;
}

int
cmd_keygen(int argc, char **argv)
{
	static const struct option options[] = {
		{"add", no_argument, NULL, OPT_ADD},
		{"use", required_argument, NULL, OPT_USE},
		{"help", no_argument, NULL, CLI_HELP},
		{"version", no_argument, NULL, CLI_VERSION},
		{NULL, 0, NULL, 0}};
	struct cli_common common;
	const char *use = NULL;
	bool add = false;
	struct err err;
	int opt;
	int code;

	log_init("walship keygen", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	cli_common_init(&common, "walship keygen", help);
	while ((opt = getopt_long(argc, argv, CLI_SHORT, options, NULL)) != -1)
		if (opt == OPT_ADD)
			add = true;
		else if (opt == OPT_USE)
			use = optarg;
		else if ((code = cli_common_option(&common, opt, argv)) >= 0)
			return code;
	if (argc - optind != 1)
		return cli_usage(common.program, "one file name is needed");
	if (add && use != NULL)
		return cli_usage(common.program, "--add and --use exclude each other");
	return run(argv[optind], add, use, &err) == ST_OK ? 0 : cli_fail(&err);
}
