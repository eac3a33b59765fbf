/*
 * restore_options.h - the command line of walship restore
 */
#ifndef BASEBACKUP_RESTORE_OPTIONS_H
#define BASEBACKUP_RESTORE_OPTIONS_H

#include "basebackup/restore.h"
#include "common/cli.h"

#define RESTORE_MAPPINGS_MAX 256

struct restore_options
{
	struct cli_common common;
	struct restore_request request;
	bool json;
	struct tablespace_mapping mappings[RESTORE_MAPPINGS_MAX];
	char *owned[2 * RESTORE_MAPPINGS_MAX + 4]; /* what request points to */
	size_t nowned;
};

/*
 * Reads the command line.  Returns -1 to go on, else the code to exit with at
 * once.  restore_options_free is due in both cases.
 */
extern int
restore_options_read(struct restore_options *o, int argc, char **argv);
extern void restore_options_free(struct restore_options *o);

#endif
