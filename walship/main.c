/*
 * main.c - the walship program: finds the command and runs it
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "basebackup/command.h"
#include "common/aead.h"
#include "common/cli.h"
#include "common/log.h"
#include "walship/command.h"
#include "walship_build.h"

static const struct
{
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"backup", cmd_backup, "make a base backup"},
	{"check", cmd_check, "look whether all is set up well"},
	{"drill", cmd_drill, "prove that a backup can be restored"},
	{"expire", cmd_expire, "delete what no rule keeps"},
	{"extract", cmd_extract, "bring back a table, a database or some rows"},
	{"keygen", cmd_keygen, "make a repository key"},
	{"list", cmd_list, "show the backups"},
	{"restore", cmd_restore, "put a backup into a directory, to recover"},
	{"status", cmd_status, "show what can be recovered, and what is amiss"},
	{"verify", cmd_verify, "look whether all is there, and readable"},
};

static int
show_help(void)
{
	cli_help("walship archives, backs up and recovers PostgreSQL.\n\n"
			 "Usage: walship COMMAND [OPTION]...\n\nCommands:\n");
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		(void) printf("  %-9s %s\n", commands[i].name, commands[i].help);
	cli_help("\n\"walship COMMAND --help\" explains a command.\n"
			 "wal-push and wal-fetch are programs of their own.\n");
	return 0;
}

int
main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	cli_signals();
	log_init("walship", LOG_FORMAT_TEXT, LOG_LEVEL_INFO);

	if (*word == '\0')
		return cli_usage("walship", "a command is needed");
	if (strcmp(word, "--help") == 0 || strcmp(word, "help") == 0)
		return show_help();
	if (strcmp(word, "--version") == 0)
	{
		cli_help("walship " WALSHIP_VERSION "\n");
		return 0;
	}
	(void) aead_use(&walship_aead_libcrypto);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strcmp(word, commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	return cli_usage("walship", "unknown command \"%s\"", word);
}
