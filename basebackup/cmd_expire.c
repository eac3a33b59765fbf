/*
 * cmd_expire.c - walship expire
 */
#include "basebackup/command.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basebackup/expire.h"
#include "basebackup/json.h"
#include "basebackup/keep_config.h"
#include "basebackup/report.h"
#include "basebackup/timestamp.h"
#include "common/cli.h"
#include "common/log.h"
#include "common/session.h"

#define IDS_MAX      64
#define REASONS_MAX  128
#define OVERRIDE_MAX 64
#define NRULES       6

static const char help[] =
	"walship expire deletes the backups that no rule keeps, and WAL that no "
	"kept\nbackup needs.\n\n"
	"Usage: walship expire [OPTION]...\n\n"
	"  --apply              do it; without this, only show what would be done\n"
	"  --keep-last N        keep the newest N backups\n"
	"  --keep-daily N       keep the last backup of each of the newest N days\n"
	"  --keep-weekly N      ... ISO weeks\n"
	"  --keep-monthly N     ... months\n"
	"  --keep-yearly N      ... years (all in UTC)\n"
	"  --keep-within TIME   keep what it takes to recover to any moment of that\n"
	"                       time, such as 7d\n"
	"  --keep ID            keep this backup until --release; repeatable\n"
	"  --release ID         take its pin away; repeatable\n"
	"  --force              even if nothing is left that can be restored\n"
	"  --json               one JSON object\n" CLI_OPTIONS_HELP
	"\nEach rule is also a setting (keep_last, ...).  A backup stays if any "
	"rule keeps\nit.  Outside keep_within a backup restores to its own end "
	"only; without that\nrule, the WAL since the oldest backup is kept.\n";

enum
{
	OPT_APPLY = 0x3000,
	OPT_KEEP,
	OPT_RELEASE,
	OPT_FORCE,
	OPT_JSON,
	OPT_RULES /* and the next five */
};

static const char *const rule_keys[NRULES] = {"keep_last",   "keep_daily",
											  "keep_weekly", "keep_monthly",
											  "keep_yearly", "keep_within"};

struct request
{
	struct cli_common common;
	struct expire_options options;
	bool apply;
	bool json;
	const char *pin[IDS_MAX];
	const char *release[IDS_MAX];
	char rules[NRULES][OVERRIDE_MAX]; /* "keep_last=7" */
};

static const struct option long_options[] = {
	CLI_OPTIONS,
	{"apply", no_argument, NULL, OPT_APPLY},
	{"keep", required_argument, NULL, OPT_KEEP},
	{"release", required_argument, NULL, OPT_RELEASE},
	{"force", no_argument, NULL, OPT_FORCE},
	{"json", no_argument, NULL, OPT_JSON},
	{"keep-last", required_argument, NULL, OPT_RULES},
	{"keep-daily", required_argument, NULL, OPT_RULES + 1},
	{"keep-weekly", required_argument, NULL, OPT_RULES + 2},
	{"keep-monthly", required_argument, NULL, OPT_RULES + 3},
	{"keep-yearly", required_argument, NULL, OPT_RULES + 4},
	{"keep-within", required_argument, NULL, OPT_RULES + 5},
	{NULL, 0, NULL, 0}};

/* --- the command line ------------------------------------------------------
 */

static int
add_id(const struct request *request, const char **ids, size_t *nids)
{
	if (*nids == IDS_MAX)
		return cli_usage(request->common.program, "more than %d ids", IDS_MAX);
	ids[(*nids)++] = optarg;
	return -1;
}

/* A rule on the command line is its setting, for this run. */
static int
add_rule(struct request *request, size_t rule)
{
	char *text = request->rules[rule];
	int n = snprintf(text, OVERRIDE_MAX, "%s=%s", rule_keys[rule], optarg);

	if (n < 0 || n >= OVERRIDE_MAX)
		return cli_usage(request->common.program, "invalid value \"%s\"",
						 optarg);
	return cli_add_override(&request->common, text);
}

