/*
 * restore_options.c - the command line of walship restore
 */
#include "basebackup/restore_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basebackup/recovery_options.h"

#define SLOT_NAME_MAX 63

static const char help[] =
	"walship restore puts a backup into a directory, ready to recover.\n\n"
	"Usage: walship restore [BACKUP | latest] --target-dir=DIR [OPTION]...\n\n"
	"  --target-dir=DIR          where to; empty or absent, but for --delta\n"
	"  --tablespace=OLD=NEW      put the tablespace at OLD to NEW; repeatable\n"
	"  --link-wal=DIR            make pg_wal a symbolic link to this directory\n"
	"  --config-dir=DIR          for configuration from outside the data\n"
	"                            directory (default: target-dir, .config)\n"
	"\nRecover to the end of the archive, or to one of these:\n"
	"  --target-time=TIME        like \"2026-11-21 13:30:00+01\"\n"
	"  --target-lsn=LSN          like 0/3000060\n"
	"  --target-xid=XID          the commit of a transaction\n"
	"  --target-name=NAME        a point made by pg_create_restore_point()\n"
	"  --target-immediate        the end of the backup\n"
	"  --target-timeline=N       along this timeline (default: the newest)\n"
	"  --target-inclusive        stop behind the target (default)\n"
	"  --target-exclusive        stop before it\n"
	"  --target-action=ACTION    then pause (default), promote or shutdown\n"
	"  --allow-gap               go on although WAL that may lie behind the\n"
	"                            target is missing\n"
	"\n"
	"  --standby                 make a standby, which never ends recovery\n"
	"  --primary-conninfo=INFO   whom the standby streams from\n"
	"  --primary-slot=NAME       by which replication slot\n"
	"  --dry-run                 say what would be done, and whether it can be\n"
	"  --json                    the plan and the result as one JSON object\n"
	"  --thaw=DAYS               have the store bring back what is archived\n"
	"                            for so many days, and wait for it\n"
	"  --delta                   onto what is there: fetch what differs, remove\n"
	"                            what is not in the backup\n"
	"  --force                   with --delta: even over another cluster, or\n"
	"                            WAL that was not archived\n"
	"  --keep-archiving          leave archive_mode as it was; otherwise the\n"
	"                            restored server does not archive, unless it\n"
	"                            is a standby\n" CLI_OPTIONS_HELP
	"\nWithout BACKUP the newest one that leads to the target is taken.  "
	"Run it as\nthe user that owns the server.\n";

enum option_code
{
	OPT_DIR = 1,
	OPT_TABLESPACE,
	OPT_CONFIG_DIR,
	OPT_ACTION,
	OPT_STANDBY,
	OPT_PRIMARY,
	OPT_SLOT,
	OPT_LINK_WAL,
	OPT_DELTA,
	OPT_FORCE,
	OPT_DRY_RUN,
	OPT_JSON,
	OPT_KEEP_ARCHIVING
};

static const struct option options[] = {
	CLI_OPTIONS,
	{"target-dir", required_argument, NULL, OPT_DIR},
	{"tablespace", required_argument, NULL, OPT_TABLESPACE},
	{"config-dir", required_argument, NULL, OPT_CONFIG_DIR},
	RECOVERY_OPTIONS,
	{"target-action", required_argument, NULL, OPT_ACTION},
	{"standby", no_argument, NULL, OPT_STANDBY},
	{"primary-conninfo", required_argument, NULL, OPT_PRIMARY},
	{"primary-slot", required_argument, NULL, OPT_SLOT},
	{"link-wal", required_argument, NULL, OPT_LINK_WAL},
	{"delta", no_argument, NULL, OPT_DELTA},
	{"force", no_argument, NULL, OPT_FORCE},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN},
	{"json", no_argument, NULL, OPT_JSON},
	{"keep-archiving", no_argument, NULL, OPT_KEEP_ARCHIVING},
	{NULL, 0, NULL, 0}};

/* Keeps text until restore_options_free; NULL stays NULL. */
static char *
own(struct restore_options *o, char *text)
{
	o->owned[o->nowned++] = text;
	return text;
}

/* Without slashes at the end, so that paths can be compared. */
static void
trim(char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
}

/* An absolute path; NULL without memory or working directory. */
static char *
absolute(const char *path)
{
	char *cwd, *full = NULL;

	if (path[0] == '/')
		full = strdup(path);
	else
	{
		cwd = getcwd(NULL, 0);
		if (cwd == NULL || asprintf(&full, "%s/%s", cwd, path) < 0)
			full = NULL;
		free(cwd);
	}
	if (full != NULL)
		trim(full);
	return full;
}

static int
take_dir(struct restore_options *o, const char **out, const char *path)
{
	if (*path == '\0')
		return cli_usage(o->common.program, "a directory's name is empty");
	if (*out != NULL)
		return cli_usage(o->common.program,
						 "a directory is given twice: \"%s\"", path);
	*out = own(o, absolute(path));
	return *out == NULL ? cli_usage(o->common.program,
									"cannot tell where \"%s\" is", path)
						: -1;
}

