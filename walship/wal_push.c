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
#include <sys/time.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/session.h"
#include "walship/datadir.h"
#include "walship/push.h"
#include "walship/wal_file.h"
#include "common/spool.h"

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

/* For waits that no deadline reaches, such as a hanging file system. */
static void
give_up(int signo)
{
	static const char text[] = "wal-push: ERROR: could not archive the file "
							   "before push_timeout\n";

	(void) signo;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(1);
}

static void
arm_alarm(int64_t timeout_ms)
{
	struct sigaction action = {.sa_handler = give_up};
	int64_t ms = timeout_ms + ALARM_GRACE_MS;
	struct itimerval timer = {.it_value = {.tv_sec = ms / 1000}};

	(void) sigemptyset(&action.sa_mask);
	(void) sigaction(SIGALRM, &action, NULL);
	(void) setitimer(ITIMER_REAL, &timer, NULL);
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
			log_warning("file \"%s\" is not complete, or differs from what "
						"is archived under its name; stored as "
						"\"%s/%" PRIu64 "/%s\"",
						file->path, session->cfg->repository,
						session->repo.system_identifier, outcome->object);
			break;
	}
}

/* With everything at hand: identify, store, tell. */
static enum status
push(struct session *session, const char *path, const struct datadir *dir,
	 struct deadline deadline, struct err *err)
{
	struct push_options options = {.in_recovery = dir->control.in_recovery};
	struct wal_file file;
	struct push_outcome outcome;
	struct spool spool;
	enum status status;

	status = wal_file_open(&file, path, dir->control.system_identifier, err);
	if (status != ST_OK)
		return status;
	store_set_deadline(session->repo.store, deadline);
	spool_open(&spool, session->cfg, session->ring,
			   dir->control.system_identifier, dir->path);
	options.spill_dir = spool_path(&spool);
	status = push_file(&session->repo, &file, &options, &outcome, err);
	if (status == ST_OK)
		report(&file, session, &outcome);
	spool_close(&spool);
	wal_file_close(&file);
	return status;
}

/* The steps from the command line to the outcome. */
static enum status
run(struct session *session, struct cli_common *common, const char *path,
	struct err *err)
{
	int64_t started_ms = clock_now_ms();
	int64_t left_ms;
	struct datadir dir;
	struct err why;
	enum status found = datadir_find(path, &dir, &why);
	enum status status;

	status = session_configure_for(
		session, common, found == ST_OK ? dir.control.system_identifier : 0,
		err);
	if (status != ST_OK)
		return status;
	if (found != ST_OK)
	{
		*err = why;
		return found;
	}
	arm_alarm(session->cfg->push_timeout_ms);
	status =
		session_open_repo(session, common, dir.control.system_identifier, err);
	if (status != ST_OK)
		return status;
	left_ms = session->cfg->push_timeout_ms - (clock_now_ms() - started_ms);
	return push(session, path, &dir,
				deadline_in(left_ms > 0 ? left_ms : 0, cli_cancel()), err);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {CLI_OPTIONS, {NULL, 0, NULL, 0}};
	struct cli_common common;
	struct session session = {0};
	struct err err;
	int opt;
	int code;

	cli_signals();
	cli_common_init(&common, "wal-push", HELP);
	while ((opt = getopt_long(argc, argv, CLI_SHORT, options, NULL)) != -1)
		if ((code = cli_common_option(&common, opt, argv)) >= 0)
			return code;
	if (argc - optind != 1)
		return cli_usage("wal-push", "expected one argument, the path of a "
									 "WAL file");
	code = 0;
	if (run(&session, &common, argv[optind], &err) != ST_OK)
		code = cli_fail(&err);
	session_close(&session);
	return code;
}
