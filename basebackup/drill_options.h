/*
 * drill_options.h - the command line of walship drill
 */
#ifndef BASEBACKUP_DRILL_OPTIONS_H
#define BASEBACKUP_DRILL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/scratch_options.h"
#include "common/cli.h"

struct drill_options
{
	struct cli_common common;
	struct scratch_options scratch;
	bool random_backup;
	bool random_target;
	bool no_amcheck;
	bool json;
	const char *checks; /* a file, or NULL */
	const char *html;   /* a file, or NULL */
	int64_t time_limit_ms;
};

/* Returns -1 to go on, else the code to exit with at once. */
extern int
drill_options_read(struct drill_options *options, int argc, char **argv);

#endif
