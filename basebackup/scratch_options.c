/*
 * scratch_options.c - what every command says that recovers a cluster aside
 */
#include "basebackup/scratch_options.h"

#include "common/cli.h"

void
scratch_options_init(struct scratch_options *o)
{
	*o = (struct scratch_options){.parent = "/var/tmp", .user = "postgres"};
}

bool
scratch_option(int opt)
{
	return recovery_option(opt) || (opt >= SCRATCH_DIR && opt <= SCRATCH_USER);
}

int
scratch_option_take(const char *program, struct scratch_options *o, int opt,
					const char *arg)
{
	switch (opt)
	{
		case SCRATCH_DIR:
			o->parent = arg;
			return -1;
		case SCRATCH_BINDIR:
			o->bindir = arg;
			return -1;
		case SCRATCH_USER:
			o->user = arg;
			return -1;
		default:
			return recovery_option_take(program, &o->request, opt, arg);
	}
}

int
scratch_options_check(const char *program, const struct scratch_options *o)
{
	if (o->parent[0] != '/')
		return cli_usage(program, "--scratch needs an absolute path");
	return recovery_options_check(program, &o->request);
}
