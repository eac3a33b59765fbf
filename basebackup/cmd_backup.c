/*
 * cmd_backup.c - walship backup: makes a base backup
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basebackup/backup.h"
#include "basebackup/command.h"
#include "basebackup/json.h"
#include "basebackup/manifest_read.h"
#include "basebackup/report.h"
#include "common/cli.h"
#include "common/log.h"

/* The server's own limits. */
#define LABEL_MAX_BYTES 1000

/* Of all together, so that a manifest's reader has room. */
#define ANNOTATIONS_MAX_BYTES 1000

#define RATE_MIN_KB 32
#define RATE_MAX_KB 1048576

static const char help[] =
	"Usage: walship backup [OPTION]...\n"
	"\n"
	"Makes a base backup of a running server, primary or standby, over the\n"
	"replication protocol.  The new backup's id goes to standard output.\n"
	"\n"
	"The backup counts once the archive holds all WAL that it needs; a backup\n"
	"that fails leaves nothing that counts.\n"
	"\n" PG_OPTIONS_HELP "\n"
	"  -l, --label=LABEL          the backup's label (default \"walship\")\n"
	"      --annotate=KEY=VALUE   something to remember with the backup, shown by\n"
	"                             list --json; repeatable\n"
	"  -c, --checkpoint=MODE      \"spread\" begins gently, within the time of\n"
	"                             a regular checkpoint (the default); \"fast\"\n"
	"                             begins at once, at the price of more I/O\n"
	"      --full                 refers to no older backup\n"
	"      --incremental=HOW      \"auto\": servers that can (17 and later, with\n"
	"                             summarize_wal) send only changes since the last\n"
	"                             backup (the default); \"off\": everything is read\n"
	"  -r, --max-rate=RATE        at most RATE kB per second from the server;\n"
	"                             \"M\" behind it: MB\n"
	"      --compress=HOW         \"server-lz4\": the server compresses what it\n"
	"                             sends, for slow networks; \"none\" (the default)\n"
	"      --storage-class=CLASS  of the packs that are stored; as for\n"
	"                             --set=s3_storage_class=CLASS\n"
	"      --no-verify-checksums  keep the backup even if pages have bad checksums;\n"
	"                             it is marked as not verified\n"
	"      --json                 print the result as one JSON object\n"
	"\n" CLI_OPTIONS_HELP;

enum
{
	OPT_LABEL = 'l',
	OPT_CHECKPOINT = 'c',
	OPT_MAX_RATE = 'r',
	OPT_COMPRESS = 1000,
	OPT_STORAGE_CLASS,
	OPT_NO_VERIFY,
	OPT_JSON,
	OPT_FULL,
	OPT_INCREMENTAL,
	OPT_ANNOTATE
};

struct arguments
{
	struct cli_common common;
	struct pg_options pg;
	struct backup_options backup;
	const char *annotations[MANIFEST_ANNOTATIONS];
	size_t annotations_len;
	char storage_class[64]; /* as a setting */
	bool json;
};

static bool
label_valid(const char *label)
{
	if (strlen(label) > LABEL_MAX_BYTES || !utf8_valid(label, strlen(label)))
		return false;
	for (; *label != '\0'; label++)
	{
		if ((unsigned char) *label < ' ' || *label == 0x7F)
			return false;
	}
	return true;
}

/* -1, or the code to exit with. */
static int
add_annotation(struct arguments *a, const char *text)
{
	static const char key[] = "abcdefghijklmnopqrstuvwxyz"
							  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t n = strspn(text, key);

	if (n == 0 || text[n] != '=' || !label_valid(text))
		return cli_usage(a->common.program,
						 "--annotate needs KEY=VALUE, the key of letters, "
						 "digits, \".\", \"_\" and \"-\"");
	a->annotations_len += strlen(text);
	if (a->backup.nannotations == MANIFEST_ANNOTATIONS ||
		a->annotations_len > ANNOTATIONS_MAX_BYTES)
		return cli_usage(a->common.program,
						 "more than %d annotations, or %d bytes of them",
						 MANIFEST_ANNOTATIONS, ANNOTATIONS_MAX_BYTES);
	a->annotations[a->backup.nannotations++] = text;
	a->backup.annotations = a->annotations;
	return -1;
}

/* "32768", "32768k" or "32M", in kB per second. */
static bool
parse_rate(const char *text, uint32_t *out)
{
	char digits[16];
	size_t n = strspn(text, "0123456789");
	uint64_t value;

	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, text, n);
	digits[n] = '\0';
	if (!parse_uint64(digits, RATE_MAX_KB, &value))
		return false;
	if (strcmp(text + n, "M") == 0)
		value *= 1024;
	else if (text[n] != '\0' && strcmp(text + n, "k") != 0)
		return false;
	if (value < RATE_MIN_KB || value > RATE_MAX_KB)
		return false;
	*out = (uint32_t) value;
	return true;
}

