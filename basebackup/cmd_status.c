/*
 * cmd_status.c - walship status
 */
#include "basebackup/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "basebackup/pgconn.h"
#include "basebackup/status_show.h"
#include "common/cli.h"
#include "common/session.h"

/* Who looks at the state wants to know soon: no hour of retries. */
#define STORE_CALL_MS INT64_C(30000)

#define CLUSTERS_MAX 256

static const char help[] =
	"walship status shows what can be recovered, and what is amiss.\n\n"
	"Usage: walship status [OPTION]...\n\n"
	"  --json               one JSON object\n"
	"  --prometheus         metrics in Prometheus' text format\n"
	"  --output FILE        into FILE, which is replaced at once\n"
	"  --no-server          do not ask the server\n"
	"  --full               list all WAL, whatever was seen before\n"
	"\n" PG_OPTIONS_HELP "\n" CLI_OPTIONS_HELP
	"\nWithout --cluster, all clusters of repository and configuration are "
	"shown.\nExits with 1 if there is any problem; with --prometheus only if "
	"the metrics\ncould not be written.\n";

enum
{
	OPT_JSON = 0x4000,
	OPT_PROMETHEUS,
	OPT_OUTPUT,
	OPT_NO_SERVER,
	OPT_FULL
};

static const struct option long_options[] = {
	CLI_OPTIONS,
	PG_LONG_OPTIONS,
	{"json", no_argument, NULL, OPT_JSON},
	{"prometheus", no_argument, NULL, OPT_PROMETHEUS},
	{"output", required_argument, NULL, OPT_OUTPUT},
	{"no-server", no_argument, NULL, OPT_NO_SERVER},
	{"full", no_argument, NULL, OPT_FULL},
	{NULL, 0, NULL, 0}};

struct request
{
	struct cli_common common;
	struct pg_options pg;
	bool json;
	bool prometheus;
	const char *output; /* NULL: standard output */
	bool no_server;
	bool full;
};

static int
take_option(struct request *request, int opt, char **argv)
{
	switch (opt)
	{
		case OPT_JSON:
			request->json = true;
			return -1;
		case OPT_PROMETHEUS:
			request->prometheus = true;
			return -1;
		case OPT_OUTPUT:
			request->output = optarg;
			return -1;
		case OPT_NO_SERVER:
			request->no_server = true;
			return -1;
		case OPT_FULL:
			request->full = true;
			return -1;
		default:
			if (pg_options_take(&request->pg, opt, optarg))
				return -1;
			return cli_common_option(&request->common, opt, argv);
	}
}

/* Returns -1 to go on, else the exit code. */
static int
parse_arguments(int argc, char **argv, struct request *request)
{
	int opt;
	int code;

	cli_common_init(&request->common, "walship status", help);
	while ((opt = getopt_long(argc, argv, CLI_SHORT PG_SHORT_OPTIONS,
							  long_options, NULL)) != -1)
		if ((code = take_option(request, opt, argv)) >= 0)
			return code;
	if (optind < argc)
		return cli_usage(request->common.program, "unexpected \"%s\"",
						 argv[optind]);
	if (request->json && request->prometheus)
		return cli_usage(request->common.program,
						 "--json and --prometheus exclude each other");

	/* A program that asks for metrics cannot answer a prompt. */
	if (request->pg.ask == PG_PASSWORD_AUTO &&
		(request->prometheus || isatty(STDIN_FILENO) == 0))
		request->pg.ask = PG_PASSWORD_NEVER;
	return -1;
}

/* --- which clusters ---------------------------------------------------------
 */

struct clusters
{
	size_t n;
	struct overview list[CLUSTERS_MAX];

	/* A repository that could not be listed is not asked once more. */
	char *failed; /* NULL: none */
	struct err why;
};

static void
add_cluster(void *arg, uint64_t system_identifier)
{
	struct clusters *clusters = arg;

	for (size_t i = 0; i < clusters->n; i++)
		if (clusters->list[i].system_identifier == system_identifier)
			return;
	if (clusters->n < CLUSTERS_MAX)
		clusters->list[clusters->n++].system_identifier = system_identifier;
}

