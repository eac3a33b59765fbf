/*
 * restore_command.h - what a restored server runs to get WAL back
 *
 * wal-fetch, with the same configuration, given by the same means, that this
 * program itself was started with.
 */
#ifndef BASEBACKUP_RESTORE_COMMAND_H
#define BASEBACKUP_RESTORE_COMMAND_H

#include <limits.h>
#include <stdbool.h>

#include "common/cli.h"
#include "common/session.h"

struct restore_command
{
	char program[PATH_MAX];
	char config[PATH_MAX + 16];
	char cluster[48];
	char *settings[CLI_OVERRIDES_MAX];
	size_t nsettings;
	const char *words[CLI_OVERRIDES_MAX + 8]; /* NULL-terminated */
};

/*
 * The session knows its cluster.  restore_command_free is due in any case.
 * ST_CONFIG: wal-fetch is not installed.
 */
extern enum status
restore_command_build(struct restore_command *command,
					  const struct cli_common *common,
					  const struct session *session, bool standby,
					  struct err *err) ERR_CHECK;
extern void restore_command_free(struct restore_command *command);

#endif
