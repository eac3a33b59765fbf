/*
 * scratch_cluster.c - a copy of the cluster, recovered aside and asked
 */
#include "basebackup/scratch_cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "basebackup/run_as.h"
#include "common/log.h"

enum status
scratch_cluster_open(struct scratch_cluster *c,
					 const struct cli_common *common,
					 const struct scratch_options *options, struct err *err)
{
	bool became;
	enum status st;

	*c = (struct scratch_cluster){.common = common,
								  .options = options,
								  .request = options->request,
								  .scratch = {.lock = -1}};
	if ((st = run_as_postgres(&became, err)) != ST_OK)
		return st;
	if ((st = session_configure(&c->session, common, err)) != ST_OK ||
		(st = session_open_repo(&c->session, common, 0, err)) != ST_OK)
		return became ? err_context(err, "as user \"%s\"", RUN_AS_USER) : st;
	if (became)
		log_info("going on as user \"%s\"", RUN_AS_USER);
	return repo_resolve_cluster(&c->session.repo, err);
}

/* --- choosing ------------------------------------------------------------ */

/* Its directory is only for us: recovery ends there, whatever comes after. */
static void
fill_request(struct scratch_cluster *c)
{
	struct restore_request *r = &c->request;

	(void) snprintf(c->config_dir, sizeof(c->config_dir), "%s/config",
					c->scratch.dir);
	r->target_dir = c->scratch.data;
	r->config_dir = c->config_dir;
	r->own_settings = true;
	if (r->target.kind != TARGET_END)
		r->target.action = "promote";
	r->cancel = cli_cancel();
	r->terminal = c->session.cfg->log_format == LOG_FORMAT_TEXT;
	r->command = c->command.words;
}

/* The original's own wal-fetch may be at work in the configured spool. */
static enum status
build_command(struct scratch_cluster *c, struct err *err)
{
	struct cli_common common = *c->common;

	(void) snprintf(c->spool_setting, sizeof(c->spool_setting), "spool=%s",
					c->scratch.spool);
	if (cli_add_override(&common, c->spool_setting) >= 0)
		return err_set(err, ST_CONFIG, "there are too many settings");
	return restore_command_build(&c->command, &common, &c->session, false,
								 err);
}

static enum status
map_tablespaces(struct scratch_cluster *c, struct err *err)
{
	size_t n = c->plan->ntablespaces;

	c->mappings = calloc(n + 1, sizeof(*c->mappings));
	c->places = calloc(n + 1, sizeof(*c->places));
	if (c->mappings == NULL || c->places == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
	{
		(void) snprintf(c->places[i], sizeof(c->places[i]),
						"%s/tablespace/%" PRIu32, c->scratch.dir,
						c->plan->tablespaces[i].oid);
		c->mappings[i] = (struct tablespace_mapping){
			c->plan->tablespaces[i].location, c->places[i]};
	}
	c->request.mappings = c->mappings;
	c->request.nmappings = n;
	return ST_OK;
}

static void
say(const char *line)
{
	log_info("%s", line);
}

enum status
scratch_cluster_prepare(struct scratch_cluster *c, struct err *err)
{
	struct repo *repo = &c->session.repo;
	enum status st = scratch_make(&c->scratch, c->options->parent, err);

	if (st != ST_OK)
		return st;
	fill_request(c);
	if ((st = build_command(c, err)) != ST_OK ||
		(st = restore_prepare(repo, &c->request, &c->choice, &c->plan, err)) !=
			ST_OK ||
		(st = map_tablespaces(c, err)) != ST_OK ||
		(st = scratch_find_bindir(c->plan, c->options->bindir, c->bindir,
								  err)) != ST_OK)
		return st;
	return restore_settle(repo, &c->request, &c->choice, c->plan, say, err);
}

/* --- carrying out -------------------------------------------------------- */

enum status
scratch_cluster_fetch(struct scratch_cluster *c, struct err *err)
{
	enum status st =
		restore_files(&c->session.repo, &c->request, &c->choice, c->plan, err);

	if (st != ST_OK)
		err->detail[0] = '\0'; /* of a directory that goes anyway */
	return st;
}

enum status
scratch_cluster_start(struct scratch_cluster *c, struct err *err)
{
	enum status st;

	c->server_options = (struct scratch_server_options){
		.scratch = &c->scratch,
		.plan = c->plan,
		.bindir = c->bindir,
		.memory_bytes = c->options->memory_bytes,
		.cancel = c->request.cancel};
	st = scratch_write_settings(&c->server_options, err);
	if (st != ST_OK)
		return st;
	log_info("recovering, by a private server");
	return scratch_server_start(&c->server_options, &c->server, err);
}

void
scratch_cluster_remove(struct scratch_cluster *c)
{
	scratch_server_stop(c->server);
	c->server = NULL;
	scratch_remove(&c->scratch);
}

void
scratch_cluster_close(struct scratch_cluster *c)
{
	scratch_cluster_remove(c);
	if (c->plan != NULL)
	{
		plan_free(c->plan);
		restore_choice_free(&c->choice);
	}
	free(c->mappings);
	free(c->places);
	restore_command_free(&c->command);
	session_close(&c->session);
	*c = (struct scratch_cluster){.scratch = {.lock = -1}};
}
