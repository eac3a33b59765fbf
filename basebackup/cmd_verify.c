/*
 * cmd_verify.c - walship verify
 */
#include "basebackup/command.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basebackup/json.h"
#include "basebackup/keep_config.h"
#include "basebackup/report.h"
#include "basebackup/timestamp.h"
#include "basebackup/verify.h"
#include "common/cli.h"
#include "common/log.h"
#include "common/session.h"

#define SAMPLE_ALL 10000U

static const char help[] =
	"walship verify looks whether the repository holds all that a restore "
	"needs.\n\n"
	"Usage: walship verify [OPTION]...\n\n"
	"  --read               fetch and authenticate the content, too\n"
	"  --sample=PERCENT     of it, only so much, drawn at random\n"
	"  --since=TIME         of it, only what was stored later\n"
	"  --resume             of it, only what an interrupted run has not "
	"read\n"
	"  --json               one JSON object\n" CLI_OPTIONS_HELP
	"\nEvery pack that a backup refers to must be there with its right size, "
	"and the\nWAL whole: of each backup, and from the beginning of the window "
	"that the keep_*\nrules give to the end of each timeline.  Exits with 1 "
	"if anything is amiss.\n";

enum
{
	OPT_READ = 0x3000,
	OPT_SAMPLE,
	OPT_SINCE,
	OPT_RESUME,
	OPT_JSON
};

static const struct option long_options[] = {
	CLI_OPTIONS,
	{"read", no_argument, NULL, OPT_READ},
	{"sample", required_argument, NULL, OPT_SAMPLE},
	{"since", required_argument, NULL, OPT_SINCE},
	{"resume", no_argument, NULL, OPT_RESUME},
	{"json", no_argument, NULL, OPT_JSON},
	{NULL, 0, NULL, 0}};

struct request
{
	struct cli_common common;
	struct verify_options options;
	bool json;
};

struct output
{
	struct json *json; /* NULL: text */
	bool read;         /* content is */
	uint64_t findings;
	struct err err; /* of the JSON writer */
};

/* "12.5" in 1/10000. */
static bool
parse_percent(const char *text, uint32_t *out)
{
	char *end;
	double percent = strtod(text, &end);

	if (*end != '\0' || text[strspn(text, "0123456789.")] != '\0' ||
		percent > 100 || percent < 0.01)
		return false;
	*out = (uint32_t) (percent * 100 + 0.5);
	return true;
}

static int
take_option(struct request *request, int opt, char **argv)
{
	int64_t micros;
	struct err err;

	switch (opt)
	{
		case OPT_READ:
			request->options.read = true;
			return -1;
		case OPT_SAMPLE:
			if (!parse_percent(optarg, &request->options.sample_bp))
				return cli_usage(request->common.program,
								 "--sample is a percentage from 0.01 to 100, "
								 "not \"%s\"",
								 optarg);
			return -1;
		case OPT_SINCE:
			if (timestamp_parse(optarg, &micros, &err) != ST_OK)
				return cli_usage(request->common.program, "--since: %s%s%s",
								 err.message, err.hint[0] != '\0' ? ". " : "",
								 err.hint);
			request->options.since_s = micros / 1000000;
			return -1;
		case OPT_RESUME:
			request->options.resume = true;
			return -1;
		case OPT_JSON:
			request->json = true;
			return -1;
		default:
			return cli_common_option(&request->common, opt, argv);
	}
}

/* Returns -1 to go on, else the exit code. */
static int
parse_arguments(int argc, char **argv, struct request *request)
{
	const struct verify_options *options = &request->options;
	int opt;
	int code;

	cli_common_init(&request->common, "walship verify", help);
	request->options.sample_bp = SAMPLE_ALL;
	while ((opt = getopt_long(argc, argv, CLI_SHORT, long_options, NULL)) !=
		   -1)
		if ((code = take_option(request, opt, argv)) >= 0)
			return code;
	if (optind < argc)
		return cli_usage(request->common.program, "unexpected \"%s\"",
						 argv[optind]);
	if (!options->read && (options->sample_bp != SAMPLE_ALL ||
						   options->since_s != 0 || options->resume))
		return cli_usage(request->common.program,
						 "--sample, --since and --resume go with --read");
	return -1;
}

