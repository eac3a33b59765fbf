/*
 * check.h - what `walship check` finds, told as it is found
 *
 * Each check is one line on standard output, a verdict, the check's name,
 * what was found, and what to do; or with --json one document at the end.
 * The names are stable, for programs that read them.
 *
 * Nothing here fails: a check that cannot be made is a line of its own that
 * says so.  Trouble with standard output comes out of check_end.
 */
#ifndef BASEBACKUP_CHECK_H
#define BASEBACKUP_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "basebackup/pgconn.h"
#include "common/err.h"
#include "common/session.h"

enum check_verdict
{
	CHECK_OK,
	CHECK_WARNING, /* works, but not as well or as safely as it could */
	CHECK_FAIL     /* archiving, backup or restore will not work */
};

struct check;

/* ST_NOMEM only. */
extern enum status
check_begin(bool json, struct check **out, struct err *err) ERR_CHECK;

/* The closing line or the document.  Frees.  The exit code: 0 or 1. */
extern int check_end(struct check *check);

/*
 * One line.  advice: sentences that say what to do, or NULL.  found: without
 * a period at its end.
 */
extern void
check_tell(struct check *check, enum check_verdict verdict, const char *name,
		   const char *advice, const char *found, ...) ERR_PRINTF(5, 6);

/* The same, the advice being an err's detail and hint. */
extern void check_tell_err(struct check *check, enum check_verdict verdict,
						   const char *name, const struct err *err);

/* What is looked at, beside the configuration. */
struct check_server
{
	struct pgconn *conn; /* NULL: no connection */
	struct pgresult *settings;
	int version;                /* like 150020 */
	uint64_t system_identifier; /* 0: not known */
	bool in_recovery;
};

/*
 * check_store.c: put, read, list, delete, and what the store is like.  False:
 * it cannot be used.
 */
extern bool check_store(struct check *check, const struct session *session);

/*
 * Where the server's data directory and its pg_wal are, if they are on this
 * host: a path alone proves nothing, since the server may run elsewhere.
 */
extern bool check_find_data(const struct check_server *server,
							struct stat *data, struct stat *wal);

/* check_backups.c: of that cluster; 0: the only one in the repository. */
extern void check_backups(struct check *check, const struct session *session,
						  uint64_t system_identifier);

/* check_key.c: loads the keys into the session; NULL if that fails. */
extern void check_key(struct check *check, struct session *session);
extern void check_key_place(struct check *check, const struct config *cfg,
							const struct check_server *server);

/* check_spool.c */
extern void check_spool(struct check *check, const struct config *cfg,
						const struct check_server *server);

/*
 * check_server.c.  _identify connects for replication and asks who the server
 * is, telling nothing: the configuration may depend on the answer.
 */
extern enum status
check_server_identify(struct pg_options *opts, const struct config *cfg,
					  uint64_t *system_identifier, struct err *err) ERR_CHECK;
extern void
check_server(struct check *check, struct pg_options *opts,
			 const struct config *cfg, struct check_server *server);
extern void check_server_close(struct check_server *server);

/* A setting as pg_settings has it, or NULL if the role may not see it. */
extern const char *
check_server_setting(const struct check_server *server, const char *name);

/* check_archive.c: forces a WAL switch and waits for the segment. */
extern void check_archive(struct check *check, const struct session *session,
						  const struct check_server *server, int64_t wait_ms);

#endif