/* What is no class is told by the configuration.  Returns as above. */
static int
set_storage_class(struct arguments *a, const char *name)
{
	int len = snprintf(a->storage_class, sizeof(a->storage_class),
					   "s3_storage_class=%s", name);

	if (*name == '\0' || len < 0 || (size_t) len >= sizeof(a->storage_class))
		return cli_usage(a->common.program, "invalid storage class \"%s\"",
						 name);
	return cli_add_override(&a->common, a->storage_class);
}

/* One of two words; *out: is it the first?  Returns as above. */
static int
take_word(const struct arguments *a, const char *option, const char *first,
		  const char *second, bool *out)
{
	*out = strcmp(optarg, first) == 0;
	if (*out || strcmp(optarg, second) == 0)
		return -1;
	return cli_usage(a->common.program,
					 "%s must be \"%s\" or \"%s\", not \"%s\"", option, first,
					 second, optarg);
}

/* -1: go on; else the code to exit with. */
static int
take_option(struct arguments *a, int opt, char **argv)
{
	const char *program = a->common.program;

	switch (opt)
	{
		case OPT_LABEL:
			if (!label_valid(optarg))
				return cli_usage(program, "label is too long or not plain "
										  "UTF-8 text");
			a->backup.label = optarg;
			return -1;
		case OPT_CHECKPOINT:
			return take_word(a, "--checkpoint", "fast", "spread",
							 &a->backup.fast_checkpoint);
		case OPT_MAX_RATE:
			if (!parse_rate(optarg, &a->backup.max_rate_kb))
				return cli_usage(program,
								 "--max-rate must be from %d kB to %d kB per "
								 "second, not \"%s\"",
								 RATE_MIN_KB, RATE_MAX_KB, optarg);
			return -1;
		case OPT_ANNOTATE:
			return add_annotation(a, optarg);
		case OPT_COMPRESS:
			return take_word(a, "--compress", "server-lz4", "none",
							 &a->backup.lz4);
		case OPT_INCREMENTAL:
			return take_word(a, "--incremental", "off", "auto",
							 &a->backup.no_native);
		case OPT_STORAGE_CLASS:
			return set_storage_class(a, optarg);
		case OPT_NO_VERIFY:
			a->backup.no_verify = true;
			return -1;
		case OPT_JSON:
			a->json = true;
			return -1;
		case OPT_FULL:
			a->backup.full = true;
			return -1;
		default:
			if (pg_options_take(&a->pg, opt, optarg))
				return -1;
			return cli_common_option(&a->common, opt, argv);
	}
}

static int
take_arguments(struct arguments *a, int argc, char **argv)
{
	static const struct option options[] = {
		CLI_OPTIONS,
		PG_LONG_OPTIONS,
		{"label", required_argument, NULL, OPT_LABEL},
		{"annotate", required_argument, NULL, OPT_ANNOTATE},
		{"checkpoint", required_argument, NULL, OPT_CHECKPOINT},
		{"max-rate", required_argument, NULL, OPT_MAX_RATE},
		{"compress", required_argument, NULL, OPT_COMPRESS},
		{"storage-class", required_argument, NULL, OPT_STORAGE_CLASS},
		{"no-verify-checksums", no_argument, NULL, OPT_NO_VERIFY},
		{"json", no_argument, NULL, OPT_JSON},
		{"full", no_argument, NULL, OPT_FULL},
		{"incremental", required_argument, NULL, OPT_INCREMENTAL},
		{NULL, 0, NULL, 0}};
	int opt;

	cli_common_init(&a->common, "walship backup", help);
	a->backup.label = "walship";
	a->backup.progress = true;
	while ((opt = getopt_long(argc, argv, CLI_SHORT PG_SHORT_OPTIONS "l:c:r:",
							  options, NULL)) != -1)
	{
		int code = take_option(a, opt, argv);

		if (code >= 0)
			return code;
	}
	if (optind < argc)
		return cli_usage(a->common.program, "unexpected argument \"%s\"",
						 argv[optind]);
	return -1;
}

/*
 * The cluster is known only now: its own section of the configuration
 * applies, and it must be the one that was asked for, if one was.
 */
static enum status
open_repository(struct arguments *a, uint64_t system_identifier,
				struct session *session, struct err *err)
{
	uint64_t said =
		a->common.cluster != 0 ? a->common.cluster : session->cfg->cluster;
	enum status status;