/* Is a key all that a configuration lacks? */
static bool
no_key(const struct config *cfg)
{
	return cfg->repository != NULL && cfg->encryption != ENCRYPTION_NONE &&
		   cfg->key_file == NULL && cfg->key_command == NULL;
}

/*
 * Opens what can be opened of a cluster's repository.  Without a key there is
 * no ring, without a store none; each is a problem of that cluster.
 */
static enum status
open_cluster(const struct request *request, struct overview *s,
			 struct err *err)
{
	struct session *session = &s->session;
	struct cli_common common = request->common;
	int64_t call_ms;

	common.cluster = s->system_identifier;
	if (session_configure(session, &common, err) != ST_OK)
		return err->status;
	if (config_require(session->cfg, err) != ST_OK)
		status_problem_err(
			s, no_key(session->cfg) ? "key-missing" : "configuration", err);
	else if (keyring_load(session->cfg, &session->ring, err) != ST_OK)
	{
		session->ring = NULL;
		status_problem_err(s, "key-missing", err);
	}
	if (repo_open(&session->repo, session->cfg, session->ring,
				  s->system_identifier, err) != ST_OK)
	{
		session->repo.store = NULL;
		status_problem_err(s, "store", err);
		return ST_OK;
	}
	call_ms = session->cfg->command_timeout_ms < STORE_CALL_MS
				  ? session->cfg->command_timeout_ms
				  : STORE_CALL_MS;
	store_set_timeout(session->repo.store, call_ms, cli_cancel());
	return ST_OK;
}

/* Those that can be found without knowing of any. */
static enum status
add_known(const struct status_server *server, struct overview *probe,
		  struct clusters *clusters, struct err *err)
{
	const struct config *cfg = probe->session.cfg;
	enum status status = ST_OK;

	if (cfg->repository == NULL && cfg->nsections == 0)
		return config_require(cfg, err);
	if (server != NULL && server->reached)
		add_cluster(clusters, server->system_identifier);
	for (size_t i = 0; i < cfg->nsections; i++)
		add_cluster(clusters, cfg->sections[i]);
	if (probe->session.repo.store != NULL)
		status = repo_list_clusters(&probe->session.repo, add_cluster,
									clusters, err);
	if (status == ST_NOMEM || status == ST_CANCELLED)
		return status;
	if (status != ST_OK && cfg->repository != NULL)
	{
		clusters->why = *err;
		clusters->failed = strdup(cfg->repository);
	}

	/* Not one is known: it is said of a cluster without a name. */
	if (clusters->n == 0)
		add_cluster(clusters, 0);
	return ST_OK;
}

/*
 * The cluster that is meant, or all of the repository, those with a section in
 * the configuration, and the server's.  Where the repository cannot be listed,
 * what else is known of a cluster is still shown.
 */
static enum status
find_clusters(const struct request *request,
			  const struct status_server *server, struct clusters *clusters,
			  struct err *err)
{
	struct overview probe = {.system_identifier = request->common.cluster};
	enum status status = open_cluster(request, &probe, err);
	uint64_t meant;

	if (status != ST_OK)
		return status;
	meant = request->common.cluster != 0 ? request->common.cluster
										 : probe.session.cfg->cluster;
	if (meant != 0)
		add_cluster(clusters, meant);
	else
		status = add_known(server, &probe, clusters, err);
	session_close(&probe.session);
	status_free(&probe);
	return status;
}

static enum status
gather(const struct request *request, const struct status_server *server,
	   struct clusters *clusters, struct err *err)
{
	enum status status = find_clusters(request, server, clusters, err);

	for (size_t i = 0; i < clusters->n && status == ST_OK; i++)
	{
		struct overview *s = &clusters->list[i];
		bool same = server != NULL && server->reached &&
					server->system_identifier == s->system_identifier;
		struct status_options options = {.full = request->full,
										 .server = same ? server : NULL};

		status = open_cluster(request, s, err);
		if (status == ST_OK && s->session.repo.store != NULL &&
			clusters->failed != NULL &&
			strcmp(clusters->failed, s->session.cfg->repository) == 0)
		{
			status_problem_err(s, "store", &clusters->why);
			repo_close(&s->session.repo);
		}
		if (status == ST_OK)
			status = status_gather(s, &options, err);
	}
	return status;
}

