/*
 * subprocess.h - runs a program for what it prints
 */
#ifndef COMMON_SUBPROCESS_H
#define COMMON_SUBPROCESS_H

#include <stddef.h>

#include "common/deadline.h"
#include "common/err.h"

/*
 * Runs argv[0], looked up in PATH unless it has a slash, in a process group of
 * its own, with standard input from /dev/null, standard error ours, no other
 * descriptor of ours, and our environment without our own secrets.  *out
 * receives its standard output, at most max bytes and a zero, in memory that
 * secret_free frees.  The group is killed when the deadline passes, on
 * cancellation, and when it prints too much.  ST_IO: it failed or printed too
 * much; ST_DEADLINE; ST_CANCELLED.  Messages call it what; none repeats argv
 * or what was printed.
 */
extern enum status
subprocess_read(const char *what, char *const argv[], size_t max,
				const struct deadline *d, char **out, size_t *out_len,
				struct err *err) ERR_CHECK;

#endif