	if (said != 0 && said != system_identifier)
		return err_set(
			err, ST_CONFIG,
			"the server is of cluster %" PRIu64 ", but %s says %" PRIu64,
			system_identifier,
			a->common.cluster != 0 ? "--cluster" : "the configuration", said);
	session_close(session);
	status =
		session_configure_for(session, &a->common, system_identifier, err);
	if (status != ST_OK)
		return status;
	a->backup.progress = session->cfg->log_format == LOG_FORMAT_TEXT;
	return session_open_repo(session, &a->common, system_identifier, err);
}

static enum status
run(struct arguments *a, struct session *session, struct backup_result *result,
	struct err *err)
{
	struct server_facts facts;
	struct backup_source source = {
		.options = &a->pg, .facts = &facts, .session = session};
	enum status status = session_configure(session, &a->common, err);

	if (status == ST_OK)
		status = config_require(session->cfg, err);
	if (status == ST_OK)
		status =
			pgconn_open(&a->pg, PG_REPLICATION,
						session->cfg->connect_timeout_ms, &source.conn, err);
	if (status == ST_OK)
	{
		struct deadline d = session_deadline(session);

		status = server_facts_read(source.conn, &d, &facts, err);
	}
	if (status == ST_OK)
		status = open_repository(a, facts.system_identifier, session, err);
	if (status == ST_OK)
		status = backup_run(&source, &a->backup, result, err);
	pgconn_close(source.conn);
	return status;
}

static void
log_result(const struct backup_result *r)
{
	char bytes[16];
	char stored[16];

	log_info("backup %s is complete: %" PRIu64 " files, %s, %s stored in "
			 "%" PRIu64 " pack%s, %" PRId64 ".%01" PRId64 " s",
			 r->id, r->files, size_format(r->bytes, bytes),
			 size_format(r->stored_bytes, stored), r->packs,
			 r->packs == 1 ? "" : "s", r->duration_ms / 1000,
			 r->duration_ms % 1000 / 100);
}

static enum status
print_json(const struct backup_result *r, uint64_t system_identifier,
		   struct err *err)
{
	struct json *json = NULL;
	char sysid[24];
	char time[32];
	const char *line = NULL;
	size_t len = 0;
	enum status status = json_new(&json, err);

	if (status != ST_OK)
		return status;
	(void) snprintf(sysid, sizeof(sysid), "%" PRIu64, system_identifier);
	json_begin(json);
	json_text(json, "id", r->id);
	json_text(json, "system_identifier", sysid);
	json_text(json, "start_time", time_format(r->start_time, time));
	json_text(json, "stop_time", time_format(r->stop_time, time));
	backup_result_members(r, json);
	status = json_done(json, &line, &len, err);
	if (status == ST_OK)
		(void) fwrite(line, len, 1, stdout);
	json_free(json);
	return status;
}

/* The backup is made, whatever becomes of the words about it. */
static int
print_result(const struct arguments *a, uint64_t system_identifier,
			 const struct backup_result *r)
{
	struct err err;

	log_result(r);
	if (!a->json)
		(void) puts(r->id);
	else if (print_json(r, system_identifier, &err) != ST_OK)
		return cli_fail(&err);
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return 0;
	log_error("could not write to standard output");
	return 1;
}

/*
 * A backup without an id made no report.  Its cluster is known from the
 * server, or because it was named: then the repository can still be opened.
 * A store that did not answer is not asked again.
 */
static void
report_early(const struct arguments *a, struct session *session,
			 int64_t started, const struct err *failed)
{
	struct err err;

	if (session->cfg == NULL)
		return;
	if (session->repo.store != NULL &&
		(failed->status == ST_RETRY || failed->status == ST_DEADLINE))
		repo_close(&session->repo);
	else if (session->repo.store == NULL &&
			 (a->common.cluster != 0 || session->cfg->cluster != 0) &&
			 session_open_repo(session, &a->common, 0, &err) != ST_OK)
		log_debug("no report: %s", err.message);
	report_failure(session, "backup", started, failed);
}

int
cmd_backup(int argc, char **argv)
{
	struct arguments a = {.backup = {.label = NULL}};
	struct session session = {.cfg = NULL};
	struct backup_result r = {.label = NULL};
	const int64_t started = (int64_t) time(NULL);
	struct err err;
	enum status status;
	int code = take_arguments(&a, argc, argv);

	if (code >= 0)
		return code;
	status = run(&a, &session, &r, &err);
	pg_options_wipe(&a.pg);
	if (status != ST_OK && r.id[0] == '\0')
		report_early(&a, &session, started, &err);
	if (status != ST_OK)
		code = cli_fail(&err);
	else
		code = print_result(&a, session.repo.system_identifier, &r);
	session_close(&session);
	return code;
}
