/*
 * scratch_server.h - a private server on a restored data directory
 *
 * It has no network, archives nothing, and ends with this process, however
 * that ends.  Its sockets lie in a directory that only its user may enter, so
 * every local connection is trusted.  All that it writes is in the scratch
 * directory, and nothing of it is made to last.
 *
 * Layout of the scratch directory: data (restored before), tablespace, socket,
 * spool, postgresql.conf, pg_hba.conf, pg_ident.conf, server.log, client.log.
 */
#ifndef BASEBACKUP_SCRATCH_SERVER_H
#define BASEBACKUP_SCRATCH_SERVER_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/plan.h"
#include "basebackup/scratch_dir.h"
#include "common/err.h"

/* All borrowed. */
struct scratch_server_options
{
	const struct scratch *scratch;
	const struct plan *plan; /* its settings and version */
	const char *bindir;      /* see scratch_find_bindir */

	/* 0, or of it: a quarter is shared, each process may take half. */
	int64_t memory_bytes;
	const volatile sig_atomic_t *cancel;
};

struct scratch_server;

/*
 * The directory of the server's programs: bindir if given, else where Debian
 * has those of that version, in out (PATH_MAX).  ST_CONFIG: there are none.
 */
extern enum status
scratch_find_bindir(const struct plan *plan, const char *bindir, char *out,
					struct err *err) ERR_CHECK;

/*
 * Writes the configuration, without what would reach out of the scratch.
 * Libraries to be preloaded that this host lacks are left out, with a warning.
 */
extern enum status
scratch_write_settings(const struct scratch_server_options *options,
					   struct err *err) ERR_CHECK;

/*
 * Starts it, and waits until recovery has ended and it takes connections:
 * for as long as it lives.  ST_SERVER: it ended, with what its log says.
 */
extern enum status
scratch_server_start(const struct scratch_server_options *options,
					 struct scratch_server **out, struct err *err) ERR_CHECK;

/*
 * Runs a program of bindir with these arguments, PGHOST and the like set, its
 * output going to fd and input (NULL: none) being its standard input.
 * ST_SERVER: it failed, with what it said.
 */
extern enum status
scratch_server_run(struct scratch_server *server, const char *program,
				   const char *const *args, const char *input, int fd,
				   struct err *err) ERR_CHECK;

/* What its log tells of recovery. */
struct scratch_milestones
{
	int64_t consistent_ms; /* since 1970; 0: not known */
	uint64_t segments;     /* files that restore_command brought */
};

extern void scratch_server_milestones(const struct scratch_server *server,
									  struct scratch_milestones *out);

/*
 * A database as PostgreSQL's clients take it, whatever its name; a name alone
 * might be taken for a connection string.  Freed by free(), NULL: no memory.
 */
extern char *scratch_server_database(const char *name);

/* The environment in which a client of this process finds it. */
extern void scratch_server_environment(const struct scratch_server *server);

/*
 * What the program that scratch_server_run ran last said, its last lines
 * only; freed by free(), NULL: nothing.
 */
extern char *scratch_server_said(const struct scratch_server *server);

/* Ends it at once; NULL is fine. */
extern void scratch_server_stop(struct scratch_server *server);

#endif