static void
show(void *arg, enum verify_grade grade, const char *kind, const char *subject,
	 const char *text)
{
	struct output *out = arg;
	const char *word = grade == VERIFY_DEFECT ? "defect" : "note";
	const char *line;
	size_t len;

	if (out->json == NULL)
	{
		(void) printf("%s: %s: \"%s\": %s\n", word, kind, subject, text);
		return;
	}
	json_begin(out->json);
	json_text(out->json, "grade", word);
	json_text(out->json, "kind", kind);
	json_text(out->json, "subject", subject);
	json_text(out->json, "text", text);
	if (json_done(out->json, &line, &len, &out->err) == ST_OK)
		(void) printf("%s\n%.*s", out->findings++ == 0 ? "" : ",",
					  (int) len - 1, line);
}

static void
json_counts(void *arg, struct json *json)
{
	const struct verify_counts *c = arg;

	json_int(json, "backups", (int64_t) c->backups);
	json_int(json, "packs", (int64_t) c->packs);
	json_int(json, "pack_bytes", (int64_t) c->pack_bytes);
	json_int(json, "wal_files", (int64_t) c->wal_files);
	json_int(json, "read_objects", (int64_t) c->read_objects);
	json_int(json, "read_bytes", (int64_t) c->read_bytes);
	json_int(json, "defects", (int64_t) c->defects);
}

static const char *
plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void
show_sum(const struct output *out, const struct verify_counts *c,
		 bool complete)
{
	char size[16];

	if (!complete)
		(void) fputs("Not finished.  ", stdout);
	(void) printf("%" PRIu64 " backup%s, %" PRIu64 " packs and digests "
				  "(%s), %" PRIu64 " WAL segments; ",
				  c->backups, plural(c->backups), c->packs,
				  size_format(c->pack_bytes, size), c->wal_files);
	if (out->read)
		(void) printf("read %" PRIu64 " objects (%s)", c->read_objects,
					  size_format(c->read_bytes, size));
	else
		(void) fputs("content was not read", stdout);
	(void) printf(": %" PRIu64 " defect%s%s.\n", c->defects,
				  plural(c->defects), complete ? "" : " so far");
}

/* The end of what is shown. */
static enum status
show_counts(struct output *out, struct verify_counts *c, bool complete,
			struct err *err)
{
	const char *line;
	size_t len;

	if (out->json == NULL)
		show_sum(out, c, complete);
	else
	{
		json_begin(out->json);
		json_bool(out->json, "complete", complete);
		json_counts(c, out->json);
		if (json_done(out->json, &line, &len, err) != ST_OK)
			return err->status;
		(void) printf("],\n%.*s\n", (int) len - 2, line + 1);
	}
	if (fflush(stdout) != 0)
		return err_set(err, ST_IO, "could not write to standard output");
	return ST_OK;
}

/* The record, also of a run that found defects. */
static void
put_report(struct session *session, int64_t started,
		   struct verify_counts *counts, const struct err *failed)
{
	struct err defects;
	struct report report = {.kind = "verify",
							.start_time = started,
							.end_time = (int64_t) time(NULL),
							.failed = failed,
							.members = json_counts,
							.arg = counts};

	if (failed == NULL && counts->defects > 0)
	{
		(void) err_set(&defects, ST_CORRUPT, "%" PRIu64 " defect%s",
					   counts->defects, plural(counts->defects));
		report.failed = &defects;
	}
	report_put_or_tell(&session->repo, &report);
}

static enum status
verify(struct session *session, const struct request *request,
	   uint64_t *defects, struct err *err)
{
	const int64_t started = (int64_t) time(NULL);
	struct output out = {.read = request->options.read};
	struct verify_counts counts;
	struct err shown;
	enum status status = ST_OK;

	if (request->json)
		status = json_new(&out.json, err);
	if (status != ST_OK)
		return status;
	if (request->json)
		(void) fputs("{\"findings\":[", stdout);
	status = verify_run(session, &request->options, show, &out, &counts, err);
	put_report(session, started, &counts, status != ST_OK ? err : NULL);
	if (show_counts(&out, &counts, status == ST_OK, &shown) != ST_OK &&
		status == ST_OK)
	{
		*err = shown;
		status = shown.status;
	}
	*defects = counts.defects;
	json_free(out.json);
	return status;
}

int
cmd_verify(int argc, char **argv)
{
	struct request request = {.json = false};
	struct session session;
	struct err err;
	uint64_t defects = 0;
	int code = parse_arguments(argc, argv, &request);

	if (code >= 0)
		return code;
	if (report_session_open(&session, &request.common, "verify", &err) !=
		ST_OK)
		return cli_fail(&err);
	request.options.rules = keep_rules_of(session.cfg);
	code = 0;
	if (verify(&session, &request, &defects, &err) != ST_OK)
		code = cli_fail(&err);
	else if (defects > 0)
		code = 1;
	session_close(&session);
	return code;
}
