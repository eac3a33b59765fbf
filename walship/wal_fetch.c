/*
 * wal_fetch.c - restore_command: wal-fetch NAME PATH
 *
 * What the exit code does to the server is told in fetch_policy.h.  Nothing
 * here exits by itself: every way out, a mistake in the command line
 * included, goes through that policy.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/log.h"
#include "common/session.h"
#include "common/spool.h"
#include "walship/datadir.h"
#include "walship/fetch.h"
#include "walship/fetch_ahead.h"
#include "walship/fetch_policy.h"
#include "walship/worker.h"

#define OPTION_MODE   0x2000
#define USAGE_CODE    2
#define FIRST_HISTORY "00000001.history"

static const char HELP[] =
	"Usage: wal-fetch [OPTION]... NAME PATH\n"
	"\n"
	"Fetches one WAL file, for PostgreSQL's restore_command:\n"
	"\n"
	"  restore_command = 'wal-fetch %f %p'\n"
	"\n"
	"Returns 0 with the file at PATH, verified; 1 if there is no such file;\n"
	"and 200, at which the server stops, if that cannot be told while a\n"
	"recovery would take 1 for the end of WAL.  A standby never gets 200.\n"
	"\n"
	"  --mode=recovery|standby  how the server recovers, where the signal\n"
	"                       files in its data directory do not tell\n" CLI_OPTIONS_HELP;

struct request
{
	struct cli_common common;
	enum fetch_explicit said;
	const char *name_text;
	const char *path;
	struct wal_name name;
	enum status found_dir; /* of datadir_find, explained by dir_err */
	struct datadir dir;
	struct err dir_err;
	enum fetch_mode mode;
};

/* A command line that cannot be understood; code is what others would use. */
static int
usage_exit(int code)
{
	if (code != USAGE_CODE)
		return code;
	return fetch_policy_usage_exit(datadir_has(".", "standby.signal"),
								   datadir_has(".", "recovery.signal"));
}

/* Returns -1 to go on, else the exit code. */
static int
parse_arguments(int argc, char **argv, struct request *request)
{
	static const struct option options[] = {
		CLI_OPTIONS,
		{"mode", required_argument, NULL, OPTION_MODE},
		{NULL, 0, NULL, 0}};
	int opt;
	int code;

	cli_common_init(&request->common, "wal-fetch", HELP);
	while ((opt = getopt_long(argc, argv, CLI_SHORT, options, NULL)) != -1)
	{
		if (opt != OPTION_MODE)
		{
			code = cli_common_option(&request->common, opt, argv);
			if (code >= 0)
				return usage_exit(code);
		}
		else if (strcmp(optarg, "recovery") == 0)
			request->said = EXPLICIT_RECOVERY;
		else if (strcmp(optarg, "standby") == 0)
			request->said = EXPLICIT_STANDBY;
		else
			return usage_exit(
				cli_usage("wal-fetch",
						  "--mode is \"recovery\" or \"standby\", not "
						  "\"%s\"",
						  optarg));
	}
	if (argc - optind != 2)
		return usage_exit(cli_usage(
			"wal-fetch", "expected two arguments, the name of a WAL file and "
						 "the path to put it"));
	request->name_text = argv[optind];
	request->path = argv[optind + 1];
	return -1;
}

static uint64_t
cluster_at_hand(const struct request *request)
{
	return request->found_dir == ST_OK ? request->dir.control.system_identifier
									   : 0;
}

static const char *
data_directory(const struct request *request)
{
	return request->found_dir == ST_OK ? request->dir.path : NULL;
}

/* Opens what a request needs; any failure is explained in err. */
static enum status
open_repo(struct request *request, struct session *session, struct err *err)
{
	enum status status;

	if (request->found_dir != ST_OK && request->found_dir != ST_MISSING)
	{
		*err = request->dir_err;
		return request->found_dir;
	}
	status = session_open_repo(session, &request->common,
							   cluster_at_hand(request), err);
	if (status != ST_OK)
		return status;
	store_set_timeout(session->repo.store,
					  session->cfg->fetch_timeout_standby_ms, cli_cancel());
	status = repo_resolve_cluster(&session->repo, err);
	/* An empty repository proves nothing about a cluster's archive. */
	return status == ST_MISSING
			   ? err_set(err, ST_CONFIG, "repository \"%s\" holds no cluster",
						 session->cfg->repository)
			   : status;
}

/* From the repository. */
static enum fetch_finding
fetch(struct request *request, struct session *session, struct err *err)
{
	struct spool spool;
	enum fetch_finding finding;
	enum status status = open_repo(request, session, err);
	struct fetch f = {
		.repo = &session->repo,
		.spool = &spool,
		.name = &request->name,
		.path = request->path,
		.mode = request->mode,
		.patience = {.recovery_ms = session->cfg->fetch_timeout_ms,
					 .standby_ms = session->cfg->fetch_timeout_standby_ms},
		.cancel = cli_cancel(),
	};

	if (status != ST_OK)
		return fetch_policy_finding(status);
	spool_open_unread(&spool, session->cfg, session->repo.system_identifier,
					  data_directory(request));
	finding = fetch_file(&f, err);
	spool_close(&spool);
	return finding;
}

/* What was fetched ahead, or from the repository. */
static enum fetch_finding
get(struct request *request, struct session *session,
	struct fetch_ahead *ahead, struct err *err)
{
	const struct wal_name *name = &request->name;
	enum fetch_finding finding;

