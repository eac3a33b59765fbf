/*
 * manifest_summary.c - the first line of a manifest
 */
#include "basebackup/manifest_line.h"

#include <stdio.h>
#include <string.h>

#include "basebackup/decode.h"
#include "basebackup/timestamp.h"
#include "common/cli.h"
#include "common/walname.h"

/* A text that fits into size bytes. */
static enum status
get_string(const struct jsonl_line *line, const char *name, char *out,
		   size_t size, struct err *err)
{
	const char *text;
	enum status st = jsonl_get_text(line, name, &text, err);

	if (st != ST_OK)
		return st;
	if (strlen(text) >= size)
		return jsonl_invalid(line, name, err);
	snprintf(out, size, "%s", text);
	return ST_OK;
}

static enum status
get_lsn(const struct jsonl_line *line, const char *name, uint64_t *out,
		struct err *err)
{
	const char *text;
	enum status st = jsonl_get_text(line, name, &text, err);

	if (st == ST_OK && !lsn_parse(text, out))
		st = jsonl_invalid(line, name, err);
	return st;
}

static enum status
get_time(const struct jsonl_line *line, const char *name, int64_t *out,
		 struct err *err)
{
	const char *text;
	enum status st = jsonl_get_text(line, name, &text, err);

	if (st == ST_OK && !timestamp_parse_utc(text, out))
		st = jsonl_invalid(line, name, err);
	return st;
}

/* Numbers above 2^53 are strings, smaller ones may be. */
static enum status
get_big(const struct jsonl_line *line, const char *name, uint64_t *out,
		struct err *err)
{
	const struct jsonl_member *m = jsonl_find(line, name);

	if (m != NULL && m->type == JSONL_TEXT)
		return parse_uint64(m->text, INT64_MAX, out)
				   ? ST_OK
				   : jsonl_invalid(line, name, err);
	return jsonl_get_uint(line, name, INT64_MAX, out, err);
}

/* Texts "KEY=VALUE"; backups without any may lack the member. */
static enum status
get_annotations(const struct jsonl_line *line, struct backup_summary *s,
				struct err *err)
{
	const struct jsonl_member *m = jsonl_find(line, "annotations");
	const char *text;
	size_t len = 0;

	if (m == NULL || (m->type == JSONL_NUMBERS && m->count == 0))
		return ST_OK;
	if (m->type != JSONL_TEXTS || m->count > MANIFEST_ANNOTATIONS)
		return jsonl_invalid(line, "annotations", err);
	text = m->text;
	for (size_t i = 0; i < m->count; i++)
	{
		size_t one = strlen(text + len) + 1;

		if (strchr(text + len, '=') == NULL ||
			one > sizeof(s->annotations) - len)
			return jsonl_invalid(line, "annotations", err);
		len += one;
	}
	memcpy(s->annotations, text, len);
	s->nannotations = m->count;
	return ST_OK;
}

static enum status
get_identity(const struct jsonl_line *line, struct backup_summary *s,
			 struct err *err)
{
	const char *text;
	uint64_t number;
	enum status st;

	if ((st = get_string(line, "id", s->id, sizeof(s->id), err)) != ST_OK)
		return st;
	if (!backup_id_parse(s->id, NULL))
		return jsonl_invalid(line, "id", err);
	if ((st = jsonl_get_text(line, "system_identifier", &text, err)) != ST_OK)
		return st;
	if (!parse_system_identifier(text, &s->system_identifier))
		return jsonl_invalid(line, "system_identifier", err);
	if ((st = get_string(line, "label", s->label, sizeof(s->label), err)) !=
			ST_OK ||
		(st = get_string(line, "host", s->host, sizeof(s->host), err)) !=
			ST_OK ||
		(st = get_string(line, "walship_version", s->walship_version,
						 sizeof(s->walship_version), err)) != ST_OK ||
		(st = jsonl_get_uint(line, "server_version", 9999999, &number, err)) !=
			ST_OK)
		return st;
	s->server_version = (int) number;
	return jsonl_get_bool(line, "from_standby", &s->from_standby, err);
}

static enum status
get_position(const struct jsonl_line *line, struct backup_summary *s,
			 struct err *err)
{
	const char *clock;
	uint64_t timeline;
	enum status st;

	if ((st = jsonl_get_uint(line, "timeline", UINT32_MAX, &timeline, err)) !=
			ST_OK ||
		(st = get_lsn(line, "start_lsn", &s->start_lsn, err)) != ST_OK ||
		(st = get_lsn(line, "stop_lsn", &s->stop_lsn, err)) != ST_OK ||
		(st = get_time(line, "start_time", &s->start_time, err)) != ST_OK ||
		(st = get_time(line, "stop_time", &s->stop_time, err)) != ST_OK ||
		(st = jsonl_get_text(line, "clock", &clock, err)) != ST_OK)
		return st;
	s->timeline = (uint32_t) timeline;
	s->server_clock = strcmp(clock, "server") == 0;
	if (timeline == 0)
		return jsonl_invalid(line, "timeline", err);
	if (s->stop_lsn < s->start_lsn || s->start_lsn == 0)
		return jsonl_invalid(line, "stop_lsn", err);
	return ST_OK;
}

static enum status
get_cluster(const struct jsonl_line *line, struct backup_summary *s,
			struct err *err)
{
	uint64_t segment, page;
	enum status st;

