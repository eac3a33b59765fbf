/*
 * cmd_restore.c - walship restore
 */
#include "basebackup/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "basebackup/recovery_conf.h"
#include "basebackup/report.h"
#include "basebackup/restore_command.h"
#include "basebackup/restore_options.h"
#include "common/log.h"
#include "common/session.h"

#define REPORT_MS 10000 /* for the report of what was cancelled */

extern char **environ;

/* As root the files would be nobody's that a server runs as. */
static int
refuse_root(int argc, char **argv)
{
	const char **words = calloc((size_t) argc + 6, sizeof(*words));
	char *line = NULL;
	struct err err, ignored;
	size_t n = 0;

	err_set(&err, ST_CONFIG, "a restore cannot be run as root");
	if (words != NULL)
	{
		words[n++] = "runuser";
		words[n++] = "-u";
		words[n++] = "postgres";
		words[n++] = "--";
		words[n++] = program_invocation_name;
		for (int i = 0; i < argc; i++)
			words[n++] = argv[i];
		if (shell_quote(words, &line, &ignored) == ST_OK &&
			strlen(line) < ERR_HINT_MAX - 16)
			err_hint(&err, "Use: %s", line);
		else
			err_hint(&err, "Run it as the user that owns the server.");
	}
	free(line);
	free(words);
	return cli_fail(&err);
}

/* The record in the repository; a credential that only reads has none. */
static void
put_report(struct repo *repo, const char *backup_id, int64_t start,
		   const struct err *failed)
{
	const struct report report = {.kind = "restore",
								  .start_time = start,
								  .end_time = (int64_t) time(NULL),
								  .backup_id = backup_id,
								  .failed = failed};

	/* A second signal ends this, too. */
	if (failed != NULL && failed->status == ST_CANCELLED)
	{
		cli_cancel_clear();
		cli_time_limit(REPORT_MS);
	}
	report_put_or_tell(repo, &report);
}

static void
tell_target(const struct restore_request *r,
			const struct restore_choice *choice)
{
	const char *action = r->target.action;

	if (r->standby)
	{
		(void) puts(
			"It is a standby: it follows the archive's newest timeline "
			"until it is promoted.");
		if (r->primary_conninfo == NULL)
			(void) puts("To stream from a primary, set primary_conninfo.");
	}
	else if (r->target.kind == TARGET_END)
		(void) printf("It recovers to the end of timeline %" PRIu32
					  " in the archive, and begins a new one.\n",
					  choice->timeline);
	else if (action == NULL || strcmp(action, "pause") == 0)
		(void) printf("It recovers along timeline %" PRIu32
					  " to the target and pauses there, read-only.\n"
					  "Look at it; \"select pg_wal_replay_resume()\" then "
					  "makes it a primary.\n",
					  choice->timeline);
	else
		(void) printf("It recovers along timeline %" PRIu32
					  " to the target; then: %s.\n",
					  choice->timeline, action);
}

static void
tell_archiving(const struct restore_request *r, const struct plan *plan)
{
	const char *mode = plan_setting(plan, "archive_mode");

	if (r->standby && mode != NULL && strcmp(mode, "always") == 0)
		(void) puts("It archives all the time, as archive_mode was always.");
	else if (r->keep_archiving || r->standby)
		(void) puts("It archives as the original did, once it is a primary.");
	else
		(void) puts("It does not archive, so that it cannot disturb the "
					"original's archive.  If it takes\nthe original's place: "
					"ALTER SYSTEM RESET archive_mode, and restart it.");
}

/* The standbys that its commits would wait for; NULL: none. */
static const char *
awaited(const struct plan *plan)
{
	const char *names = plan_setting(plan, "synchronous_standby_names");

	return names != NULL && *names != '\0' ? names : NULL;
}

/* What a copy that becomes a primary would do as the original does. */
static void
tell_inherited(const struct restore_request *r, const struct plan *plan)
{
	if (r->standby)
		return;
	if (awaited(plan) != NULL)
		(void) printf("Its commits wait for standbys: "
					  "synchronous_standby_names is \"%s\", as the original's "
					  "was.\nIf there are none: ALTER SYSTEM SET "
					  "synchronous_standby_names = '', and reload it.\n",
					  awaited(plan));
	if (plan->subscribes)
		(void) puts("It has subscriptions, or had: as a primary it takes from "
					"their publishers what the\noriginal should get.  Start a "
					"copy with -c max_logical_replication_workers=0.");
}

