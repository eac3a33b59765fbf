/*
 * wal_push.c - archive_command: wal-push PATH
 *
 * PostgreSQL keeps a WAL file until this program has returned 0 for it, so 0
 * is returned only for what is durably stored.  Any other exit code is 1 or
 * 2: codes above 125, and deaths by a signal, would restart the archiver
 * without being counted as failures.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/session.h"
#include "walship/condition.h"
#include "walship/datadir.h"
#include "walship/push.h"
#include "walship/push_ahead.h"
#include "walship/trouble.h"
#include "walship/wal_file.h"
#include "walship/worker.h"

/* Beyond the deadline that every wait of our own looks at. */
#define ALARM_GRACE_MS 5000

static const char HELP[] =
	"Usage: wal-push [OPTION]... PATH\n"
	"\n"
	"Archives one WAL file, for PostgreSQL's archive_command:\n"
	"\n"
	"  archive_command = 'wal-push %p'\n"
	"\n"
	"PATH is relative to the data directory, which is the working directory,\n"
	"or absolute.  Returns 0 once the file is durably stored, or was before\n"
	"with the same content; never overwrites what is stored.\n"
	"\n" CLI_OPTIONS_HELP;

/* Ends the process at once, with a code that the archiver counts. */
static void
give_up(int signo)
{
	static const char late[] = "wal-push: ERROR: could not archive the file "
							   "before push_timeout\n";
	static const char lost[] = "wal-push: ERROR: could not use a temporary "
							   "file in memory: SIGBUS\n";
	const char *text = signo == SIGBUS ? lost : late;

	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(1);
	_exit(1);
}

/*
 * For waits that no deadline reaches, such as a hanging file system, and for
 * one that has no room for what was mapped, though it had promised it.
 */
static void
arm_last_resort(int64_t timeout_ms)
{
	struct sigaction action = {.sa_handler = give_up};
	int64_t ms = timeout_ms + ALARM_GRACE_MS;
	struct itimerval timer = {.it_value = {.tv_sec = ms / 1000}};

	(void) sigemptyset(&action.sa_mask);
	(void) sigaction(SIGBUS, &action, NULL);
	(void) sigaction(SIGALRM, &action, NULL);
	(void) setitimer(ITIMER_REAL, &timer, NULL);
}

static void
report_set_aside(const struct session *session, const char *path,
				 uint64_t system_identifier, const char *object)
{
	log_warning("file \"%s\" is not complete, or differs from what is "
				"archived under its name; stored as \"%s/%" PRIu64 "/%s\"",
				path, session->cfg->repository, system_identifier, object);
}

static void
report(const struct wal_file *file, const struct session *session,
	   const struct push_outcome *outcome)
{
	switch (outcome->result)
	{
		case PUSH_STORED:
			log_debug("stored file \"%s\"", file->path);
			break;
		case PUSH_PRESENT:
			log_info("file \"%s\" was archived before", file->path);
			break;
		case PUSH_SET_ASIDE:
			report_set_aside(session, file->path,
							 session->repo.system_identifier, outcome->object);
			break;
	}
}

/* With everything at hand: identify, store, tell. */
static enum status
push(struct session *session, const struct push_ahead *pa,
	 struct deadline deadline, struct err *err)
{
	struct push_room room = {.taken = 0};
	struct push_options options = {.in_recovery = pa->dir->control.in_recovery,
								   .spill_dir = push_ahead_spill_dir(pa),
								   .room = &room};
	struct wal_file file;
	struct push_outcome outcome;
	enum status status;

	status = wal_file_open(&file, pa->path, pa->dir->control.system_identifier,
						   err);
	if (status != ST_OK)
		return status;
	store_set_deadline(session->repo.store, deadline);
	condition_settle(session->repo.store, session->cfg, &pa->cluster_spool);
	status = push_file(&session->repo, &file, &options, &outcome, err);
	push_room_release(&room, NULL);
	if (status == ST_OK)
		report(&file, session, &outcome);
	wal_file_close(&file);
	return status;
}

/*
 * Ahead of us, with a worker's help, or by ourselves.  *quick: a marker was
 * there at once.
 */
