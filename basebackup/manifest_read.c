/*
 * manifest_read.c - reading a backup's manifest
 */
#include "basebackup/manifest_line.h"

#include <stdlib.h>
#include <string.h>

#include "basebackup/decode.h"
#include "basebackup/path_hash.h"
#include "common/cli.h"

enum stage
{
	STAGE_SUMMARY,
	STAGE_FILES, /* tablespace, setting, config, dir, file */
	STAGE_DIGESTS,
	STAGE_PACKS,
	STAGE_END
};

struct manifest_reader
{
	const struct manifest_handler *handler;
	void *arg;
	struct jsonl_parser *parser;
	enum stage stage;
	struct backup_summary summary;
	uint64_t files, dirs, digests, packs, bytes;

	uint64_t *paths; /* a hash of each */
	size_t npaths, paths_size;

	struct object_uses pack_uses, digest_uses;

	char path[MANIFEST_PATH_MAX + 1]; /* decoded from path_hex */
	uint8_t header[OBJECT_HEADER_MAX];
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

bool
manifest_path_valid(const char *path)
{
	const char *at = path;

	if (strlen(path) > MANIFEST_PATH_MAX)
		return false;
	for (;;)
	{
		size_t len = strcspn(at, "/");

		if (len == 0 || (len == 1 && at[0] == '.') ||
			(len == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		if (at[len] == '\0')
			return true;
		at += len + 1;
	}
}

/* "path", or "path_hex" where the path is not UTF-8. */
static enum status
get_path(struct manifest_reader *r, const struct jsonl_line *line,
		 const char **out, struct err *err)
{
	const struct jsonl_member *hex = jsonl_find(line, "path_hex");

	if (hex == NULL)
		return jsonl_get_text(line, "path", out, err);
	if (hex->type != JSONL_TEXT || jsonl_find(line, "path") != NULL ||
		!hex_decode_text(hex->text, r->path, sizeof(r->path)))
		return jsonl_invalid(line, "path_hex", err);
	*out = r->path;
	return ST_OK;
}

enum status
manifest_get_mode(const struct jsonl_line *line, const char *name, mode_t *out,
				  struct err *err)
{
	const char *text;
	mode_t mode = 0;
	size_t len = 0;
	enum status st = jsonl_get_text(line, name, &text, err);

	if (st != ST_OK)
		return st;
	for (; text[len] >= '0' && text[len] <= '7' && len < 5; len++)
		mode = mode << 3 | (mode_t) (text[len] - '0');
	if (len == 0 || len > 4 || text[len] != '\0' || mode > 0777)
		return jsonl_invalid(line, name, err);
	*out = mode;
	return ST_OK;
}

static enum status
get_crc(const struct jsonl_line *line, uint32_t *out, struct err *err)
{
	const char *text;
	uint32_t crc = 0;
	enum status st = jsonl_get_text(line, "crc32c", &text, err);

	if (st != ST_OK)
		return st;
	if (!hex_parse32(text, &crc))
		return jsonl_invalid(line, "crc32c", err);
	*out = crc;
	return ST_OK;
}

/*
 * Remembers a path by a hash.  Two paths of one hash would be taken for one,
 * which is so unlikely with 64 bits that a reader may refuse them.
 */
static enum status
remember_path(struct manifest_reader *r, const char *path, struct err *err)
{
	if (r->npaths == r->paths_size)
	{
		size_t size = r->paths_size == 0 ? 4096 : r->paths_size * 2;
		uint64_t *grown = reallocarray(r->paths, size, sizeof(*grown));

		if (grown == NULL)
			return nomem(err);
		r->paths = grown;
		r->paths_size = size;
	}
	r->paths[r->npaths++] = path_hash(PATH_HASH_SEED, path);
	return ST_OK;
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

	return x < y ? -1 : x > y;
}

static enum status
check_paths(struct manifest_reader *r, struct err *err)
{
	if (r->npaths > 0)
		qsort(r->paths, r->npaths, sizeof(*r->paths), compare_hashes);
	for (size_t i = 1; i < r->npaths; i++)
		if (r->paths[i] == r->paths[i - 1])
			return err_set(err, ST_CORRUPT, "a path occurs twice");
	return ST_OK;
}

static enum status
get_content(struct manifest_reader *r, const struct jsonl_line *line,
			struct manifest_entry *file, struct err *err)
{
	enum status st;

	if ((st = jsonl_get_uint(line, "size", INT64_MAX, &file->size, err)) !=
			ST_OK ||
		(st = get_crc(line, &file->crc32c, err)) != ST_OK ||
		(st = manifest_get_pages(line, r->summary.page_size, &r->digest_uses,
								 file, err)) != ST_OK)
		return st;
	if (jsonl_find(line, "map") != NULL)
		return manifest_get_maps(line, r->summary.page_size, &r->digest_uses,
								 file, err);
	return manifest_get_extents(line, &r->pack_uses, file, err);
}

static enum status
take_summary(struct manifest_reader *r, const struct jsonl_line *line,
			 struct err *err)
{
	enum status st = manifest_summary_read(line, &r->summary, err);

	r->stage = STAGE_FILES;
	if (st == ST_OK && r->handler->summary != NULL)
		st = r->handler->summary(r->arg, &r->summary, err);
	return st;
}

static enum status
take_tablespace(struct manifest_reader *r, const struct jsonl_line *line,
				struct err *err)
{
	const struct jsonl_member *m = jsonl_find(line, "oid");
	const struct jsonl_member *hex = jsonl_find(line, "location_hex");
	const char *location;
	uint64_t oid;
	enum status st;

	if (m != NULL && m->type == JSONL_TEXT)
	{
		if (!parse_uint64(m->text, UINT32_MAX, &oid))
			return jsonl_invalid(line, "oid", err);
	}
	else if ((st = jsonl_get_uint(line, "oid", UINT32_MAX, &oid, err)) !=
			 ST_OK)
		return st;
	if (hex != NULL && hex->type == JSONL_TEXT &&
		hex_decode_text(hex->text, r->path, sizeof(r->path)))
		location = r->path;
	else if ((st = jsonl_get_text(line, "location", &location, err)) != ST_OK)
		return st;
	if (oid == 0)
		return jsonl_invalid(line, "oid", err);
	if (r->files + r->dirs > 0)
		return err_set(err, ST_CORRUPT, "line %llu is out of order",
					   (unsigned long long) line->number);
	if (strlen(location) > MANIFEST_PATH_MAX || location[0] == '\0')
		return jsonl_invalid(line, "location", err);
	if (r->handler->tablespace == NULL)
		return ST_OK;
	return r->handler->tablespace(r->arg, (uint32_t) oid, location, err);
}

static enum status
take_setting(struct manifest_reader *r, const struct jsonl_line *line,
			 struct err *err)
{
	const char *name, *value;
	enum status st;

	if ((st = jsonl_get_text(line, "name", &name, err)) != ST_OK ||
		(st = jsonl_get_text(line, "value", &value, err)) != ST_OK)
		return st;
	if (r->handler->setting == NULL)
		return ST_OK;
	return r->handler->setting(r->arg, name, value, err);
}

static enum status
take_config(struct manifest_reader *r, const struct jsonl_line *line,
			struct err *err)
{
	struct manifest_entry file = {.path = "", .mode = 0600};
	enum status st = get_path(r, line, &file.path, err);

	if (st != ST_OK)
		return st;
	if (file.path[0] != '/' || !manifest_path_valid(file.path + 1))
		return jsonl_invalid(line, "path", err);
	if ((st = get_content(r, line, &file, err)) != ST_OK ||
		(st = remember_path(r, file.path, err)) != ST_OK)
		return st;
	if (r->handler->config == NULL)
		return ST_OK;
	return r->handler->config(r->arg, &file, err);
}

static enum status
take_dir(struct manifest_reader *r, const struct jsonl_line *line,
		 struct err *err)
{
	const char *path = "";
	mode_t mode = 0;
	enum status st;

	if ((st = get_path(r, line, &path, err)) != ST_OK ||
		(st = manifest_get_mode(line, "mode", &mode, err)) != ST_OK)
		return st;
	if (!manifest_path_valid(path))
		return jsonl_invalid(line, "path", err);
	if ((st = remember_path(r, path, err)) != ST_OK)
		return st;
	r->dirs++;
	if (r->handler->dir == NULL)
		return ST_OK;
	return r->handler->dir(r->arg, path, mode, err);
}

static enum status
take_file(struct manifest_reader *r, const struct jsonl_line *line,
		  struct err *err)
{
	struct manifest_entry file = {.path = ""};
	const struct jsonl_member *mtime = jsonl_find(line, "mtime");
	enum status st = get_path(r, line, &file.path, err);

	if (st != ST_OK)
		return st;
	if (!manifest_path_valid(file.path))
		return jsonl_invalid(line, "path", err);
	if (mtime == NULL || mtime->type != JSONL_INTEGER)
		return jsonl_invalid(line, "mtime", err);
	file.mtime = mtime->number;
	if ((st = manifest_get_mode(line, "mode", &file.mode, err)) != ST_OK ||
		(st = get_content(r, line, &file, err)) != ST_OK ||
		(st = remember_path(r, file.path, err)) != ST_OK)
		return st;
	if (file.size > INT64_MAX - r->bytes)
		return jsonl_invalid(line, "size", err);
	r->files++;
	r->bytes += file.size;
	if (r->handler->file == NULL)
		return ST_OK;
	return r->handler->file(r->arg, &file, err);
}

/* What packs and digest objects have in common. */
static enum status
get_object(struct manifest_reader *r, const struct jsonl_line *line,
		   const char *type, struct object_uses *uses,
		   struct manifest_pack *out, struct err *err)
{
	const struct jsonl_member *frames = jsonl_find(line, "frames");
	const char *header;
	uint64_t index, n, data = 0;
	enum status st;

	if ((st = jsonl_get_uint(line, type, MANIFEST_PACKS_MAX - 1, &index,
							 err)) != ST_OK ||
		(st = jsonl_get_text(line, "backup", &out->backup, err)) != ST_OK ||
		(st = jsonl_get_uint(line, "n", UINT32_MAX, &n, err)) != ST_OK ||
		(st = jsonl_get_text(line, "header", &header, err)) != ST_OK)
		return st;
	if (!object_uses_take(uses, (uint32_t) index, &out->data_used))
		return jsonl_invalid(line, type, err);
	if (!backup_id_parse(out->backup, NULL))
		return jsonl_invalid(line, "backup", err);
	if (!base64_decode(header, r->header, sizeof(r->header), &out->header_len))
		return jsonl_invalid(line, "header", err);
	if (frames == NULL || frames->type != JSONL_NUMBERS ||
		frames->width != 0 || frames->count < 2 ||
		frames->count > MANIFEST_FRAMES_MAX)
		return jsonl_invalid(line, "frames", err);
	for (size_t i = 0; i < frames->count; i++)
		if (frames->numbers[i] < 1 ||
			frames->numbers[i] > 2 * (int64_t) OBJECT_FRAME_MAX)
			return jsonl_invalid(line, "frames", err);
	if (jsonl_find(line, "data") != NULL &&
		(st = jsonl_get_uint(line, "data", MANIFEST_PACK_DATA, &data, err)) !=
			ST_OK)
		return st;
	out->data_len = (uint32_t) data;
	out->index = (uint32_t) index;
	out->n = (uint32_t) n;
	out->header = r->header;
	out->nframes = frames->count;
	out->frames = frames->numbers;
	return ST_OK;
}

static enum status
take_digest(struct manifest_reader *r, const struct jsonl_line *line,
			struct err *err)
{
	struct manifest_pack digest = {0};
	enum status st =
		get_object(r, line, "digest", &r->digest_uses, &digest, err);

	r->stage = STAGE_DIGESTS;
	if (st != ST_OK)
		return st;
	r->digests++;
	if (r->handler->digest == NULL)
		return ST_OK;
	return r->handler->digest(r->arg, &digest, err);
}

static enum status
take_pack(struct manifest_reader *r, const struct jsonl_line *line,
		  struct err *err)
{
	const struct jsonl_member *live = jsonl_find(line, "live");
	struct manifest_pack pack = {0};
	enum status st = get_object(r, line, "pack", &r->pack_uses, &pack, err);

	r->stage = STAGE_PACKS;
	if (st != ST_OK)
		return st;
	if (live != NULL)
	{
		if (live->type != JSONL_NUMBERS || live->width != 0 ||
			live->count + 1 != pack.nframes)
			return jsonl_invalid(line, "live", err);
		for (size_t i = 0; i < live->count; i++)
			if (live->numbers[i] < 0 || live->numbers[i] > OBJECT_FRAME_MAX)
				return jsonl_invalid(line, "live", err);
		pack.live = live->numbers;
	}
	r->packs++;
	if (r->handler->pack == NULL)
		return ST_OK;
	return r->handler->pack(r->arg, &pack, err);
}

static enum status
take_end(struct manifest_reader *r, const struct jsonl_line *line,
		 struct err *err)
{
	const struct jsonl_member *count = jsonl_find(line, "digests");
	uint64_t files, dirs, packs, digests = 0;
	enum status st;

	if ((st = jsonl_get_uint(line, "files", INT64_MAX, &files, err)) !=
			ST_OK ||
		(st = jsonl_get_uint(line, "dirs", INT64_MAX, &dirs, err)) != ST_OK ||
		(st = jsonl_get_uint(line, "packs", INT64_MAX, &packs, err)) != ST_OK)
		return st;
	if (count != NULL && (st = jsonl_get_uint(line, "digests", INT64_MAX,
											  &digests, err)) != ST_OK)
		return st;
	r->stage = STAGE_END;
	if (files != r->files || dirs != r->dirs || packs != r->packs ||
		digests != r->digests || r->summary.files != r->files ||
		r->summary.bytes != r->bytes)
		return err_set(err, ST_CORRUPT, "the manifest's counts do not agree");
	if (!object_uses_done(&r->pack_uses))
		return err_set(err, ST_CORRUPT, "an extent is in no pack");
	if (!object_uses_done(&r->digest_uses))
		return err_set(err, ST_CORRUPT, "a map or digest is in no object");
	return check_paths(r, err);
}

static const struct
{
	const char *type;
	enum stage from, to; /* stages in which it may come */
	enum status (*take)(struct manifest_reader *r,
						const struct jsonl_line *line, struct err *err);
} line_types[] = {
	{"file", STAGE_FILES, STAGE_FILES, take_file},
	{"dir", STAGE_FILES, STAGE_FILES, take_dir},
	{"digest", STAGE_FILES, STAGE_DIGESTS, take_digest},
	{"pack", STAGE_FILES, STAGE_PACKS, take_pack},
	{"setting", STAGE_FILES, STAGE_FILES, take_setting},
	{"config", STAGE_FILES, STAGE_FILES, take_config},
	{"tablespace", STAGE_FILES, STAGE_FILES, take_tablespace},
	{"summary", STAGE_SUMMARY, STAGE_SUMMARY, take_summary},
	{"end", STAGE_FILES, STAGE_PACKS, take_end},
};

static enum status
take_line(void *arg, const struct jsonl_line *line, struct err *err)
{
	struct manifest_reader *r = arg;
	const char *type;
	enum status st = jsonl_get_text(line, "type", &type, err);

	if (st != ST_OK)
		return st;
	for (size_t i = 0; i < sizeof(line_types) / sizeof(line_types[0]); i++)
		if (strcmp(type, line_types[i].type) == 0)
		{
			if (r->stage < line_types[i].from || r->stage > line_types[i].to)
				return err_set(err, ST_CORRUPT, "line %llu is out of order",
							   (unsigned long long) line->number);
			return line_types[i].take(r, line, err);
		}
	return jsonl_invalid(line, "type", err);
}

enum status
manifest_reader_new(const struct manifest_handler *handler, void *arg,
					struct manifest_reader **out, struct err *err)
{
	struct manifest_reader *r = calloc(1, sizeof(*r));
	enum status st;

	if (r == NULL)
		return nomem(err);
	r->handler = handler;
	r->arg = arg;
	st = jsonl_new(take_line, r, &r->parser, err);
	if (st != ST_OK)
	{
		free(r);
		return st;
	}
	*out = r;
	return ST_OK;
}

void
manifest_reader_free(struct manifest_reader *reader)
{
	if (reader == NULL)
		return;
	jsonl_free(reader->parser);
	free(reader->paths);
	object_uses_free(&reader->pack_uses);
	object_uses_free(&reader->digest_uses);
	free(reader);
}

enum status
manifest_reader_feed(void *reader, const void *data, size_t len,
					 struct err *err)
{
	struct manifest_reader *r = reader;

	return jsonl_feed(r->parser, data, len, err);
}

enum status
manifest_reader_end(struct manifest_reader *reader, struct err *err)
{
	enum status st = jsonl_end(reader->parser, err);

	if (st == ST_OK && reader->stage != STAGE_END)
		st = err_set(err, ST_CORRUPT, "the manifest does not end");
	return st;
}
