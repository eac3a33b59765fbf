/*
 * drill_options.c - the command line of walship drill
 */
#include "basebackup/drill_options.h"

#include <stdio.h>
#include <string.h>

#define TIME_LIMIT_MS ((int64_t) 24 * 3600 * 1000)
#define MEMORY_BYTES  ((int64_t) 1 << 30)

/* Of which wal-fetch, as a process of the server's, takes a third. */
#define MEMORY_MIN ((int64_t) 256 << 20)

static const char help[] =
	"walship drill proves that a backup can be restored, by restoring it.\n\n"
	"Usage: walship drill [OPTION]...\n\n"
	"  --backup=BACKUP          this one (default: the newest that leads to "
	"the\n"
	"                           target)\n"
	"  --random                 one that is drawn\n"
	"  --random-target          recover to a moment that is drawn\n"
	"  --checks=FILE            SQL statements, each of which must return "
	"true\n"
	"  --no-amcheck             leave out pg_amcheck\n"
	"  --html=FILE              a page that shows what came of it\n"
	"  --json                   one JSON object\n"
	"  --time-limit=TIME        fail if it takes longer (default: 24h)\n"
	"  --memory=SIZE            of the server: a quarter is shared, each "
	"process\n"
	"                           may take half (default: 1GB)\n" SCRATCH_PLACE_HELP
	"\nRecovers to the end of the archive, or to one of these:\n" SCRATCH_TARGET_HELP
	"\n" CLI_OPTIONS_HELP
	"\nA private server, without network, recovers a copy of the cluster.  "
	"The\noriginal and its archive are not touched.  Exits with 0 only if all "
	"is well.\nStarted by root it goes on as the user postgres.\n";

enum option_code
{
	OPT_BACKUP = 1,
	OPT_RANDOM,
	OPT_RANDOM_TARGET,
	OPT_CHECKS,
	OPT_NO_AMCHECK,
	OPT_HTML,
	OPT_JSON,
	OPT_TIME_LIMIT,
	OPT_MEMORY
};

static const struct option options[] = {
	CLI_OPTIONS,
	SCRATCH_OPTIONS,
	{"backup", required_argument, NULL, OPT_BACKUP},
	{"random", no_argument, NULL, OPT_RANDOM},
	{"random-target", no_argument, NULL, OPT_RANDOM_TARGET},
	{"checks", required_argument, NULL, OPT_CHECKS},
	{"no-amcheck", no_argument, NULL, OPT_NO_AMCHECK},
	{"html", required_argument, NULL, OPT_HTML},
	{"json", no_argument, NULL, OPT_JSON},
	{"time-limit", required_argument, NULL, OPT_TIME_LIMIT},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{NULL, 0, NULL, 0}};

static int
take_time_limit(struct drill_options *o, const char *arg)
{
	if (!parse_duration_ms(arg, &o->time_limit_ms) || o->time_limit_ms <= 0)
		return cli_usage(o->common.program, "invalid time \"%s\"", arg);
	return -1;
}

static int
take_memory(struct drill_options *o, const char *arg)
{
	if (!parse_size_bytes(arg, &o->scratch.memory_bytes) ||
		o->scratch.memory_bytes < MEMORY_MIN)
		return cli_usage(o->common.program,
						 "--memory needs at least 256MB, not \"%s\"", arg);
	return -1;
}

static int
take_option(struct drill_options *o, int opt, char **argv)
{
	switch (opt)
	{
		case OPT_BACKUP:
			if (strcmp(optarg, "latest") != 0)
				o->scratch.request.backup_id = optarg;
			return -1;
		case OPT_RANDOM:
			o->random_backup = true;
			return -1;
		case OPT_RANDOM_TARGET:
			o->random_target = true;
			return -1;
		case OPT_CHECKS:
			o->checks = optarg;
			return -1;
		case OPT_NO_AMCHECK:
			o->no_amcheck = true;
			return -1;
		case OPT_HTML:
			o->html = optarg;
			return -1;
		case OPT_JSON:
			o->json = true;
			return -1;
		case OPT_TIME_LIMIT:
			return take_time_limit(o, optarg);
		case OPT_MEMORY:
			return take_memory(o, optarg);
		default:
			if (scratch_option(opt))
				return scratch_option_take(o->common.program, &o->scratch, opt,
										   optarg);
			return cli_common_option(&o->common, opt, argv);
	}
}

/* What does not go together. */
static int
check(const struct drill_options *o)
{
	const struct restore_request *r = &o->scratch.request;
	const char *program = o->common.program;

	if (o->random_backup && r->backup_id != NULL)
		return cli_usage(program, "--backup and --random do not go together");
	if ((o->random_backup || o->random_target) && r->target.kind != TARGET_END)
		return cli_usage(program, "what is drawn has no target");
	return scratch_options_check(program, &o->scratch);
}

int
drill_options_read(struct drill_options *o, int argc, char **argv)
{
	int opt, code;

	*o = (struct drill_options){.time_limit_ms = TIME_LIMIT_MS};
	scratch_options_init(&o->scratch);
	o->scratch.memory_bytes = MEMORY_BYTES;
	cli_common_init(&o->common, "walship drill", help);
	while ((opt = getopt_long(argc, argv, CLI_SHORT, options, NULL)) != -1)
		if ((code = take_option(o, opt, argv)) >= 0)
			return code;
	if (optind < argc)
		return cli_usage(o->common.program, "unexpected \"%s\"", argv[optind]);
	return check(o);
}
