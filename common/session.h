/*
 * session.h - what a command has open: configuration, log, keys, repository
 *
 * The one way from the common options to a repository.  A session belongs to
 * the main thread; workers open a store of their own from session.cfg and
 * share the keyring.
 */
#ifndef COMMON_SESSION_H
#define COMMON_SESSION_H

#include "common/cli.h"
#include "common/config.h"
#include "common/deadline.h"
#include "common/err.h"
#include "common/key.h"
#include "common/repo.h"

struct session
{
	struct config *cfg;
	struct keyring *ring;
	struct repo repo; /* opened if repo.store is not NULL */
};

/*
 * Loads the configuration that the options name, sets up the log with
 * common->program, and stops there: for what must work on a half-configured
 * host.  On failure there is nothing to close.  session_configure_for counts
 * the section of the cluster at hand (0: none) where --cluster says nothing.
 */
extern enum status
session_configure(struct session *session, const struct cli_common *common,
				  struct err *err) ERR_CHECK;
extern enum status
session_configure_for(struct session *session, const struct cli_common *common,
					  uint64_t at_hand, struct err *err) ERR_CHECK;

/*
 * Which cluster is meant: the one at hand (0: none), --cluster, or the
 * setting; 0 if nobody says.  ST_CONFIG if they contradict each other.
 */
extern enum status
session_choose_cluster(const struct session *session,
					   const struct cli_common *common, uint64_t at_hand,
					   uint64_t *out, struct err *err) ERR_CHECK;

/*
 * The rest: config_require, the keys unless session.ring is set already, the
 * repository.  Sends no request.
 * system_identifier: the cluster the caller has at hand, or 0: --cluster,
 * else the setting, else left open for repo_resolve_cluster.  ST_CONFIG if
 * what is at hand contradicts --cluster or the setting.  Each call of the
 * store may take command_timeout.  On failure session_close is still due.
 */
extern enum status
session_open_repo(struct session *session, const struct cli_common *common,
				  uint64_t system_identifier, struct err *err) ERR_CHECK;

/* Both of the above, with no cluster at hand.  On failure nothing is open. */
extern enum status
session_open(struct session *session, const struct cli_common *common,
			 struct err *err) ERR_CHECK;

/* command_timeout from now, and cli_cancel's flag. */
extern struct deadline session_deadline(const struct session *session);

/* Wipes and frees everything; fine after any of the above, and twice. */
extern void session_close(struct session *session);

#endif