/* Are there settings that the server's restore_command would not have? */
static bool
uses_environment(void)
{
	for (char **e = environ; *e != NULL; e++)
		if ((strncmp(*e, "WALSHIP_", 8) == 0 &&
			 strncmp(*e, "WALSHIP_CONFIG=", 15) != 0) ||
			strncmp(*e, "AWS_ACCESS_KEY_ID=", 18) == 0)
			return true;
	return false;
}

/* " -c name=value", for pg_ctl's -o. */
static void
add_option(FILE *out, const char *name, const char *value)
{
	char *word = NULL, *quoted = NULL;
	struct err err;

	if (asprintf(&word, "%s=%s", name, value) < 0)
		return;
	if (shell_quote((const char *const[]){"-c", word, NULL}, &quoted, &err) ==
		ST_OK)
		(void) fprintf(out, " %s", quoted);
	free(word);
	free(quoted);
}

/* A configuration file, if it was stored. */
static void
add_config_option(FILE *out, const struct restore_request *r,
				  const struct plan *plan, const char *name)
{
	const char *path = plan_setting(plan, name);
	char *full = NULL;

	if (path == NULL || asprintf(&full, "%s%s", r->config_dir, path) < 0)
		return;
	if (access(full, R_OK) == 0)
		add_option(out, name, full);
	free(full);
}

/* How the server is started; NULL without memory.  Freed by free(). */
static char *
start_line(const struct restore_request *r, const struct plan *plan)
{
	char pg_ctl[64], *options = NULL, *line = NULL;
	const char *words[8] = {pg_ctl, "-D", r->target_dir};
	size_t n = 3, len;
	struct err err;
	FILE *out = open_memstream(&options, &len);

	snprintf(pg_ctl, sizeof(pg_ctl), "/usr/lib/postgresql/%d/bin/pg_ctl",
			 plan->summary.server_version / 10000);
	if (access(pg_ctl, X_OK) != 0)
		snprintf(pg_ctl, sizeof(pg_ctl), "pg_ctl");
	if (out == NULL)
		return NULL;
	if (plan->nconfigs > 0)
	{
		add_config_option(out, r, plan, "config_file");
		add_config_option(out, r, plan, "hba_file");
		add_config_option(out, r, plan, "ident_file");
		/* That configuration names the original's data directory. */
		add_option(out, "data_directory", r->target_dir);
	}
	(void) fclose(out);
	if (options != NULL && *options != '\0')
	{
		words[n++] = "-o";
		words[n++] = options + 1;
	}
	words[n++] = "start";
	words[n] = NULL;
	if (shell_quote(words, &line, &err) != ST_OK)
		line = NULL;
	free(options);
	return line;
}

static void
tell_next(const struct restore_request *r, const struct plan *plan)
{
	char *line = start_line(r, plan);

	if (plan->nconfigs > 0)
		(void) printf("The server's configuration from outside its data "
					  "directory is in \"%s\".\n",
					  r->config_dir);
	if (line != NULL)
		(void) printf("Next:\n  %s\n", line);
	free(line);
}

static void
tell_result(const struct restore_request *r,
			const struct restore_choice *choice, const struct plan *plan)
{
	char size[16];

	(void) printf("Backup %s is restored to \"%s\": %" PRIu64 " files, %s.\n",
				  plan->summary.id, r->target_dir, plan->summary.files,
				  size_format(plan->summary.bytes, size));
	for (size_t i = 0; i < plan->ntablespaces; i++)
		(void) printf("Tablespace %" PRIu32 " is at \"%s\".\n",
					  plan->tablespaces[i].oid,
					  restore_location(r, &plan->tablespaces[i]));
	tell_target(r, choice);
	tell_archiving(r, plan);
	tell_inherited(r, plan);
	if (uses_environment())
		(void) puts("Settings were taken from the environment: the server "
					"needs the same variables.");
	tell_next(r, plan);
	(void) fflush(stdout);
}

static void
json_part(struct json *json, const char *key, const char *text)
{
	if (text != NULL && text[0] != '\0')
		json_path(json, key, text);
	else
		json_null(json, key);
}

