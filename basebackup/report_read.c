/*
 * report_read.c - reading reports
 */
#include "basebackup/report_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/jsonl.h"
#include "basebackup/timestamp.h"

/* A drill's may have its checks and phases in it. */
#define REPORT_BYTES_MAX ((size_t) 8 << 20)

#define TIME_LEN 16 /* "20260102T030405Z" */

bool
report_name_parse(const char *text, int64_t *time_s,
				  char kind[REPORT_KIND_MAX])
{
	char time_text[21];
	size_t len = strlen(text);

	if (len <= TIME_LEN + 1 || text[TIME_LEN] != '-' ||
		len - TIME_LEN - 1 >= REPORT_KIND_MAX ||
		strspn(text + TIME_LEN + 1, "abcdefghijklmnopqrstuvwxyz") !=
			len - TIME_LEN - 1)
		return false;
	(void) snprintf(time_text, sizeof(time_text),
					"%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", text, text + 4, text + 6,
					text + 9, text + 11, text + 13);
	if (text[8] != 'T' || text[15] != 'Z' ||
		!timestamp_parse_utc(time_text, time_s))
		return false;
	(void) snprintf(kind, REPORT_KIND_MAX, "%s", text + TIME_LEN + 1);
	return true;
}

/* Cuts what does not fit, at a character's beginning. */
static void
copy_cut(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
		for (len = size - 1; len > 0 && (text[len] & 0xC0) == 0x80;)
			len--;
	memcpy(out, text, len);
	out[len] = '\0';
}

static enum status
get_time(const struct jsonl_line *line, const char *name, int64_t *out,
		 struct err *err)
{
	const char *text;
	enum status status = jsonl_get_text(line, name, &text, err);

	if (status == ST_OK && !timestamp_parse_utc(text, out))
		status = jsonl_invalid(line, name, err);
	return status;
}

/* Members of one kind: what is missing, or of another type, is not known. */
static int64_t
get_number(const struct jsonl_line *line, const char *name)
{
	const struct jsonl_member *m = jsonl_find(line, name);

	return m != NULL && m->type == JSONL_INTEGER && m->number >= 0 ? m->number
																   : -1;
}

static void
take_optional(const struct jsonl_line *line, struct report_read *out)
{
	const struct jsonl_member *m = jsonl_find(line, "backup");

	if (m != NULL && m->type == JSONL_TEXT && backup_id_parse(m->text, NULL))
		(void) snprintf(out->backup_id, sizeof(out->backup_id), "%s", m->text);
	m = jsonl_find(line, "host");
	if (m != NULL && m->type == JSONL_TEXT)
		copy_cut(out->host, sizeof(out->host), m->text);
	out->defects = get_number(line, "defects");
	out->read_objects = get_number(line, "read_objects");
	out->rto_ms = get_number(line, "rto_ms");
	out->rpo_ms = get_number(line, "rpo_ms");
}

struct taken
{
	struct report_read *out;
	bool any;
};

static enum status
take_line(void *arg, const struct jsonl_line *line, struct err *err)
{
	struct taken *taken = arg;
	struct report_read *out = taken->out;
	const char *text;
	uint64_t format;
	enum status status;

	if (taken->any)
		return err_set(err, ST_CORRUPT, "there is more than a report");
	taken->any = true;
	status = jsonl_get_uint(line, "format", UINT32_MAX, &format, err);
	if (status == ST_OK && format != 1)
		status = jsonl_invalid(line, "format", err);
	if (status == ST_OK)
		status = jsonl_get_text(line, "kind", &text, err);
	if (status == ST_OK && strlen(text) >= sizeof(out->kind))
		status = jsonl_invalid(line, "kind", err);
	if (status != ST_OK)
		return status;
	copy_cut(out->kind, sizeof(out->kind), text);
	status = jsonl_get_text(line, "outcome", &text, err);
	if (status == ST_OK && strcmp(text, "ok") != 0 &&
		strcmp(text, "failed") != 0)
		status = jsonl_invalid(line, "outcome", err);
	if (status != ST_OK)
		return status;
	out->ok = strcmp(text, "ok") == 0;
	status = get_time(line, "start_time", &out->start_time, err);
	if (status == ST_OK)
		status = get_time(line, "end_time", &out->end_time, err);
	if (status == ST_OK)
		status = jsonl_get_text(line, "message", &text, err);
	if (status != ST_OK)
		return status;
	copy_cut(out->message, sizeof(out->message), text);
	take_optional(line, out);
	return ST_OK;
}

enum status
report_parse(const void *data, size_t len, struct report_read *out,
			 struct err *err)
{
	struct report_read read = {.ok = false};
	struct taken taken = {.out = &read};
	enum status status = jsonl_parse(data, len, take_line, &taken, err);

	if (status == ST_OK && !taken.any)
		status = err_set(err, ST_CORRUPT, "there is no report");
	if (status == ST_OK)
		*out = read;
	return status;
}

enum status
report_read(struct repo *repo, const char *name, struct report_read *out,
			struct err *err)
{
	struct report_read read;
	char object[OBJECT_NAME_MAX + 1];
	char kind[REPORT_KIND_MAX];
	int64_t time_s;
	char *text = NULL;
	size_t len;
	enum status status;

	if (!report_name_parse(name, &time_s, kind))
		return err_set(err, ST_CORRUPT, "\"%s\" is no report's name", name);
	repo_report_name(object, time_s, kind);
	status = repo_get_bytes(repo, OBJECT_REPORT, object, REPORT_BYTES_MAX,
							&text, &len, err);
	if (status != ST_OK)
		return status;
	status = report_parse(text, len, &read, err);
	free(text);
	if (status == ST_OK && strcmp(read.kind, kind) != 0)
		status = err_set(err, ST_CORRUPT, "it is one of another kind");
	if (status == ST_OK)
		*out = read;
	else
		(void) err_context(err, "\"%s\"", object);
	return status;
}