	if (name->kind != WAL_SEGMENT)
	{
		finding = fetch(request, session, err);
		if (finding == FOUND && name->kind == WAL_HISTORY)
			fetch_ahead_learn(ahead, name->timeline);
		return finding;
	}
	if (fetch_ahead_take(ahead, name, request->path))
		return FOUND;
	fetch_ahead_begin(ahead, name);
	finding = fetch(request, session, err);
	fetch_ahead_end(ahead, name, request->path, finding);
	return finding;
}

/* The whole way, from the configuration on. */
static enum fetch_finding
serve(struct request *request, struct err *err)
{
	struct session session = {0};
	struct fetch_ahead ahead;
	struct spool spool;
	uint64_t at_hand = cluster_at_hand(request);
	uint64_t cluster;
	const char *dir = data_directory(request);
	enum fetch_finding finding;
	enum status status =
		session_configure_for(&session, &request->common, at_hand, err);

	if (status != ST_OK)
		return fetch_policy_finding(status);
	/* What contradicts --cluster is not fetched, ahead neither. */
	if (session_choose_cluster(&session, &request->common, at_hand, &cluster,
							   err) != ST_OK)
		dir = NULL;
	spool_open_unread(&spool, session.cfg, at_hand, dir);
	if (request->mode == FETCH_ENDING && dir != NULL)
		fetch_ahead_over(&spool, dir);
	fetch_ahead_open(&ahead, session.cfg, &spool, at_hand, dir, request->mode);
	finding = get(request, &session, &ahead, err);
	fetch_ahead_close(&ahead);
	spool_close(&spool);
	session_close(&session);
	return finding;
}

/* One line for what the server, or its owner, must know. */
static void
tell(const struct request *request, enum fetch_finding finding,
	 enum fetch_answer answer, struct err *err)
{
	switch (finding)
	{
		case FOUND:
			log_debug("fetched \"%s\"", request->name_text);
			return;
		case FOUND_NOTHING:
			log_info("\"%s\" is not archived", request->name_text);
			return;
		case FOUND_CANCELLED:
			log_info("fetching \"%s\" was cancelled", request->name_text);
			return;
		case FOUND_GAP:
		case FOUND_UNREACHABLE:
		case FOUND_REFUSED:
		case FOUND_CORRUPT:
			break;
	}
	(void) err_context(err, "could not fetch \"%s\"", request->name_text);
	if (answer == ANSWER_FATAL && request->mode == FETCH_RECOVERY &&
		err->hint[0] == '\0')
		(void) err_hint(err, "The server stops rather than end recovery too "
							 "early. Start it again when this is mended.");
	if (finding == FOUND_UNREACHABLE && answer != ANSWER_FATAL)
		log_err_warning(err);
	else
		log_err(err);
}

static int
exit_code(enum fetch_answer answer)
{
	switch (answer)
	{
		case ANSWER_DONE:
			return 0;
		case ANSWER_ABSENT:
			return 1;
		case ANSWER_SIGNAL:
			/* The server, which sent it, looks for exactly this. */
			(void) signal(SIGTERM, SIG_DFL);
			(void) raise(SIGTERM);
			break;
		case ANSWER_FATAL:
			break;
	}
	return FETCH_EXIT_FATAL;
}

/* What the request is for, and from whom. */
static enum fetch_finding
understand(struct request *request, struct err *err)
{
	enum wal_name_kind kind = WAL_SEGMENT;
	const char *dir = ".";
	enum fetch_finding finding;

	request->found_dir =
		datadir_find(request->path, &request->dir, &request->dir_err);
	if (request->found_dir == ST_OK)
		dir = request->dir.path;
	finding = fetch_policy_finding(
		wal_name_parse(&request->name, request->name_text, err));
	if (finding == FOUND)
		kind = request->name.kind;
	request->mode =
		fetch_policy_mode(request->said, datadir_has(dir, "standby.signal"),
						  datadir_has(dir, "recovery.signal"), kind);
	return finding;
}

/*
 * Timeline 1 has no history, and the server asks for it at every start, which
 * is answered without more.  At the end of a recovery of timeline 1 it is the
 * only call to tell that what was fetched ahead is of no use any more.
 */
static void
end_first_timeline(struct request *request)
{
	struct session session = {0};
	struct spool spool;
	struct err err;

	if (understand(request, &err) != FOUND || request->mode != FETCH_ENDING ||
		request->found_dir != ST_OK ||
		session_configure_for(&session, &request->common,
							  cluster_at_hand(request), &err) != ST_OK)
		return;
	spool_open_unread(&spool, session.cfg, cluster_at_hand(request),
					  request->dir.path);
	fetch_ahead_over(&spool, request->dir.path);
	spool_close(&spool);
	session_close(&session);
}

int
main(int argc, char **argv)
{
	struct request request = {.said = EXPLICIT_NONE};
	enum fetch_finding finding;
	enum fetch_answer answer;
	struct err err;
	int code;

	cli_signals();
	worker_title_init(argc, argv);
	code = parse_arguments(argc, argv, &request);
	if (code >= 0)
		return code;
	if (strcmp(request.name_text, FIRST_HISTORY) == 0)
	{
		end_first_timeline(&request);
		return exit_code(ANSWER_ABSENT);
	}
	finding = understand(&request, &err);
	if (finding == FOUND)
		finding = serve(&request, &err);
	answer = fetch_policy_answer(request.mode, finding);
	tell(&request, finding, answer, &err);
	return exit_code(answer);
}
