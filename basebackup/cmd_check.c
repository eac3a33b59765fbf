/*
 * cmd_check.c - walship check: will archiving, backup and restore work?
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "basebackup/check.h"
#include "basebackup/command.h"

/* A check wants to know soon: no hour of retries, as a backup would. */
#define STORE_CALL_MS   INT64_C(30000)
#define ARCHIVE_WAIT_MS INT64_C(60000)

static const char help[] =
	"Usage: walship check [OPTION]...\n"
	"\n"
	"Looks at configuration, key, repository, spool and server, forces a WAL\n"
	"switch and waits for the segment to arrive.  Each check is a line: OK,\n"
	"WARNING or FAIL, what was found, what to do.  The exit status is 0 only if\n"
	"nothing failed.\n"
	"\n"
	"  --json               one JSON document instead of lines\n"
	"  --no-server          do not connect to the server\n"
	"  --no-switch          do not force a WAL switch\n"
	"  --wait DURATION      how long to wait for the segment (default 60s)\n"
	"\n" PG_OPTIONS_HELP "\n" CLI_OPTIONS_HELP;

struct options
{
	struct cli_common common;
	struct pg_options pg;
	bool json;
	bool no_server;
	bool no_switch;
	int64_t wait_ms;
};

enum
{
	OPT_JSON = 0x100,
	OPT_NO_SERVER,
	OPT_NO_SWITCH,
	OPT_WAIT
};

/* -1 to go on, else the exit code. */
static int
take_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		CLI_OPTIONS,
		PG_LONG_OPTIONS,
		{"json", no_argument, NULL, OPT_JSON},
		{"no-server", no_argument, NULL, OPT_NO_SERVER},
		{"no-switch", no_argument, NULL, OPT_NO_SWITCH},
		{"wait", required_argument, NULL, OPT_WAIT},
		{0}};
	int opt;

	while ((opt = getopt_long(argc, argv, CLI_SHORT PG_SHORT_OPTIONS, options,
							  NULL)) != -1)
	{
		int code = -1;

		if (opt == OPT_JSON)
			o->json = true;
		else if (opt == OPT_NO_SERVER)
			o->no_server = true;
		else if (opt == OPT_NO_SWITCH)
			o->no_switch = true;
		else if (opt == OPT_WAIT)
		{
			if (!parse_duration_ms(optarg, &o->wait_ms))
				return cli_usage(o->common.program, "\"%s\" is not a duration",
								 optarg);
		}
		else if (!pg_options_take(&o->pg, opt, optarg))
			code = cli_common_option(&o->common, opt, argv);
		if (code >= 0)
			return code;
	}
	if (optind < argc)
		return cli_usage(o->common.program, "unexpected argument \"%s\"",
						 argv[optind]);
	return -1;
}

/* The server's identity, found before anything is told. */
struct identity
{
	enum status rc;
	struct err err;
	uint64_t system_identifier;
	uint64_t expected; /* what the user said, 0: nothing */
};

/*
 * Reads the configuration twice where the server can be asked who it is: the
 * second time with the section of its cluster.
 */
static enum status
configure(struct options *o, struct session *session, struct identity *id,
		  struct err *err)
{
	const struct cli_common *common = &o->common;
	enum status rc = session_configure(session, common, err);

	if (rc != ST_OK)
		return rc;
	id->expected =
		common->cluster != 0 ? common->cluster : session->cfg->cluster;
	if (o->no_server)
		return ST_OK;
	id->rc = check_server_identify(&o->pg, session->cfg,
								   &id->system_identifier, &id->err);
	if (id->rc != ST_OK || common->cluster != 0)
		return ST_OK;
	session_close(session);
	return session_configure_for(session, common, id->system_identifier, err);
}