static int
take_option(struct request *request, int opt, char **argv)
{
	switch (opt)
	{
		case OPT_APPLY:
			request->apply = true;
			return -1;
		case OPT_KEEP:
			return add_id(request, request->pin, &request->options.npin);
		case OPT_RELEASE:
			return add_id(request, request->release,
						  &request->options.nrelease);
		case OPT_FORCE:
			request->options.force = true;
			return -1;
		case OPT_JSON:
			request->json = true;
			return -1;
		default:
			if (opt >= OPT_RULES && opt < OPT_RULES + NRULES)
				return add_rule(request, (size_t) (opt - OPT_RULES));
			return cli_common_option(&request->common, opt, argv);
	}
}

/* Whoever asks for both does not get what he believes. */
static int
refuse_both(const struct expire_options *options, const char *program)
{
	for (size_t i = 0; i < options->npin; i++)
		for (size_t k = 0; k < options->nrelease; k++)
			if (strcmp(options->pin[i], options->release[k]) == 0)
				return cli_usage(program,
								 "--keep and --release of the same backup "
								 "\"%s\"",
								 options->pin[i]);
	return -1;
}

/* Returns -1 to go on, else the exit code. */
static int
parse_arguments(int argc, char **argv, struct request *request)
{
	int opt;
	int code;

	cli_common_init(&request->common, "walship expire", help);
	request->options.pin = request->pin;
	request->options.release = request->release;
	while ((opt = getopt_long(argc, argv, CLI_SHORT, long_options, NULL)) !=
		   -1)
		if ((code = take_option(request, opt, argv)) >= 0)
			return code;
	if (optind < argc)
		return cli_usage(request->common.program, "unexpected \"%s\"",
						 argv[optind]);
	return refuse_both(&request->options, request->common.program);
}

static enum status
set_rules(struct request *request, const struct config *cfg, struct err *err)
{
	const struct expire_options *options = &request->options;

	request->options.rules = keep_rules_of(cfg);
	request->options.rules.none_left = options->force;
	if (keep_rules_set(cfg))
		return ST_OK;
	if (options->npin > 0 || options->nrelease > 0)
		return ST_OK;
	if (options->force)
	{
		request->options.rules.last = 0;
		return ST_OK;
	}
	(void) err_set(err, ST_CONFIG, "no rule says which backups to keep");
	return err_hint(err, "Set keep_within, keep_last, keep_daily or another "
						 "of the rules that --help names.");
}

/* --- what is shown ---------------------------------------------------------
 */

static char *
reasons_text(unsigned reasons, char out[REASONS_MAX])
{
	static const struct
	{
		unsigned reason;
		const char *name;
	} names[] = {{KEEP_PINNED, "pinned"},    {KEEP_LAST, "last"},
				 {KEEP_DAILY, "daily"},      {KEEP_WEEKLY, "weekly"},
				 {KEEP_MONTHLY, "monthly"},  {KEEP_YEARLY, "yearly"},
				 {KEEP_WITHIN, "in window"}, {KEEP_WINDOW, "begins window"},
				 {KEEP_NEWEST, "newest"}};
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((reasons & names[i].reason) != 0)
			used += (size_t) snprintf(out + used, REASONS_MAX - used, "%s%s",
									  used > 0 ? ", " : "", names[i].name);
	return out;
}

static const char *
fate_name(enum expire_fate fate)
{
	switch (fate)
	{
		case EXPIRE_KEEP:
			return "keep";
		case EXPIRE_GO:
			return "expire";
		case EXPIRE_DEAD:
			return "dead";
		case EXPIRE_RUNNING:
			return "running";
		case EXPIRE_LEFT:
			break;
	}
	return "expired";
}

/* Can it still be recovered to any moment behind its end? */
static bool
has_window(const struct expire_plan *plan, const struct backup_summary *s)
{
	return plan->wal_known && s->start_lsn >= plan->wal.window_lsn;
}