/* OLD=NEW, where "\=" stands for '=' within a path. */
static int
take_tablespace(struct restore_options *o, const char *arg)
{
	struct restore_request *r = &o->request;
	struct tablespace_mapping *m = &o->mappings[r->nmappings];
	char *from = NULL, *to = NULL, *at;

	if (r->nmappings == RESTORE_MAPPINGS_MAX)
		return cli_usage(o->common.program, "too many tablespaces");
	from = own(o, strdup(arg));
	if (from == NULL)
		return cli_usage(o->common.program, "out of memory");
	at = from;
	for (const char *c = arg; *c != '\0'; c++)
	{
		if (*c == '\\' && c[1] == '=')
			*at++ = *++c;
		else if (*c == '=' && to == NULL)
		{
			*at++ = '\0';
			to = at;
		}
		else
			*at++ = *c;
	}
	*at = '\0';
	if (to == NULL || from[0] != '/' || to[0] != '/')
		return cli_usage(o->common.program,
						 "--tablespace needs two absolute paths, not \"%s\"",
						 arg);
	trim(from);
	trim(to);
	*m = (struct tablespace_mapping){from, to};
	r->mappings = o->mappings;
	r->nmappings++;
	return -1;
}

/* What stands on a command line, any user of the host may read. */
static int
take_primary(struct restore_options *o, const char *arg)
{
	const char *host = strstr(arg, "://");
	const char *at = host == NULL ? NULL : strchr(host + 3, '@');
	bool password = strstr(arg, "password") != NULL;

	if (at != NULL && memchr(host + 3, ':', (size_t) (at - host - 3)) != NULL)
		password = true;
	if (password)
		return cli_usage(o->common.program,
						 "--primary-conninfo cannot hold a password: let it "
						 "name a passfile");
	if (*arg == '\0' || strpbrk(arg, "\r\n") != NULL)
		return cli_usage(o->common.program, "invalid --primary-conninfo");
	o->request.primary_conninfo = arg;
	return -1;
}

static int
take_slot(struct restore_options *o, const char *arg)
{
	size_t len = strlen(arg);

	if (len == 0 || len > SLOT_NAME_MAX ||
		arg[strspn(arg, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
		return cli_usage(o->common.program, "invalid slot name \"%s\"", arg);
	o->request.primary_slot = arg;
	return -1;
}

static int
take_action(struct restore_options *o, const char *arg)
{
	if (strcmp(arg, "pause") != 0 && strcmp(arg, "promote") != 0 &&
		strcmp(arg, "shutdown") != 0)
		return cli_usage(o->common.program, "invalid action \"%s\"", arg);
	o->request.target.action = arg;
	return -1;
}

static int
take_option(struct restore_options *o, int opt, char **argv)
{
	struct restore_request *r = &o->request;

	switch (opt)
	{
		case OPT_DIR:
			return take_dir(o, &r->target_dir, optarg);
		case OPT_CONFIG_DIR:
			return take_dir(o, &r->config_dir, optarg);
		case OPT_LINK_WAL:
			return take_dir(o, &r->link_wal, optarg);
		case OPT_PRIMARY:
			return take_primary(o, optarg);
		case OPT_SLOT:
			return take_slot(o, optarg);
		case OPT_TABLESPACE:
			return take_tablespace(o, optarg);
		case OPT_ACTION:
			return take_action(o, optarg);
		case OPT_STANDBY:
			r->standby = true;
			return -1;
		case OPT_DELTA:
			r->delta = true;
			return -1;
		case OPT_FORCE:
			r->force = true;
			return -1;
		case OPT_DRY_RUN:
			r->dry_run = true;
			return -1;
		case OPT_JSON:
			o->json = true;
			return -1;
		case OPT_KEEP_ARCHIVING:
			r->keep_archiving = true;
			return -1;
		default:
			if (recovery_option(opt))
				return recovery_option_take(o->common.program, r, opt, optarg);
			return cli_common_option(&o->common, opt, argv);
	}
}

/* What does not go together. */
static int
check(struct restore_options *o)
{
	struct restore_request *r = &o->request;
	const struct recovery_target *t = &r->target;
	char *config_dir = NULL;
	int code;

	if (r->target_dir == NULL)
		return cli_usage(o->common.program, "--target-dir is needed");
	if (r->standby && (t->kind != TARGET_END || r->timeline != 0))
		return cli_usage(o->common.program, "a standby has no target");
	if (r->force && !r->delta)
		return cli_usage(o->common.program, "--force is for --delta");
	if ((r->primary_conninfo != NULL || r->primary_slot != NULL) &&
		!r->standby)
		return cli_usage(o->common.program,
						 "only a standby has a primary: --standby is missing");
	if (t->action != NULL && t->kind == TARGET_END)
		return cli_usage(o->common.program, "--target-action needs a target");
	code = recovery_options_check(o->common.program, r);
	if (code >= 0)
		return code;
	if (r->config_dir == NULL)
	{
		if (asprintf(&config_dir, "%s.config", r->target_dir) < 0)
			return cli_usage(o->common.program, "out of memory");
		r->config_dir = own(o, config_dir);
	}
	return -1;
}

int
restore_options_read(struct restore_options *o, int argc, char **argv)
{
	int opt, code;

	*o = (struct restore_options){.nowned = 0};
	cli_common_init(&o->common, "walship restore", help);
	while ((opt = getopt_long(argc, argv, CLI_SHORT, options, NULL)) != -1)
		if ((code = take_option(o, opt, argv)) >= 0)
			return code;
	if (optind < argc && strcmp(argv[optind], "latest") != 0)
		o->request.backup_id = argv[optind];
	if (optind + 1 < argc)
		return cli_usage(o->common.program, "unexpected \"%s\"",
						 argv[optind + 1]);
	return check(o);
}

void
restore_options_free(struct restore_options *o)
{
	while (o->nowned > 0)
		free(o->owned[--o->nowned]);
}
