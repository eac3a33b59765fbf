/*
 * start_read.c - reading a backup's start object
 */
#include "basebackup/start_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/decode.h"
#include "basebackup/jsonl.h"

#define START_BYTES_MAX ((size_t) 1 << 20)

struct reading
{
	const char *backup_id;
	struct backup_start *out;
	size_t nlines;
};

static enum status
take_bases(const struct jsonl_line *line, struct backup_start *out,
		   struct err *err)
{
	const struct jsonl_member *member = jsonl_find(line, "bases");
	const char *id;

	if (member == NULL ||
		(member->type != JSONL_TEXTS &&
		 !(member->type == JSONL_NUMBERS && member->count == 0)))
		return jsonl_invalid(line, "bases", err);
	if (member->count == 0)
		return ST_OK;
	out->bases = calloc(member->count, sizeof(*out->bases));
	if (out->bases == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	id = member->text;
	for (size_t i = 0; i < member->count; i++)
	{
		if (!backup_id_parse(id, NULL))
			return jsonl_invalid(line, "bases", err);
		(void) snprintf(out->bases[i], BACKUP_ID_MAX, "%s", id);
		id += strlen(id) + 1;
	}
	out->nbases = member->count;
	return ST_OK;
}

static enum status
take_key(const struct jsonl_line *line, struct backup_start *out,
		 struct err *err)
{
	const char *text;
	enum status status;

	if (jsonl_find(line, "digest_key") == NULL)
		return ST_OK;
	status = jsonl_get_text(line, "digest_key", &text, err);
	if (status != ST_OK)
		return status;
	if (!hex_decode(text, out->digest_key, sizeof(out->digest_key)))
		return jsonl_invalid(line, "digest_key", err);
	out->has_digest_key = true;
	return ST_OK;
}

static enum status
take_line(void *arg, const struct jsonl_line *line, struct err *err)
{
	struct reading *r = arg;
	const char *text;
	uint64_t format;
	enum status status = jsonl_get_uint(line, "format", 1, &format, err);

	if (status == ST_OK && (format != 1 || r->nlines++ > 0))
		return jsonl_invalid(line, "format", err);
	if (status == ST_OK)
		status = jsonl_get_text(line, "id", &text, err);
	if (status == ST_OK && strcmp(text, r->backup_id) != 0)
		return jsonl_invalid(line, "id", err);
	if (status == ST_OK)
		status = jsonl_get_text(line, "host", &text, err);
	if (status != ST_OK)
		return status;
	(void) snprintf(r->out->host, sizeof(r->out->host), "%s", text);
	status = take_key(line, r->out, err);
	return status == ST_OK ? take_bases(line, r->out, err) : status;
}

enum status
start_read(struct repo *repo, const char *backup_id, struct backup_start *out,
		   struct err *err)
{
	struct backup_start start = {.nbases = 0};
	struct reading r = {.backup_id = backup_id, .out = &start};
	char name[OBJECT_NAME_MAX + 1];
	char *text = NULL;
	size_t len;
	enum status status;

	repo_backup_name(name, backup_id, "start");
	status = repo_get_bytes(repo, OBJECT_START, name, START_BYTES_MAX, &text,
							&len, err);
	if (status == ST_OK)
		status = jsonl_parse(text, len, take_line, &r, err);
	if (status == ST_OK && r.nlines != 1)
		status = err_set(err, ST_CORRUPT, "it is empty");
	free(text);
	if (status == ST_OK)
		*out = start;
	else
	{
		backup_start_free(&start);
		if (status == ST_CORRUPT)
			(void) err_context(err, "\"%s\" is not usable", name);
	}
	return status;
}

void
backup_start_free(struct backup_start *start)
{
	free(start->bases);
	start->bases = NULL;
	start->nbases = 0;
}