static enum status
archive(struct session *session, const struct cli_common *common,
		struct push_ahead *pa, int64_t started_ms, bool *quick,
		struct err *err)
{
	uint64_t cluster = pa->dir->control.system_identifier;
	char object[OBJECT_NAME_MAX + 1];
	struct deadline deadline;
	int64_t left_ms;
	bool stored = false;
	enum status status;

	arm_last_resort(session->cfg->push_timeout_ms);
	status = push_ahead_find(pa, &stored, object, err);
	if (status != ST_OK)
		return status;
	*quick = stored;
	if (!stored)
	{
		if (session->ring == NULL)
			status = keyring_load(session->cfg, &session->ring, err);
		if (status != ST_OK)
			return status;
		left_ms =
			session->cfg->push_timeout_ms - (clock_now_ms() - started_ms);
		deadline = deadline_in(left_ms > 0 ? left_ms : 0, cli_cancel());
		stored = push_ahead_wait(pa, &deadline, object);
	}
	if (stored)
	{
		/*
		 * Once is enough: whoever has the file archived again later may have
		 * another repository under the same address.
		 */
		spool_remove(&pa->spool, pa->name);
		if (object[0] != '\0')
			report_set_aside(session, pa->path, cluster, object);
		else
			log_debug("file \"%s\" was stored ahead", pa->path);
		return ST_OK;
	}
	status = session_open_repo(session, common, cluster, err);
	if (status == ST_OK)
		status = push(session, pa, deadline, err);
	push_ahead_ended(pa, status == ST_OK);
	return status;
}

/* Notes whether archiving works, and whether somebody is to be told. */
static void
note_outcome(const struct push_ahead *pa, bool quick, const struct err *failed,
			 struct trouble *trouble)
{
	const struct trouble_call call = {
		.cfg = pa->session->cfg,
		.spool = &pa->spool,
		.datadir = pa->dir->path[0] != '\0' ? pa->dir->path : NULL,
		.system_identifier = pa->dir->control.system_identifier,
		.name = pa->name};

	if (failed != NULL)
		trouble_failed(&call, failed, trouble);
	else if (!quick)
		trouble_over(&call, trouble);
}

/* The steps from the command line to the outcome. */
static enum status
run(struct session *session, const struct cli_common *common, const char *path,
	struct trouble *trouble, struct err *err)
{
	int64_t started_ms = clock_now_ms();
	const char *slash = strrchr(path, '/');
	struct datadir dir = {.path = ""};
	struct push_ahead pa = {.session = session,
							.dir = &dir,
							.path = path,
							.name = slash != NULL ? slash + 1 : path,
							.cluster_spool = {.fd = -1},
							.spool = {.fd = -1}};
	struct err why;
	enum status found = datadir_find(path, &dir, &why);
	uint64_t cluster = 0;
	bool quick = false;
	enum status status;

	if (found == ST_OK)
		cluster = dir.control.system_identifier;
	status = session_configure_for(session, common, cluster, err);
	if (status != ST_OK)
		return status;
	if (found != ST_OK)
	{
		*err = why;
		status = found;
	}
	if (status == ST_OK)
		status = config_require(session->cfg, err);
	if (status == ST_OK)
		status =
			session_choose_cluster(session, common, cluster, &cluster, err);
	if (status == ST_OK)
		status = archive(session, common, &pa, started_ms, &quick, err);
	if (status != ST_OK && strstr(err->message, pa.name) == NULL)
		(void) err_context(err, "could not archive file \"%s\"", path);
	note_outcome(&pa, quick, status != ST_OK ? err : NULL, trouble);
	push_ahead_close(&pa);
	return status;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {CLI_OPTIONS, {NULL, 0, NULL, 0}};
	struct cli_common common;
	struct session session = {0};
	struct trouble trouble;
	struct err err;
	int opt;
	int code;

	trouble.command = NULL;
	worker_title_init(argc, argv);
	cli_signals();
	cli_common_init(&common, "wal-push", HELP);
	while ((opt = getopt_long(argc, argv, CLI_SHORT, options, NULL)) != -1)
		if ((code = cli_common_option(&common, opt, argv)) >= 0)
			return code;
	if (argc - optind != 1)
		return cli_usage("wal-push", "expected one argument, the path of a "
									 "WAL file");
	code = 0;
	if (run(&session, &common, argv[optind], &trouble, &err) != ST_OK)
		code = cli_fail(&err);
	session_close(&session);
	trouble_tell(&trouble);
	return code;
}
