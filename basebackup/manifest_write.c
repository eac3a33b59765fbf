/*
 * manifest_write.c - writing a backup's manifest
 */
#include "basebackup/manifest.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/json.h"
#include "basebackup/manifest_read.h"
#include "basebackup/tempfile.h"
#include "common/cli.h"
#include "common/walname.h"
#include "walship_build.h"

/* Parts of the manifest behind its summary, in their order. */
enum part
{
	PART_TABLESPACES,
	PART_SETTINGS,
	PART_CONFIGS,
	PART_DIRS,
	PART_TABLESPACE_DIRS,
	PART_FILES,
	PART_DIGESTS,
	PART_PACKS,
	PART_END,
	PARTS
};

struct manifest_writer
{
	struct json *json;
	FILE *parts[PARTS];
	uint64_t files;
	uint64_t bytes;
	uint64_t dirs;
	uint64_t packs; /* lines, */
	uint64_t digests;
	uint64_t own_packs; /* and of them this backup's own */
	uint64_t own_digests;
	uint64_t stored_bytes;
	uint64_t digest_bytes;
	uint64_t referenced_bytes;
};

enum status
manifest_writer_new(struct manifest_writer **out, struct err *err)
{
	struct manifest_writer *w = calloc(1, sizeof(*w));
	enum status status;

	if (w == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = json_new(&w->json, err);
	for (int i = 0; i < PARTS && status == ST_OK; i++)
		status = tempfile_open(&w->parts[i], err);
	if (status != ST_OK)
	{
		manifest_writer_free(w);
		return status;
	}
	*out = w;
	return ST_OK;
}

void
manifest_writer_free(struct manifest_writer *w)
{
	if (w == NULL)
		return;
	json_free(w->json);
	for (int i = 0; i < PARTS; i++)
	{
		if (w->parts[i] != NULL)
			(void) fclose(w->parts[i]);
	}
	free(w);
}

static void
begin(struct manifest_writer *w, const char *type)
{
	json_begin(w->json);
	json_text(w->json, "type", type);
}

static enum status
end(struct manifest_writer *w, enum part part, struct err *err)
{
	const char *line;
	size_t len;
	enum status status = json_done(w->json, &line, &len, err);

	if (status != ST_OK)
		return err_context(err, "manifest");
	return tempfile_write(w->parts[part], line, len, err);
}

static void
octal(struct json *json, const char *key, uint32_t mode)
{
	char text[16];

	(void) snprintf(text, sizeof(text), "%04o", mode);
	json_text(json, key, text);
}

static void
lsn_member(struct json *json, const char *key, uint64_t lsn)
{
	char text[LSN_TEXT_MAX];

	json_text(json, key, lsn_format(lsn, text));
}

static void
time_member(struct json *json, const char *key, int64_t time_s)
{
	char text[21];

	json_text(json, key, time_format(time_s, text));
}

static void
triple(struct json *json, int64_t object, uint64_t position, uint64_t length)
{
	json_inner(json);
	json_element(json, object);
	json_element(json, (int64_t) position);
	json_element(json, (int64_t) length);
	json_array_end(json);
}

static void
ranges_member(struct json *json, const char *key,
			  const struct digest_range *ranges, size_t count)
{
	json_array(json, key);
	for (size_t i = 0; i < count; i++)
		triple(json, ranges[i].digest, ranges[i].position, ranges[i].length);
	json_array_end(json);
}

static void
stored_members(struct json *json, const struct stored_file *f)
{
	char crc[9];

	(void) snprintf(crc, sizeof(crc), "%08x", f->crc32c);
	json_int(json, "size", (int64_t) f->size);
	json_text(json, "crc32c", crc);
	if (f->nmaps > 0)
		ranges_member(json, "map", f->maps, f->nmaps);
	else
	{
		json_array(json, "extents");
		for (size_t i = 0; i < f->nextents; i++)
			triple(json, f->extents[i].pack, f->extents[i].position,
				   f->extents[i].length);
		json_array_end(json);
	}
	if (f->npages > 0)
		ranges_member(json, "pages", f->pages, f->npages);
}

enum status
manifest_add_tablespace(struct manifest_writer *w, uint32_t oid,
						const char *location, struct err *err)
{
	begin(w, "tablespace");
	json_int(w->json, "oid", oid);
	json_path(w->json, "location", location);
	return end(w, PART_TABLESPACES, err);
}

enum status
manifest_add_setting(struct manifest_writer *w, const char *name,
					 const char *value, const char *source, struct err *err)
{
	begin(w, "setting");
	json_text(w->json, "name", name);
	json_text(w->json, "value", value);
	json_text(w->json, "source", source);
	return end(w, PART_SETTINGS, err);
}

enum status
manifest_add_config(struct manifest_writer *w, const char *path,
					const struct stored_file *file, struct err *err)
{
	begin(w, "config");
	json_path(w->json, "path", path);
	stored_members(w->json, file);
	return end(w, PART_CONFIGS, err);
}

enum status
manifest_add_dir(struct manifest_writer *w, const char *path, uint32_t mode,
				 bool in_tablespace, struct err *err)
{
	begin(w, "dir");
	json_path(w->json, "path", path);
	octal(w->json, "mode", mode);
	w->dirs++;
	return end(w, in_tablespace ? PART_TABLESPACE_DIRS : PART_DIRS, err);
}

enum status
manifest_add_file(struct manifest_writer *w, const struct manifest_file *file,
				  struct err *err)
{
	begin(w, "file");
	json_path(w->json, "path", file->path);
	octal(w->json, "mode", file->mode);
	json_int(w->json, "mtime", file->mtime);
	stored_members(w->json, file->stored);
	w->files++;
	w->bytes += file->stored->size;
	return end(w, PART_FILES, err);
}

static void
count_object(struct manifest_writer *w, const struct manifest_object *o)
{
	bool data = o->kind == PACK_DATA;
	uint64_t bytes = o->header_len;

	for (size_t i = 0; i < o->nframes; i++)
		bytes += o->frames[i];
	*(data ? &w->packs : &w->digests) += 1;
	if (o->own)
	{
		*(data ? &w->own_packs : &w->own_digests) += 1;
		*(data ? &w->stored_bytes : &w->digest_bytes) += bytes;
	}
	else if (data)
		w->referenced_bytes += bytes;
}

enum status
manifest_add_object(struct manifest_writer *w, const struct manifest_object *o,
					struct err *err)
{
	const char *type = o->kind == PACK_DATA ? "pack" : "digest";
	char header[sodium_base64_ENCODED_LEN(OBJECT_HEADER_MAX,
										  sodium_base64_VARIANT_ORIGINAL)];

	(void) sodium_bin2base64(header, sizeof(header), o->header, o->header_len,
							 sodium_base64_VARIANT_ORIGINAL);
	begin(w, type);
	json_int(w->json, type, o->index);
	json_text(w->json, "backup", o->backup_id);
	json_int(w->json, "n", o->n);
	json_text(w->json, "header", header);
	json_array(w->json, "frames");
	for (size_t i = 0; i < o->nframes; i++)
		json_element(w->json, o->frames[i]);
	json_array_end(w->json);
	json_int(w->json, "data", o->data_len);
	if (o->live != NULL)
	{
		json_array(w->json, "live");
		for (size_t i = 0; i + 1 < o->nframes; i++)
			json_element(w->json, o->live[i]);
		json_array_end(w->json);
	}
	count_object(w, o);
	return end(w, o->kind == PACK_DATA ? PART_PACKS : PART_DIGESTS, err);
}

static enum status
add_end(struct manifest_writer *w, struct err *err)
{
	begin(w, "end");
	json_int(w->json, "files", (int64_t) w->files);
	json_int(w->json, "dirs", (int64_t) w->dirs);
	json_int(w->json, "digests", (int64_t) w->digests);
	json_int(w->json, "packs", (int64_t) w->packs);
	return end(w, PART_END, err);
}

static void
summary_numbers(struct json *json, const struct manifest_summary *s)
{
	json_int(json, "files", (int64_t) s->files);
	json_int(json, "bytes", (int64_t) s->bytes);
	json_int(json, "packs", (int64_t) s->packs);
	json_int(json, "stored_bytes", (int64_t) s->stored_bytes);
	json_int(json, "referenced_bytes", (int64_t) s->referenced_bytes);
	json_int(json, "digests", (int64_t) s->digests);
	json_int(json, "digest_bytes", (int64_t) s->digest_bytes);
}

static void
summary_names(struct manifest_writer *w, const struct manifest_summary *s)
{
	struct json *json = w->json;
	char key[2 * PAGE_KEY_BYTES + 1];

	json_int(json, "format", 1);
	json_array(json, "requires");
	if (w->digests > 0)
		json_string(json, MANIFEST_FEATURE_MAPS);
	json_array_end(json);
	json_text(json, "id", s->id);
	json_array(json, "bases");
	for (size_t i = 0; i < s->nbases; i++)
		json_string(json, s->bases[i]);
	json_array_end(json);
	json_text(json, "full", s->full);
	json_text(json, "digest_key",
			  hex_format(s->digest_key, PAGE_KEY_BYTES, key));
	sodium_memzero(key, sizeof(key));
}

/* The line stays in w->json. */
static enum status
make_summary(struct manifest_writer *w, struct manifest_summary *s,
			 const char **line, size_t *len, struct err *err)
{
	struct json *json = w->json;
	char sysid[24];

	s->files = w->files;
	s->bytes = w->bytes;
	s->packs = w->own_packs;
	s->stored_bytes = w->stored_bytes;
	s->referenced_bytes = w->referenced_bytes;
	s->digests = w->own_digests;
	s->digest_bytes = w->digest_bytes;
	(void) snprintf(sysid, sizeof(sysid), "%llu",
					(unsigned long long) s->system_identifier);
	begin(w, "summary");
	summary_names(w, s);
	json_text(json, "system_identifier", sysid);
	json_text(json, "label", s->label);
	json_texts(json, "annotations", s->nannotations, s->annotations);
	json_int(json, "server_version", s->server_version);
	json_int(json, "timeline", s->timeline);
	lsn_member(json, "start_lsn", s->start_lsn);
	lsn_member(json, "stop_lsn", s->stop_lsn);
	time_member(json, "start_time", s->start_time);
	time_member(json, "stop_time", s->stop_time);
	json_text(json, "clock", s->server_clock ? "server" : "client");
	json_int(json, "wal_segment_size", s->wal_segment_size);
	json_int(json, "page_size", s->page_size);
	json_bool(json, "data_checksums", s->data_checksums);
	json_bool(json, "checksums_verified", s->checksums_verified);
	octal(json, "data_directory_mode", s->data_directory_mode);
	json_bool(json, "from_standby", s->from_standby);
	summary_numbers(json, s);
	json_text(json, "host", s->host);
	json_text(json, "walship_version", WALSHIP_VERSION);
	json_int(json, "duration_ms", s->duration_ms);
	return json_done(json, line, len, err);
}

/* Reads the parts one behind the other. */
struct reader
{
	struct manifest_writer *writer;
	int part;
};

static enum status
read_parts(struct reader *r, uint8_t *out, size_t len, struct err *err)
{
	size_t at = 0;

	while (at < len)
	{
		size_t n;

		if (r->part == PARTS)
			return err_set(err, ST_IO,
						   "temporary file is shorter than written");
		n = fread(out + at, 1, len - at, r->writer->parts[r->part]);
		if (n == 0)
		{
			if (ferror(r->writer->parts[r->part]) != 0)
				return err_set(err, ST_IO, "could not read a temporary file");
			r->part++;
		}
		at += n;
	}
	return ST_OK;
}

/* The manifest in the making. */
struct sealing
{
	struct object obj;
	struct object_codec *codec;
	struct object_buffer *buf;
	uint32_t frames;
};

static enum status
seal_frame(struct sealing *s, const void *plain, size_t len, bool final,
		   struct err *err)
{
	size_t stored;
	enum status status =
		object_seal_frame(&s->obj, s->codec, s->frames, final, plain, len,
						  s->buf->data + s->buf->len, &stored, err);

	if (status == ST_OK)
	{
		s->frames++;
		s->buf->len += stored;
	}
	return status;
}

/* All parts behind the summary, rest bytes of them. */
static enum status
seal_parts(struct sealing *s, struct manifest_writer *w, uint64_t rest,
		   struct err *err)
{
	struct reader reader = {w, 0};
	uint8_t *plain = malloc(OBJECT_FRAME_SIZE);
	enum status status = ST_OK;

	if (plain == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	while (rest > 0 && status == ST_OK)
	{
		size_t len =
			rest < OBJECT_FRAME_SIZE ? (size_t) rest : OBJECT_FRAME_SIZE;

		rest -= len;
		status = read_parts(&reader, plain, len, err);
		if (status == ST_OK)
			status = seal_frame(s, plain, len, rest == 0, err);
	}
	free(plain);
	return status;
}

static enum status
parts_length(struct manifest_writer *w, uint64_t *total, struct err *err)
{
	enum status status = ST_OK;

	*total = 0;
	for (int i = 0; i < PARTS && status == ST_OK; i++)
	{
		uint64_t len = 0;

		status = tempfile_length(w->parts[i], &len, err);
		if (status == ST_OK)
			status = tempfile_rewind(w->parts[i], err);
		*total += len;
	}
	return status;
}

enum status
manifest_seal(struct manifest_writer *w, struct manifest_summary *summary,
			  const char *name, const struct keyring *ring,
			  struct object_buffer *buf, struct err *err)
{
	struct object_id id = {OBJECT_MANIFEST, summary->system_identifier, name};
	struct sealing s = {.buf = buf};
	struct object_buffer made = {0};
	const char *line = NULL;
	size_t len = 0;
	uint64_t rest = 0;
	enum status status = add_end(w, err);

	if (status == ST_OK)
		status = parts_length(w, &rest, err);
	if (status == ST_OK)
		status = make_summary(w, summary, &line, &len, err);
	if (status == ST_OK && len > OBJECT_FRAME_SIZE)
		status =
			err_set(err, ST_CORRUPT, "the manifest's summary is too long");
	if (status == ST_OK)
		status = object_codec_new(&s.codec, err);
	/* The summary has a frame of its own, hence one more than usual. */
	if (status == ST_OK)
		status = object_buffer_new(&made,
								   object_bound(rest, OBJECT_FRAME_SIZE) +
									   object_frame_bound(len),
								   NULL, err);
	if (status == ST_OK)
		status = object_begin(&s.obj, &id, len + rest, OBJECT_FRAME_SIZE, ring,
							  err);
	if (status == ST_OK)
	{
		s.buf = &made;
		memcpy(made.data, s.obj.header, s.obj.header_len);
		made.len = s.obj.header_len;
		status = seal_frame(&s, line, len, false, err);
	}
	if (status == ST_OK)
		status = seal_parts(&s, w, rest, err);
	object_wipe(&s.obj);
	object_codec_free(s.codec);
	if (status == ST_OK)
		*buf = made;
	else
		object_buffer_free(&made);
	return status;
}
