/*
 * session.c - what a command has open: configuration, log, keys, repository
 */
#include "common/session.h"

#include <inttypes.h>
#include <string.h>

#include "common/log.h"

enum status
session_configure_for(struct session *session, const struct cli_common *common,
					  uint64_t at_hand, struct err *err)
{
	uint64_t cluster = common->cluster != 0 ? common->cluster : at_hand;
	struct config *cfg;

	*session = (struct session){.cfg = NULL};
	if (config_load(common->config, cluster, common->overrides, &cfg, err) !=
		ST_OK)
		return err->status;

	if (cfg->log_level == LOG_LEVEL_AUTO)
		cfg->log_level = strncmp(common->program, "wal-", 4) == 0
							 ? LOG_LEVEL_WARNING
							 : LOG_LEVEL_INFO;
	log_init(common->program, cfg->log_format, cfg->log_level);
	session->cfg = cfg;
	return ST_OK;
}

enum status
session_configure(struct session *session, const struct cli_common *common,
				  struct err *err)
{
	return session_configure_for(session, common, 0, err);
}

enum status
session_choose_cluster(const struct session *session,
					   const struct cli_common *common, uint64_t at_hand,
					   uint64_t *out, struct err *err)
{
	uint64_t said =
		common->cluster != 0 ? common->cluster : session->cfg->cluster;

	if (at_hand != 0 && said != 0 && at_hand != said)
		return err_set(
			err, ST_CONFIG,
			"the cluster at hand has system identifier %" PRIu64
			", but %s says %" PRIu64,
			at_hand, common->cluster != 0 ? "--cluster" : "the configuration",
			said);
	*out = at_hand != 0 ? at_hand : said;
	return ST_OK;
}

enum status
session_open_repo(struct session *session, const struct cli_common *common,
				  uint64_t system_identifier, struct err *err)
{
	uint64_t cluster = 0;

	if (config_require(session->cfg, err) != ST_OK ||
		session_choose_cluster(session, common, system_identifier, &cluster,
							   err) != ST_OK ||
		(session->ring == NULL &&
		 keyring_load(session->cfg, &session->ring, err) != ST_OK) ||
		repo_open(&session->repo, session->cfg, session->ring, cluster, err) !=
			ST_OK)
		return err->status;

	store_set_timeout(session->repo.store, session->cfg->command_timeout_ms,
					  cli_cancel());
	return ST_OK;
}

enum status
session_open(struct session *session, const struct cli_common *common,
			 struct err *err)
{
	if (session_configure(session, common, err) != ST_OK)
		return err->status;
	if (session_open_repo(session, common, 0, err) != ST_OK)
	{
		session_close(session);
		return err->status;
	}
	return ST_OK;
}

struct deadline
session_deadline(const struct session *session)
{
	return deadline_in(session->cfg->command_timeout_ms, cli_cancel());
}

void
session_close(struct session *session)
{
	if (session->repo.store != NULL)
		repo_close(&session->repo);
	keyring_free(session->ring);
	config_free(session->cfg);
	*session = (struct session){.cfg = NULL};
}