static void
show_backup(const struct expire_plan *plan, size_t i)
{
	const struct catalog_backup *b = &plan->catalog.backups[i];
	const struct expire_backup *e = &plan->backups[i];
	char time[TIMESTAMP_TEXT_MAX] = "";
	char stored[16] = "";
	char reasons[REASONS_MAX];

	if (b->state == BACKUP_COMPLETE)
	{
		(void) timestamp_format(b->summary.stop_time * 1000000, time);
		(void) size_format(b->summary.stored_bytes, stored);
	}
	(void) printf("%-42s %-16.16s %8s  %-7s  %s", b->id, time, stored,
				  fate_name(e->fate), reasons_text(e->reasons, reasons));
	if (e->missing[0] != '\0')
		(void) printf("%slacks %s", reasons[0] != '\0' ? "; " : "",
					  e->missing);
	else if (e->fate == EXPIRE_KEEP && !has_window(plan, &b->summary))
		(void) fputs("; restores to its own end only", stdout);
	(void) putchar('\n');
}

/* Of some that could be restored, or not. */
static bool
keeps_nothing(const struct expire_plan *plan)
{
	bool any = false;

	for (size_t i = 0; i < plan->catalog.nbackups; i++)
	{
		if (plan->backups[i].fate == EXPIRE_KEEP)
			return false;
		any = any || plan->backups[i].fate == EXPIRE_GO;
	}
	return any;
}

static void
show_plan(const struct expire_plan *plan)
{
	char size[16];
	char lsn[LSN_TEXT_MAX];

	(void) printf("%-42s %-16s %8s  %-7s  %s\n", "BACKUP", "FINISHED (UTC)",
				  "STORED", "VERDICT", "WHY");
	for (size_t i = 0; i < plan->catalog.nbackups; i++)
		show_backup(plan, i);
	if (keeps_nothing(plan))
		(void) puts("NO BACKUP IS LEFT: by --force.");
	if (!plan->wal_known)
		return;
	if (plan->wal.window_lsn != UINT64_MAX)
		(void) printf("All WAL from %s on is kept.\n",
					  lsn_format(plan->wal.window_lsn, lsn));
	(void) printf("WAL files that nothing needs: %" PRIu64 ", %s\n",
				  plan->wal_files, size_format(plan->wal_bytes, size));
}

static void
show_result(const struct expire_result *r)
{
	char packs[16];
	char wal[16];
	char locked[16];

	(void) printf("Deleted: %" PRIu64 " backups, %" PRIu64
				  " packs and digests, %s; %" PRIu64 " WAL files, %s.\n",
				  r->backups, r->objects, size_format(r->object_bytes, packs),
				  r->wal_files, size_format(r->wal_bytes, wal));
	if (r->shared > 0)
		(void) printf("%" PRIu64 " packs and digests of expired backups stay: "
					  "kept backups need them.\n",
					  r->shared);
	if (r->locked > 0)
		(void) printf("%" PRIu64 " of the deleted objects, %s, are only "
					  "hidden: the bucket keeps them until their lock ends. "
					  "A lifecycle rule for noncurrent versions removes them "
					  "then.\n",
					  r->locked, size_format(r->locked_bytes, locked));
}

static void
json_result(void *arg, struct json *json)
{
	const struct expire_result *r = arg;

	json_int(json, "deleted_backups", (int64_t) r->backups);
	json_int(json, "deleted_objects", (int64_t) r->objects);
	json_int(json, "deleted_bytes", (int64_t) r->object_bytes);
	json_int(json, "shared_objects", (int64_t) r->shared);
	json_int(json, "deleted_wal_files", (int64_t) r->wal_files);
	json_int(json, "deleted_wal_bytes", (int64_t) r->wal_bytes);
	json_int(json, "locked_objects", (int64_t) r->locked);
	json_int(json, "locked_bytes", (int64_t) r->locked_bytes);
	json_int(json, "failed", (int64_t) r->failed);
}

