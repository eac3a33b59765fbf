/*
 * remanifest.c - writing a backup_manifest as the server would
 */
#include "basebackup/remanifest.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/json.h"
#include "common/walname.h"

struct remanifest
{
	uint64_t system_identifier;
	remanifest_sink sink;
	void *arg;
	struct json *json;
	crypto_hash_sha256_state hash;
	uint64_t files;
	uint64_t ranges;
};

enum status
remanifest_new(uint64_t system_identifier, remanifest_sink sink, void *arg,
			   struct remanifest **out, struct err *err)
{
	struct remanifest *m = calloc(1, sizeof(*m));
	enum status status;

	if (m == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	m->system_identifier = system_identifier;
	m->sink = sink;
	m->arg = arg;
	status = json_new(&m->json, err);
	if (status != ST_OK)
	{
		free(m);
		return status;
	}
	(void) crypto_hash_sha256_init(&m->hash);
	*out = m;
	return ST_OK;
}

void
remanifest_free(struct remanifest *m)
{
	if (m == NULL)
		return;
	json_free(m->json);
	free(m);
}

/* Text of which the manifest's own checksum is made. */
static enum status
put(struct remanifest *m, const char *text, size_t len, struct err *err)
{
	(void) crypto_hash_sha256_update(&m->hash, (const unsigned char *) text,
									 len);
	return m->sink(m->arg, text, len, err);
}

ERR_PRINTF(3, 4)
static enum status
print(struct remanifest *m, struct err *err, const char *fmt, ...)
{
	char text[256];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return put(m, text, (size_t) n, err);
}

/* The object in hand, behind a comma unless it is the first of its list. */
static enum status
put_object(struct remanifest *m, bool first, struct err *err)
{
	const char *line;
	size_t len;
	enum status status = json_done(m->json, &line, &len, err);

	if (status == ST_OK && !first)
		status = print(m, err, ",\n");
	/* The newline behind it comes with what follows. */
	return status == ST_OK ? put(m, line, len - 1, err) : status;
}

static enum status
begin_files(struct remanifest *m, struct err *err)
{
	return print(m, err,
				 "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n"
				 "\"System-Identifier\": %" PRIu64 ",\n\"Files\": [\n",
				 m->system_identifier);
}

static enum status
begin_ranges(struct remanifest *m, struct err *err)
{
	enum status status = m->files == 0 ? begin_files(m, err) : ST_OK;

	if (status != ST_OK)
		return status;
	return print(m, err, "%s],\n\"WAL-Ranges\": [\n",
				 m->files == 0 ? "" : "\n");
}

static enum status
path_member(struct remanifest *m, const char *path, struct err *err)
{
	size_t len = strlen(path);
	char *hex;

	if (utf8_valid(path, len))
	{
		json_text(m->json, "Path", path);
		return ST_OK;
	}
	hex = malloc(2 * len + 1);
	if (hex == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	json_text(m->json, "Encoded-Path", hex_format(path, len, hex));
	free(hex);
	return ST_OK;
}

enum status
remanifest_file(struct remanifest *m, const struct server_manifest_file *file,
				struct err *err)
{
	char crc[9];
	enum status status = m->files == 0 ? begin_files(m, err) : ST_OK;

	if (status != ST_OK)
		return status;
	/* As it lies in the server's memory: least significant byte first. */
	(void) snprintf(crc, sizeof(crc), "%08" PRIx32,
					__builtin_bswap32(file->crc32c));
	json_begin(m->json);
	status = path_member(m, file->path, err);
	if (status != ST_OK)
		return status;
	json_int(m->json, "Size", (int64_t) file->size);
	if (file->modified[0] != '\0')
		json_text(m->json, "Last-Modified", file->modified);
	json_text(m->json, "Checksum-Algorithm", "CRC32C");
	json_text(m->json, "Checksum", crc);
	return put_object(m, m->files++ == 0, err);
}

enum status
remanifest_range(struct remanifest *m,
				 const struct server_manifest_range *range, struct err *err)
{
	char lsn[LSN_TEXT_MAX];
	enum status status = m->ranges == 0 ? begin_ranges(m, err) : ST_OK;

	if (status != ST_OK)
		return status;
	json_begin(m->json);
	json_int(m->json, "Timeline", range->timeline);
	json_text(m->json, "Start-LSN", lsn_format(range->start_lsn, lsn));
	json_text(m->json, "End-LSN", lsn_format(range->end_lsn, lsn));
	return put_object(m, m->ranges++ == 0, err);
}

enum status
remanifest_finish(struct remanifest *m, struct err *err)
{
	uint8_t sum[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(sum) + 1];
	char last[sizeof(hex) + 32];
	enum status status = m->ranges == 0 ? begin_ranges(m, err) : ST_OK;

	if (status == ST_OK)
		status = print(m, err, "%s],\n", m->ranges == 0 ? "" : "\n");
	if (status != ST_OK)
		return status;
	(void) crypto_hash_sha256_final(&m->hash, sum);
	(void) snprintf(last, sizeof(last), "\"Manifest-Checksum\": \"%s\"}\n",
					hex_format(sum, sizeof(sum), hex));
	return m->sink(m->arg, last, strlen(last), err);
}