	if ((st = jsonl_get_uint(line, "wal_segment_size", UINT32_MAX, &segment,
							 err)) != ST_OK ||
		(st = jsonl_get_uint(line, "page_size", 65536, &page, err)) != ST_OK ||
		(st = jsonl_get_bool(line, "data_checksums", &s->data_checksums,
							 err)) != ST_OK ||
		(st = manifest_get_mode(line, "data_directory_mode",
								&s->data_directory_mode, err)) != ST_OK)
		return st;
	/* Whoever does not say so has them verified, if there are any. */
	s->checksums_verified = s->data_checksums;
	if (jsonl_find(line, "checksums_verified") != NULL &&
		(st = jsonl_get_bool(line, "checksums_verified",
							 &s->checksums_verified, err)) != ST_OK)
		return st;
	if (!wal_segment_size_valid(segment))
		return jsonl_invalid(line, "wal_segment_size", err);
	s->wal_segment_size = (uint32_t) segment;
	s->page_size = (uint32_t) page;
	return ST_OK;
}

static enum status
get_sizes(const struct jsonl_line *line, struct backup_summary *s,
		  struct err *err)
{
	enum status st;

	if ((st = get_big(line, "files", &s->files, err)) != ST_OK ||
		(st = get_big(line, "bytes", &s->bytes, err)) != ST_OK ||
		(st = get_big(line, "packs", &s->packs, err)) != ST_OK ||
		(st = get_big(line, "stored_bytes", &s->stored_bytes, err)) != ST_OK ||
		(st = get_big(line, "referenced_bytes", &s->referenced_bytes, err)) !=
			ST_OK)
		return st;
	if (jsonl_find(line, "digests") != NULL &&
		((st = get_big(line, "digests", &s->digests, err)) != ST_OK ||
		 (st = get_big(line, "digest_bytes", &s->digest_bytes, err)) != ST_OK))
		return st;
	return get_big(line, "duration_ms", &s->duration_ms, err);
}

/* A backup without a key has no page digests. */
static enum status
get_chain(const struct jsonl_line *line, struct backup_summary *s,
		  struct err *err)
{
	const char *text;
	enum status st;

	if (jsonl_find(line, "full") != NULL)
	{
		st = get_string(line, "full", s->full, sizeof(s->full), err);
		if (st != ST_OK)
			return st;
		if (!backup_id_parse(s->full, NULL))
			return jsonl_invalid(line, "full", err);
	}
	if (jsonl_find(line, "digest_key") == NULL)
		return ST_OK;
	st = jsonl_get_text(line, "digest_key", &text, err);
	if (st == ST_OK && !hex_decode(text, s->digest_key, sizeof(s->digest_key)))
		st = jsonl_invalid(line, "digest_key", err);
	s->has_digest_key = true;
	return st;
}

static bool
features_known(const struct jsonl_member *m)
{
	const char *name = m->text;

	if (m->type != JSONL_TEXTS)
		return m->count == 0;
	for (size_t i = 0; i < m->count; i++)
	{
		if (strcmp(name, MANIFEST_FEATURE_MAPS) != 0)
			return false;
		name += strlen(name) + 1;
	}
	return true;
}

/* Which features must be known, and which backups it builds on. */
static enum status
get_names(const struct jsonl_line *line, struct backup_summary *s,
		  struct err *err)
{
	const struct jsonl_member *m = jsonl_find(line, "requires");
	uint64_t format;
	enum status st = jsonl_get_uint(line, "format", UINT32_MAX, &format, err);

	if (st != ST_OK)
		return st;
	if (m == NULL || (m->type != JSONL_NUMBERS && m->type != JSONL_TEXTS))
		return jsonl_invalid(line, "requires", err);
	if (format != 1 || !features_known(m))
	{
		err_set(err, ST_CONFIG,
				"the backup was made by a newer version of walship");
		return err_hint(err, "Its manifest has format %llu%s%s.",
						(unsigned long long) format,
						m->type == JSONL_TEXTS ? " and requires " : "",
						m->type == JSONL_TEXTS ? m->text : "");
	}
	m = jsonl_find(line, "bases");
	if (m == NULL ||
		(m->type != JSONL_TEXTS && (m->type != JSONL_NUMBERS || m->count > 0)))
		return jsonl_invalid(line, "bases", err);
	s->nbases = m->count;
	return ST_OK;
}

enum status
manifest_summary_read(const struct jsonl_line *line,
					  struct backup_summary *out, struct err *err)
{
	struct backup_summary s = {0};
	enum status st;

	if ((st = get_names(line, &s, err)) != ST_OK ||
		(st = get_identity(line, &s, err)) != ST_OK ||
		(st = get_annotations(line, &s, err)) != ST_OK ||
		(st = get_position(line, &s, err)) != ST_OK ||
		(st = get_cluster(line, &s, err)) != ST_OK ||
		(st = get_chain(line, &s, err)) != ST_OK ||
		(st = get_sizes(line, &s, err)) != ST_OK)
		return st;
	*out = s;
	return ST_OK;
}

/* For a text that should be one summary and nothing else. */
struct alone
{
	struct backup_summary *out;
	bool seen;
};

static enum status
take_alone(void *arg, const struct jsonl_line *line, struct err *err)
{
	struct alone *alone = arg;
	const char *type;
	enum status st = jsonl_get_text(line, "type", &type, err);

	if (st != ST_OK)
		return st;
	if (alone->seen || strcmp(type, "summary") != 0)
		return err_set(err, ST_CORRUPT,
					   "the first frame is not the summary alone");
	alone->seen = true;
	return manifest_summary_read(line, alone->out, err);
}

enum status
manifest_summary_parse(const void *data, size_t len,
					   struct backup_summary *out, struct err *err)
{
	struct alone alone = {.out = out};
	enum status st = jsonl_parse(data, len, take_alone, &alone, err);

	if (st == ST_OK && !alone.seen)
		st = err_set(err, ST_CORRUPT, "the manifest has no summary");
	return st;
}