static void
json_result(struct json *json, const struct restore_request *r,
			const struct plan *plan)
{
	char *line = start_line(r, plan);

	json_bool(json, "archives", r->keep_archiving || r->standby);
	json_part(json, "synchronous_standby_names",
			  r->standby ? NULL : awaited(plan));
	json_bool(json, "subscribes", !r->standby && plan->subscribes);
	json_bool(json, "needs_environment", uses_environment());
	if (line != NULL)
		json_path(json, "start_command", line);
	free(line);
}

/* The end of the object: how it went. */
static enum status
print_json(struct json *json, bool dry_run, const struct err *failed,
		   struct err *err)
{
	const char *text;
	size_t len;
	enum status st;

	json_bool(json, "dry_run", dry_run);
	json_bool(json, "ok", failed == NULL);
	json_part(json, "error", failed == NULL ? NULL : failed->message);
	json_part(json, "detail", failed == NULL ? NULL : failed->detail);
	json_part(json, "hint", failed == NULL ? NULL : failed->hint);
	st = json_done(json, &text, &len, err);
	if (st == ST_OK && (fwrite(text, 1, len, stdout) != len || fflush(stdout)))
		st = err_set_errno(err, ST_IO, errno, "could not write the result");
	return st;
}

static void
say_log(const char *line)
{
	log_info("%s", line);
}

static void
say_out(const char *line)
{
	(void) puts(line);
}

static enum status
carry_out(struct repo *repo, const struct restore_request *r, struct err *err)
{
	int64_t start = (int64_t) time(NULL);
	struct restore_choice choice;
	struct plan *plan;
	enum status st = restore_prepare(repo, r, &choice, &plan, err);

	if (st != ST_OK)
		return st;
	st = restore_settle(repo, r, &choice, plan, r->dry_run ? say_out : say_log,
						err);
	if (st == ST_OK && !r->dry_run)
	{
		st = restore_files(repo, r, &choice, plan, err);
		put_report(repo, choice.backup.id, start, st == ST_OK ? NULL : err);
		if (st == ST_OK && r->json != NULL)
			json_result(r->json, r, plan);
		else if (st == ST_OK)
			tell_result(r, &choice, plan);
	}
	plan_free(plan);
	restore_choice_free(&choice);
	return st;
}

/* The same, with a JSON object on stdout whatever happens. */
static enum status
carry_out_json(struct repo *repo, struct restore_request *r, struct err *err)
{
	struct err ignored;
	enum status st = json_new(&r->json, err), printed;

	if (st != ST_OK)
		return st;
	json_begin(r->json);
	st = carry_out(repo, r, err);
	printed = print_json(r->json, r->dry_run, st == ST_OK ? NULL : err,
						 st == ST_OK ? err : &ignored);
	json_free(r->json);
	r->json = NULL;
	return st == ST_OK ? printed : st;
}

static enum status
run(struct restore_options *o, struct session *session,
	struct restore_command *command, struct err *err)
{
	struct restore_request *r = &o->request;
	enum status st;

	r->cancel = cli_cancel();
	r->terminal = session->cfg->log_format == LOG_FORMAT_TEXT;
	r->command = command->words;
	if ((st = repo_resolve_cluster(&session->repo, err)) != ST_OK ||
		(st = restore_command_build(command, &o->common, session, r->standby,
									err)) != ST_OK)
		return st;
	return o->json ? carry_out_json(&session->repo, r, err)
				   : carry_out(&session->repo, r, err);
}

int
cmd_restore(int argc, char **argv)
{
	struct restore_options *o = malloc(sizeof(*o));
	struct restore_command command = {.nsettings = 0};
	struct session session;
	struct err err;
	int code;

	if (o == NULL)
	{
		err_set(&err, ST_NOMEM, "out of memory");
		return cli_fail(&err);
	}
	code = restore_options_read(o, argc, argv);
	if (code < 0 && geteuid() == 0)
		code = refuse_root(argc, argv);
	if (code < 0 && session_open(&session, &o->common, &err) != ST_OK)
		code = cli_fail(&err);
	if (code < 0)
	{
		code = run(o, &session, &command, &err) == ST_OK ? 0 : cli_fail(&err);
		session_close(&session);
	}
	restore_command_free(&command);
	restore_options_free(o);
	free(o);
	return code;
}
