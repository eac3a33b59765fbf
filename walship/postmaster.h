/*
 * postmaster.h - the server that runs on a data directory
 *
 * Taken from postmaster.pid: the process id in its first line, the start time
 * in its third (PostgreSQL: utils/pidfile.h).
 */
#ifndef WALSHIP_POSTMASTER_H
#define WALSHIP_POSTMASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct postmaster
{
	pid_t pid;
	int64_t started_s; /* seconds since 1970 */
};

/* Pure: a postmaster.pid's text; false if it is none, or not whole. */
extern bool
postmaster_parse(const char *text, size_t len, struct postmaster *out);

/* False if the file in that data directory is absent or cannot be read. */
extern bool postmaster_read(const char *datadir, struct postmaster *out);

/* True if that very server still runs on the data directory. */
extern bool
postmaster_runs(const char *datadir, const struct postmaster *server);

#endif
