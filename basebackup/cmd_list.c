/*
 * cmd_list.c - walship list
 */
#include "basebackup/command.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/archive.h"
#include "basebackup/catalog.h"
#include "basebackup/histories.h"
#include "basebackup/json.h"
#include "basebackup/onward.h"
#include "basebackup/timestamp.h"
#include "common/cli.h"
#include "common/session.h"

static const char help[] =
	"walship list shows the backups of a cluster.\n\n"
	"Usage: walship list [OPTION]...\n\n"
	"  --json               one JSON array of objects\n" CLI_OPTIONS_HELP
	"\nA backup is usable alone if its WAL is \"ok\": every segment from its "
	"start\nto its stop is in the archive.  It restores \"to its own end "
	"only\" if the WAL\nthat follows is not there, while later WAL is: outside "
	"keep_within, expire\nkeeps no more.  Exits with 1 if a manifest cannot be "
	"read.\n";

/* A backup as it is shown. */
struct row
{
	const struct catalog_backup *backup;
	char missing[WAL_NAME_MAX + 1]; /* the first absent segment, or empty */
	bool own_end_only;
};

static const char *
state_name(enum backup_state state)
{
	switch (state)
	{
		case BACKUP_COMPLETE:
			return "complete";
		case BACKUP_UNFINISHED:
			return "unfinished";
		case BACKUP_UNREADABLE:
			return "unreadable";
		case BACKUP_EXPIRED:
			break;
	}
	return "expired";
}

static const char *
type_name(const struct backup_summary *s)
{
	return s->nbases > 0 ? "incremental" : "full";
}

static enum status
look_at_wal(struct repo *repo, const struct histories *histories,
			struct row *row, struct err *err)
{
	const struct backup_summary *s = &row->backup->summary;
	struct archive_range range;
	struct wal_name name;
	enum status st;

	row->missing[0] = '\0';
	if (row->backup->state != BACKUP_COMPLETE)
		return ST_OK;
	st = archive_look(repo, s->timeline, s->wal_segment_size,
					  wal_segno_of(s->start_lsn, s->wal_segment_size),
					  wal_segno_before(s->stop_lsn, s->wal_segment_size),
					  &range, err);
	if (st == ST_OK && range.gap)
	{
		wal_name_segment(&name, s->timeline, range.missing,
						 s->wal_segment_size);
		snprintf(row->missing, sizeof(row->missing), "%s", name.text);
	}
	else if (st == ST_OK)
		st = onward_is_barred(repo, histories, s, &row->own_end_only, err);
	return st;
}

static void
json_lsn(struct json *json, const char *key, uint64_t lsn)
{
	char text[LSN_TEXT_MAX];

	json_text(json, key, lsn_format(lsn, text));
}

static void
json_time(struct json *json, const char *key, int64_t time_s)
{
	char text[21];

	json_text(json, key, time_format(time_s, text));
}

static void
json_annotations(struct json *json, const struct backup_summary *s)
{
	const char *text = s->annotations;

	json_array(json, "annotations");
	for (size_t i = 0; i < s->nannotations; i++)
	{
		json_string(json, text);
		text += strlen(text) + 1;
	}
	json_array_end(json);
}

static void
json_summary(struct json *json, const struct row *row)
{
	const struct backup_summary *s = &row->backup->summary;

	json_text(json, "label", s->label);
	json_annotations(json, s);
	json_text(json, "type", type_name(s));
	json_time(json, "start_time", s->start_time);
	json_time(json, "stop_time", s->stop_time);
	json_lsn(json, "start_lsn", s->start_lsn);
	json_lsn(json, "stop_lsn", s->stop_lsn);
	json_int(json, "timeline", s->timeline);
	json_int(json, "server_version", s->server_version);
	json_bool(json, "from_standby", s->from_standby);
	json_bool(json, "data_checksums", s->data_checksums);
	json_bool(json, "checksums_verified", s->checksums_verified);
	json_int(json, "files", (int64_t) s->files);
	json_int(json, "bytes", (int64_t) s->bytes);
	json_int(json, "stored_bytes", (int64_t) s->stored_bytes);
	json_int(json, "referenced_bytes", (int64_t) s->referenced_bytes);
	json_int(json, "duration_ms", (int64_t) s->duration_ms);
	json_text(json, "host", s->host);
	json_text(json, "walship_version", s->walship_version);
	json_text(json, "wal", row->missing[0] == '\0' ? "ok" : "missing");
	if (row->missing[0] == '\0')
		json_null(json, "wal_missing");
	else
		json_text(json, "wal_missing", row->missing);
	json_bool(json, "own_end_only", row->own_end_only);
}

static enum status
show_json(const struct repo *repo, const struct row *rows, size_t nrows,
		  struct err *err)
{
	struct json *json = NULL;
	char sysid[24];
	enum status st = json_new(&json, err);

	snprintf(sysid, sizeof(sysid), "%" PRIu64, repo->system_identifier);
	if (st == ST_OK)
		(void) fputs(nrows == 0 ? "[" : "[\n", stdout);
	for (size_t i = 0; st == ST_OK && i < nrows; i++)
	{
		const struct catalog_backup *b = rows[i].backup;
		const char *text;
		size_t len;

		json_begin(json);
		json_text(json, "id", b->id);
		json_text(json, "system_identifier", sysid);
		json_text(json, "state", state_name(b->state));
		json_bool(json, "keep", b->keep);
		if (b->state == BACKUP_COMPLETE)
			json_summary(json, &rows[i]);
		else if (b->state == BACKUP_UNREADABLE)
			json_text(json, "error", b->why->message);
		else
			json_time(json, "start_time", b->started);
		st = json_done(json, &text, &len, err);
		if (st == ST_OK)
			(void) printf("%s%.*s\n", i == 0 ? "" : ",", (int) len - 1, text);
	}
	if (st == ST_OK)
		(void) fputs("]\n", stdout);
	json_free(json);
	return st;
}