/* --- output -----------------------------------------------------------------
 */

static enum status
write_to(const struct request *request, const struct status_view *view,
		 FILE *out, struct err *err)
{
	enum status status = ST_OK;

	if (request->prometheus)
		status = status_show_metrics(view, out, err);
	else if (request->json)
		status = status_show_json(view, out, err);
	else
		status_show_text(view, out);
	if (status == ST_OK && (fflush(out) != 0 || ferror(out)))
		status = err_set_errno(err, ST_IO, errno, "could not write to %s%s%s",
							   request->output != NULL ? "\"" : "",
							   request->output != NULL ? request->output
													   : "standard output",
							   request->output != NULL ? "\"" : "");
	return status;
}

/* Who reads the file sees the old one or the new one, never a part. */
static enum status
write_file(const struct request *request, const struct status_view *view,
		   struct err *err)
{
	char *temp = NULL;
	FILE *out;
	int fd;
	enum status status;

	if (asprintf(&temp, "%s.XXXXXX", request->output) < 0)
		return err_set(err, ST_NOMEM, "out of memory");
	fd = mkstemp(temp);
	out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (out == NULL)
	{
		status =
			err_set_errno(err, ST_IO, errno, "could not create \"%s\"", temp);
		if (fd >= 0)
			(void) close(fd);
		free(temp);
		return status;
	}
	status = write_to(request, view, out, err);

	/* Others read it: nothing in it is secret. */
	if (status == ST_OK && fchmod(fd, 0644) != 0)
		status = err_set_errno(err, ST_IO, errno,
							   "could not open \"%s\" to "
							   "its readers",
							   temp);
	if (fclose(out) != 0 && status == ST_OK)
		status =
			err_set_errno(err, ST_IO, errno, "could not write \"%s\"", temp);
	if (status == ST_OK && rename(temp, request->output) != 0)
		status = err_set_errno(err, ST_IO, errno, "could not replace \"%s\"",
							   request->output);
	if (status != ST_OK)
		(void) unlink(temp);
	free(temp);
	return status;
}

static bool
any_problem(const struct clusters *clusters)
{
	for (size_t i = 0; i < clusters->n; i++)
		if (clusters->list[i].nproblems > 0)
			return true;
	return false;
}

/* Asks the server that the options, or the environment, name. */
static enum status
ask_server(struct request *request, struct status_server *server,
		   struct err *err)
{
	struct session session;

	if (session_configure(&session, &request->common, err) != ST_OK)
		return err->status;
	if (!request->no_server)
		status_server_ask(&request->pg, session.cfg, server);
	session_close(&session);
	return ST_OK;
}

static int
run(struct request *request, struct clusters *clusters)
{
	struct status_server server = {.reached = false};
	struct status_view view = {.clusters = clusters->list};
	int64_t began_ms = clock_now_ms();
	struct err err;
	enum status status = ask_server(request, &server, &err);

	view.server = request->no_server ? NULL : &server;
	if (status == ST_OK)
		status = gather(request, view.server, clusters, &err);
	view.nclusters = clusters->n;
	view.now_s = (int64_t) time(NULL);
	view.took_ms = clock_now_ms() - began_ms;
	if (status == ST_OK && request->output != NULL)
		status = write_file(request, &view, &err);
	else if (status == ST_OK)
		status = write_to(request, &view, stdout, &err);
	if (status != ST_OK)
		return cli_fail(&err);
	return any_problem(clusters) && !request->prometheus ? 1 : 0;
}

int
cmd_status(int argc, char **argv)
{
	struct request request = {.json = false};
	struct clusters *clusters;
	int code = parse_arguments(argc, argv, &request);

	if (code >= 0)
		return code;
	clusters = calloc(1, sizeof(*clusters));
	if (clusters == NULL)
		return 1;
	code = run(&request, clusters);
	for (size_t i = 0; i < clusters->n; i++)
	{
		session_close(&clusters->list[i].session);
		status_free(&clusters->list[i]);
	}
	free(clusters->failed);
	free(clusters);
	pg_options_wipe(&request.pg);
	return code;
}
