/*
 * recovery_options.h - where recovery goes to, on a command line
 *
 * The options that every command has which recovers a backup.
 */
#ifndef BASEBACKUP_RECOVERY_OPTIONS_H
#define BASEBACKUP_RECOVERY_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

#include "basebackup/restore.h"

/* Codes for getopt_long. */
enum recovery_option_code
{
	RECOVERY_TIME = 0x2000,
	RECOVERY_LSN,
	RECOVERY_XID,
	RECOVERY_NAME,
	RECOVERY_IMMEDIATE,
	RECOVERY_TIMELINE,
	RECOVERY_INCLUSIVE,
	RECOVERY_EXCLUSIVE,
	RECOVERY_ALLOW_GAP,
	RECOVERY_THAW
};

/* clang-format off */
#define RECOVERY_OPTIONS \
	{"target-time", required_argument, NULL, RECOVERY_TIME}, \
	{"target-lsn", required_argument, NULL, RECOVERY_LSN}, \
	{"target-xid", required_argument, NULL, RECOVERY_XID}, \
	{"target-name", required_argument, NULL, RECOVERY_NAME}, \
	{"target-immediate", no_argument, NULL, RECOVERY_IMMEDIATE}, \
	{"target-timeline", required_argument, NULL, RECOVERY_TIMELINE}, \
	{"target-inclusive", no_argument, NULL, RECOVERY_INCLUSIVE}, \
	{"target-exclusive", no_argument, NULL, RECOVERY_EXCLUSIVE}, \
	{"allow-gap", no_argument, NULL, RECOVERY_ALLOW_GAP}, \
	{"thaw", required_argument, NULL, RECOVERY_THAW}
/* clang-format on */

/* Is it one of these? */
extern bool recovery_option(int opt);

/*
 * Takes one.  arg must live as long as the request.  Returns -1 to go on,
 * else the code to exit with.
 */
extern int
recovery_option_take(const char *program, struct restore_request *request,
					 int opt, const char *arg);

/* What does not go together.  As above. */
extern int recovery_options_check(const char *program,
								  const struct restore_request *request);

#endif