static void
json_backup(struct json *json, const struct expire_plan *plan, size_t i)
{
	const struct catalog_backup *b = &plan->catalog.backups[i];
	const struct expire_backup *e = &plan->backups[i];
	char reasons[REASONS_MAX];

	json_begin(json);
	json_text(json, "id", b->id);
	json_text(json, "verdict", fate_name(e->fate));
	json_text(json, "reasons", reasons_text(e->reasons, reasons));
	if (e->missing[0] == '\0')
		json_null(json, "wal_missing");
	else
		json_text(json, "wal_missing", e->missing);
	json_bool(json, "any_moment",
			  b->state == BACKUP_COMPLETE && has_window(plan, &b->summary));
}

/* One object: the plan's backups, the WAL, and what was done. */
static enum status
show_json(const struct expire_plan *plan, struct expire_result *result,
		  struct err *err)
{
	struct json *json = NULL;
	const char *text;
	size_t len;
	enum status status = json_new(&json, err);

	(void) fputs("{\"backups\":[", stdout);
	for (size_t i = 0; i < plan->catalog.nbackups && status == ST_OK; i++)
	{
		json_backup(json, plan, i);
		status = json_done(json, &text, &len, err);
		if (status == ST_OK)
			(void) printf("%s\n%.*s", i == 0 ? "" : ",", (int) len - 1, text);
	}
	if (status == ST_OK)
	{
		json_begin(json);
		json_int(json, "wal_files", (int64_t) plan->wal_files);
		json_int(json, "wal_bytes", (int64_t) plan->wal_bytes);
		json_bool(json, "applied", result != NULL);
		if (result != NULL)
			json_result(result, json);
		status = json_done(json, &text, &len, err);
	}
	if (status == ST_OK)
		(void) printf("],\n%.*s\n", (int) len - 2, text + 1);
	json_free(json);
	return status;
}

/* --- all -------------------------------------------------------------------
 */

/* The record of a run that did something. */
static void
put_report(struct session *session, int64_t started,
		   struct expire_result *result, const struct err *failed)
{
	const struct report report = {.kind = "expire",
								  .start_time = started,
								  .end_time = (int64_t) time(NULL),
								  .failed = failed,
								  .members = json_result,
								  .arg = result};

	report_put_or_tell(&session->repo, &report);
}

static enum status
expire(struct session *session, const struct request *request, struct err *err)
{
	const int64_t started = (int64_t) time(NULL);
	struct expire_result result = {.backups = 0};
	struct expire_plan plan;
	struct err shown;
	enum status status =
		expire_plan_make(session, &request->options, &plan, err);

	if (status != ST_OK)
	{
		if (request->apply)
			put_report(session, started, &result, err);
		return status;
	}
	if (!request->json)
		show_plan(&plan);
	if (request->apply)
	{
		(void) fflush(stdout);
		status = expire_apply(session, &request->options, &plan, &result, err);
		put_report(session, started, &result, status != ST_OK ? err : NULL);
	}
	if (request->json &&
		show_json(&plan, request->apply ? &result : NULL, &shown) != ST_OK &&
		status == ST_OK)
	{
		*err = shown;
		status = shown.status;
	}
	if (!request->json && request->apply)
		show_result(&result);
	if (!request->json && !request->apply)
		(void) puts("Nothing was done: --apply carries this out.");
	if (fflush(stdout) != 0 && status == ST_OK)
		status = err_set(err, ST_IO, "could not write to standard output");
	expire_plan_free(&plan);
	return status;
}

int
cmd_expire(int argc, char **argv)
{
	struct request request = {.apply = false};
	struct session session;
	struct err err;
	int code = parse_arguments(argc, argv, &request);

	if (code >= 0)
		return code;
	if ((request.apply
			 ? report_session_open(&session, &request.common, "expire", &err)
			 : session_open(&session, &request.common, &err)) != ST_OK)
		return cli_fail(&err);
	code = 0;
	if (set_rules(&request, session.cfg, &err) != ST_OK ||
		expire(&session, &request, &err) != ST_OK)
		code = cli_fail(&err);
	session_close(&session);
	return code;
}
