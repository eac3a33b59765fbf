/*
 * subprocess.h - runs a program for what it prints, or for what it is told
 *
 * Each runs in a process group of its own, with default signals.  A group
 * that is killed is also reaped, down to grandchildren: this process adopts
 * them (PR_SET_CHILD_SUBREAPER), so that none is left to a process 1 that
 * could mistake it for a child of its own.
 */
#ifndef COMMON_SUBPROCESS_H
#define COMMON_SUBPROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/deadline.h"
#include "common/err.h"

/*
 * Runs argv[0], looked up in PATH unless it has a slash, with standard input
 * from /dev/null, standard error ours, no other descriptor of ours, and our
 * environment without our own secrets.  *out receives its standard output, at
 * most max bytes and a zero, in memory that secret_free frees.  The group is
 * killed when the deadline passes, on cancellation, and when it prints too
 * much.  ST_IO: it failed or printed too much; ST_DEADLINE; ST_CANCELLED.
 * Messages call it what; none repeats argv or what was printed.
 */
extern enum status
subprocess_read(const char *what, char *const argv[], size_t max,
				const struct deadline *d, char **out, size_t *out_len,
				struct err *err) ERR_CHECK;

/*
 * The entries of environ that pass, themselves; the array is the caller's to
 * free.  NULL: out of memory.
 */
extern char **subprocess_environment(bool (*passes)(const char *entry));

struct subprocess_feed
{
	const char *what; /* in messages */
	char *const *argv;
	char *const *environment;
	const char *text; /* its standard input: a file without a name */
	size_t len;
};

/*
 * Runs argv[0] with that input, in the directory "/", with no other
 * descriptor than standard output and error to /dev/null.  When it ends, or
 * the deadline passes, or on cancellation, all that is left of its group is
 * killed; returns within a second of that, also if the kernel does not let
 * go of it.  ST_IO: it cannot be run, or failed; ST_DEADLINE; ST_CANCELLED.
 * Messages as above.
 */
extern enum status
subprocess_feed(const struct subprocess_feed *job, const struct deadline *d,
				struct err *err) ERR_CHECK;

#endif
