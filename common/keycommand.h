/*
 * keycommand.h - runs the command that prints the keys
 */
#ifndef COMMON_KEYCOMMAND_H
#define COMMON_KEYCOMMAND_H

#include <stddef.h>

#include "common/deadline.h"
#include "common/err.h"

/*
 * Runs command by /bin/sh in a process group of its own, with standard input
 * from /dev/null, standard error ours, and no other descriptor of ours.  *out
 * receives its standard output, at most max bytes and a zero, in memory that
 * secret_free frees.  The group is killed when the deadline passes, on
 * cancellation, and when it prints too much.  ST_IO: it failed or printed too
 * much; ST_DEADLINE; ST_CANCELLED.  No message repeats the command or what it
 * printed.
 */
extern enum status
key_command_run(const char *command, size_t max, const struct deadline *d,
				char **out, size_t *out_len, struct err *err) ERR_CHECK;

#endif