/* Minutes are enough to tell backups apart; --json has all. */
static char *
short_time(int64_t time_s, char *out)
{
	char text[TIMESTAMP_TEXT_MAX];

	snprintf(out, 20, "%.16sZ", timestamp_format(time_s * 1000000, text));
	return out;
}

/* A label is whatever somebody typed; a terminal gets no commands from it. */
static char *
printable_label(const char *label, char *out)
{
	size_t i;

	for (i = 0; label[i] != '\0'; i++)
	{
		out[i] = label[i];
		if ((unsigned char) label[i] < ' ' || label[i] == 0x7F)
			out[i] = '?';
	}
	out[i] = '\0';
	return out;
}

static void
show_complete(const struct row *row)
{
	const struct backup_summary *s = &row->backup->summary;
	char start[20], stop[20], from[LSN_TEXT_MAX], to[LSN_TEXT_MAX];
	char size[16], stored[16], version[32], label[MANIFEST_LABEL_MAX + 1];
	bool ok = row->missing[0] == '\0';

	snprintf(version, sizeof(version), "%d.%d", s->server_version / 10000,
			 s->server_version % 10000);
	(void) printf(
		"%s %-11s %s %s %12s %12s %4" PRIu32 " %8s %8s %5s %s%s%s%s%s   %s\n",
		s->id, type_name(s), short_time(s->start_time, start),
		short_time(s->stop_time, stop), lsn_format(s->start_lsn, from),
		lsn_format(s->stop_lsn, to), s->timeline, size_format(s->bytes, size),
		size_format(s->stored_bytes, stored), version, ok ? "ok" : "lacks ",
		row->missing, row->own_end_only ? ", to its own end only" : "",
		row->backup->keep ? ", kept" : "",
		s->data_checksums && !s->checksums_verified ? ", pages not verified"
													: "",
		printable_label(s->label, label));
}

static void
show_table(const struct row *rows, size_t nrows)
{
	char time[20];

	if (nrows == 0)
	{
		(void) puts(
			"There are no backups yet: see \"walship backup --help\".");
		return;
	}
	(void) printf(
		"%-42s %-11s %-17s %-17s %12s %12s %4s %8s %8s %5s %-5sLABEL\n",
		"BACKUP", "TYPE", "STARTED", "FINISHED", "START LSN", "STOP LSN", "TL",
		"SIZE", "STORED", "PG", "WAL");
	for (size_t i = 0; i < nrows; i++)
	{
		const struct catalog_backup *b = rows[i].backup;

		if (b->state == BACKUP_COMPLETE)
			show_complete(&rows[i]);
		else if (b->state == BACKUP_UNREADABLE)
			(void) printf("%s unreadable: %s\n", b->id, b->why->message);
		else
			(void) printf("%s unfinished  %s\n", b->id,
						  short_time(b->started, time));
	}
}

static enum status
list(struct repo *repo, bool as_json, bool *unreadable, struct err *err)
{
	struct catalog catalog = {0};
	struct histories histories = {.nhistories = 0};
	struct row *rows;
	enum status st;

	if ((st = repo_require_cluster(repo, err)) != ST_OK ||
		(st = catalog_load(repo, &catalog, err)) != ST_OK)
		return st;
	rows = calloc(catalog.nbackups + 1, sizeof(*rows));
	if (rows == NULL)
	{
		catalog_free(&catalog);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	if (catalog.nbackups > 0)
		st = histories_load(repo, &histories, err);
	for (size_t i = 0; st == ST_OK && i < catalog.nbackups; i++)
	{
		rows[i].backup = &catalog.backups[i];
		if (catalog.backups[i].state == BACKUP_UNREADABLE)
			*unreadable = true;
		st = look_at_wal(repo, &histories, &rows[i], err);
	}
	if (st == ST_OK && as_json)
		st = show_json(repo, rows, catalog.nbackups, err);
	else if (st == ST_OK)
		show_table(rows, catalog.nbackups);
	if (st == ST_OK && fflush(stdout) != 0)
		st = err_set(err, ST_IO, "could not write to standard output");
	free(rows);
	histories_free(&histories);
	catalog_free(&catalog);
	return st;
}

int
cmd_list(int argc, char **argv)
{
	static const struct option options[] = {
		CLI_OPTIONS, {"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	struct cli_common common;
	struct session session;
	struct err err;
	bool as_json = false, unreadable = false;
	int opt, code;

	cli_common_init(&common, "walship list", help);
	while ((opt = getopt_long(argc, argv, CLI_SHORT, options, NULL)) != -1)
		if (opt == 'j')
			as_json = true;
		else if ((code = cli_common_option(&common, opt, argv)) >= 0)
			return code;
	if (optind < argc)
		return cli_usage(common.program, "unexpected \"%s\"", argv[optind]);

	if (session_open(&session, &common, &err) != ST_OK)
		return cli_fail(&err);
	code = 0;
	if (list(&session.repo, as_json, &unreadable, &err) != ST_OK)
		code = cli_fail(&err);
	else if (unreadable)
		code = 1;
	session_close(&session);
	return code;
}