static void
tell_identity(struct check *check, const struct identity *id)
{
	if (id->rc != ST_OK)
	{
		struct err err = id->err;

		if (err.hint[0] == '\0' && err.detail[0] == '\0')
			(void) err_hint(&err, "A backup needs a role with REPLICATION, "
								  "and a line for the database "
								  "\"replication\" in pg_hba.conf.");
		check_tell_err(check, CHECK_FAIL, "replication", &err);
	}
	else if (id->expected != 0 && id->expected != id->system_identifier)
		check_tell(check, CHECK_FAIL, "replication",
				   "Connect to the cluster that --cluster or the "
				   "configuration names.",
				   "the server's system identifier is %" PRIu64
				   ", not %" PRIu64,
				   id->system_identifier, id->expected);
	else
		check_tell(check, CHECK_OK, "replication", NULL,
				   "the server is cluster %" PRIu64, id->system_identifier);
}

/*
 * Configuration, key and store.  The store is open if session->repo has it.
 * True if store and key can be used.
 */
static bool
tell_repository(struct check *check, struct session *session)
{
	struct config *cfg = session->cfg;
	int64_t call_ms = cfg->command_timeout_ms < STORE_CALL_MS
						  ? cfg->command_timeout_ms
						  : STORE_CALL_MS;
	struct err err;

	if (config_require(cfg, &err) != ST_OK)
	{
		check_tell_err(check, CHECK_FAIL, "configuration", &err);
		return false;
	}
	check_tell(check, CHECK_OK, "configuration", NULL, "%s%s%s",
			   cfg->path != NULL ? "\"" : "from the environment",
			   cfg->path != NULL ? cfg->path : "",
			   cfg->path != NULL ? "\"" : "");
	check_key(check, session);
	if (repo_open(&session->repo, cfg, session->ring, 0, &err) != ST_OK)
	{
		session->repo.store = NULL;
		check_tell_err(check, CHECK_FAIL, "store", &err);
		return false;
	}
	store_set_timeout(session->repo.store, call_ms, cli_cancel());
	return check_store(check, session) && session->ring != NULL;
}

static void
tell_archiving(struct check *check, const struct options *o,
			   const struct session *session,
			   const struct check_server *server)
{
	const char *why = NULL;

	if (o->no_switch)
		why = "not tried: --no-switch was given";
	else if (server->conn == NULL || server->system_identifier == 0)
		why = "not tried: there is no connection to the server";
	else if (session->repo.store == NULL || session->ring == NULL)
		why = "not tried: there is no repository to look in";
	else if (strcmp(check_server_setting(server, "archive_mode"), "off") == 0)
		why = "not tried: archive_mode is off";
	if (why != NULL)
		check_tell(check, o->no_switch ? CHECK_OK : CHECK_FAIL,
				   "wal_archiving", NULL, "%s", why);
	else
		check_archive(check, session, server, o->wait_ms);
}

int
cmd_check(int argc, char **argv)
{
	struct options o = {.wait_ms = ARCHIVE_WAIT_MS};
	struct check_server server = {.conn = NULL};
	struct session session = {.cfg = NULL};
	struct identity id = {.rc = ST_OK};
	struct check *check;
	struct err err;
	int code;

	cli_common_init(&o.common, "walship check", help);
	code = take_options(argc, argv, &o);
	if (code >= 0)
		return code;
	if (check_begin(o.json, &check, &err) != ST_OK)
		return cli_fail(&err);

	if (configure(&o, &session, &id, &err) != ST_OK)
		check_tell_err(check, CHECK_FAIL, "configuration", &err);
	else
	{
		server.system_identifier = id.system_identifier;
		bool usable = tell_repository(check, &session);

		if (!o.no_server)
		{
			tell_identity(check, &id);
			check_server(check, &o.pg, session.cfg, &server);
		}
		if (usable)
			check_backups(check, &session,
						  id.expected != 0 ? id.expected
										   : id.system_identifier);
		check_key_place(check, session.cfg, &server);
		check_spool(check, session.cfg, &server);
		if (!o.no_server)
			tell_archiving(check, &o, &session, &server);
	}
	check_server_close(&server);
	session_close(&session);
	pg_options_wipe(&o.pg);
	return check_end(check);
}
