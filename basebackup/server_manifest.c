/*
 * server_manifest.c - the backup_manifest that the server writes
 */
#include "basebackup/server_manifest.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "common/cli.h"
#include "common/walname.h"

/* The server writes a line per file, with a path of at most MAXPGPATH. */
#define LINE_MAX_BYTES 32768
#define PATH_MAX_BYTES 4096
#define TIME_MAX_BYTES 63

enum place
{
	BEFORE,
	IN_ROOT,
	IN_FILES,
	IN_FILE,
	IN_RANGES,
	IN_RANGE,
	BEHIND
};

/* Members of the object in hand, as bits. */
enum member
{
	M_UNKNOWN = 0,
	M_VERSION = 1 << 0,
	M_SYSTEM = 1 << 1,
	M_FILES = 1 << 2,
	M_RANGES = 1 << 3,
	M_SUM = 1 << 4,
	M_PATH = 1 << 5,
	M_ENCODED_PATH = 1 << 6,
	M_SIZE = 1 << 7,
	M_ALGORITHM = 1 << 8,
	M_CHECKSUM = 1 << 9,
	M_TIMELINE = 1 << 10,
	M_START = 1 << 11,
	M_END = 1 << 12,
	M_MODIFIED = 1 << 13
};

static const struct
{
	const char *name;
	enum place place;
	enum member member;
} members[] = {
	{"PostgreSQL-Backup-Manifest-Version", IN_ROOT, M_VERSION},
	{"System-Identifier", IN_ROOT, M_SYSTEM},
	{"Files", IN_ROOT, M_FILES},
	{"WAL-Ranges", IN_ROOT, M_RANGES},
	{"Manifest-Checksum", IN_ROOT, M_SUM},
	{"Path", IN_FILE, M_PATH},
	{"Encoded-Path", IN_FILE, M_ENCODED_PATH},
	{"Size", IN_FILE, M_SIZE},
	{"Last-Modified", IN_FILE, M_MODIFIED},
	{"Checksum-Algorithm", IN_FILE, M_ALGORITHM},
	{"Checksum", IN_FILE, M_CHECKSUM},
	{"Timeline", IN_RANGE, M_TIMELINE},
	{"Start-LSN", IN_RANGE, M_START},
	{"End-LSN", IN_RANGE, M_END},
};

struct server_manifest
{
	const struct server_manifest_handler *handler;
	void *arg;
	uint64_t system_identifier;

	yajl_handle yajl;
	enum place place;
	enum member member;
	unsigned seen_root; /* members that have come */
	unsigned seen;
	struct server_manifest_file file;
	struct server_manifest_range range;
	char path[PATH_MAX_BYTES + 1];
	char modified[TIME_MAX_BYTES + 1];
	uint8_t sum[crypto_hash_sha256_BYTES];
	struct err *err; /* of the call in progress */
	bool failed;     /* err is set */

	crypto_hash_sha256_state hash;
	size_t line_len;
	char line[LINE_MAX_BYTES]; /* the last, which the hash leaves out */
};

/* The return value of a callback that fails; err is kept if given. */
static int
stop(struct server_manifest *m, const char *why)
{
	if (!m->failed)
		(void) err_set(m->err, ST_CORRUPT, "server's backup manifest: %s",
					   why);
	m->failed = true;
	return 0;
}

static int
on_key(void *ctx, const unsigned char *key, size_t len)
{
	struct server_manifest *m = ctx;
	unsigned *seen = m->place == IN_ROOT ? &m->seen_root : &m->seen;

	m->member = M_UNKNOWN;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
	{
		if (members[i].place == m->place && strlen(members[i].name) == len &&
			memcmp(members[i].name, key, len) == 0)
			m->member = members[i].member;
	}
	if ((*seen & m->member) != 0)
		return stop(m, "a member occurs twice");
	*seen |= m->member;
	return 1;
}

/* A scalar of yajl as a zero-terminated string, if it is one that fits. */
static bool
copy_text(const void *text, size_t len, char *out, size_t size)
{
	if (len >= size || memchr(text, '\0', len) != NULL)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

static int
on_number(void *ctx, const char *text, size_t len)
{
	struct server_manifest *m = ctx;
	char digits[24];
	uint64_t value;

	if (m->member == M_UNKNOWN)
		return 1;
	if (!copy_text(text, len, digits, sizeof(digits)) ||
		!parse_uint64(digits, UINT64_MAX, &value))
		return stop(m, "bad number");
	switch (m->member)
	{
		case M_VERSION:
			if (value != 1 && value != 2)
				return stop(m, "unknown version");
			return 1;
		case M_SYSTEM:
			if (value != m->system_identifier)
				return stop(m, "it is of another cluster");
			return 1;
		case M_SIZE:
			m->file.size = value;
			return 1;
		case M_TIMELINE:
			if (value == 0 || value > UINT32_MAX)
				return stop(m, "bad timeline");
			m->range.timeline = (uint32_t) value;
			return 1;
		default:
			return stop(m, "a number where none belongs");
	}
}

/* Printed as it lies in the server's memory: least significant byte first. */
static bool
take_crc(struct server_manifest *m, const char *hex)
{
	uint8_t b[4];
	size_t len;

	if (strlen(hex) != 8 ||
		sodium_hex2bin(b, sizeof(b), hex, 8, NULL, &len, NULL) != 0 ||
		len != 4)
		return false;
	m->file.crc32c = (uint32_t) b[0] | (uint32_t) b[1] << 8 |
					 (uint32_t) b[2] << 16 | (uint32_t) b[3] << 24;
	return true;
}

static bool
take_encoded_path(struct server_manifest *m, const char *hex)
{
	size_t len;

	if (sodium_hex2bin((unsigned char *) m->path, sizeof(m->path) - 1, hex,
					   strlen(hex), NULL, &len, NULL) != 0 ||
		memchr(m->path, '\0', len) != NULL)
		return false;
	m->path[len] = '\0';
	return true;
}

static bool
take_sum(struct server_manifest *m, const char *hex)
{
	size_t len;

	return sodium_hex2bin(m->sum, sizeof(m->sum), hex, strlen(hex), NULL, &len,
						  NULL) == 0 &&
		   len == sizeof(m->sum);
}

static int
on_string(void *ctx, const unsigned char *text, size_t len)
{
	struct server_manifest *m = ctx;
	char value[2 * PATH_MAX_BYTES + 1];
	bool good;

	if (m->member == M_UNKNOWN)
		return 1;
	if (!copy_text(text, len, value, sizeof(value)))
		return stop(m, "text too long");
	switch (m->member)
	{
		case M_PATH:
			good = copy_text(text, len, m->path, sizeof(m->path));
			break;
		case M_ENCODED_PATH:
			good = take_encoded_path(m, value);
			break;
		case M_MODIFIED:
			good = copy_text(text, len, m->modified, sizeof(m->modified));
			break;
		case M_ALGORITHM:
			good = strcmp(value, "CRC32C") == 0;
			break;
		case M_CHECKSUM:
			good = take_crc(m, value);
			break;
		case M_START:
			good = lsn_parse(value, &m->range.start_lsn);
			break;
		case M_END:
			good = lsn_parse(value, &m->range.end_lsn);
			break;
		case M_SUM:
			good = take_sum(m, value);
			break;
		default:
			good = false;
			break;
	}
	return good ? 1 : stop(m, "bad value");
}

static int
on_other(void *ctx)
{
	struct server_manifest *m = ctx;

	return m->member == M_UNKNOWN ? 1 : stop(m, "bad value");
}

static int
on_boolean(void *ctx, int value)
{
	(void) value;
	return on_other(ctx);
}

static int
on_start_map(void *ctx)
{
	struct server_manifest *m = ctx;

	m->seen = 0;
	switch (m->place)
	{
		case BEFORE:
			m->place = IN_ROOT;
			return 1;
		case IN_FILES:
			m->place = IN_FILE;
			memset(&m->file, 0, sizeof(m->file));
			m->path[0] = '\0';
			m->modified[0] = '\0';
			return 1;
		case IN_RANGES:
			m->place = IN_RANGE;
			memset(&m->range, 0, sizeof(m->range));
			return 1;
		default:
			return stop(m, "unexpected object");
	}
}

static int
end_file(struct server_manifest *m)
{
	const unsigned need = M_SIZE | M_ALGORITHM | M_CHECKSUM;
	unsigned path = m->seen & (M_PATH | M_ENCODED_PATH);

	m->place = IN_FILES;
	if ((m->seen & need) != need || (path != M_PATH && path != M_ENCODED_PATH))
		return stop(m, "incomplete file");
	m->file.path = m->path;
	m->file.modified = m->modified;
	if (m->handler->file(m->arg, &m->file, m->err) != ST_OK)
	{
		m->failed = true;
		return 0;
	}
	return 1;
}

static int
end_range(struct server_manifest *m)
{
	const unsigned need = M_TIMELINE | M_START | M_END;

	m->place = IN_RANGES;
	if ((m->seen & need) != need || m->range.end_lsn < m->range.start_lsn)
		return stop(m, "bad range of WAL");
	if (m->handler->range(m->arg, &m->range, m->err) != ST_OK)
	{
		m->failed = true;
		return 0;
	}
	return 1;
}

static int
on_end_map(void *ctx)
{
	struct server_manifest *m = ctx;
	const unsigned need = M_VERSION | M_FILES | M_RANGES | M_SUM;

	switch (m->place)
	{
		case IN_FILE:
			return end_file(m);
		case IN_RANGE:
			return end_range(m);
		default:
			m->place = BEHIND;
			if ((m->seen_root & need) != need)
				return stop(m, "it is incomplete");
			return 1;
	}
}

static int
on_start_array(void *ctx)
{
	struct server_manifest *m = ctx;

	if (m->place != IN_ROOT || (m->member != M_FILES && m->member != M_RANGES))
		return stop(m, "unexpected array");
	m->place = m->member == M_FILES ? IN_FILES : IN_RANGES;
	/* What follows in it must be an object. */
	m->member = M_FILES;
	return 1;
}

static int
on_end_array(void *ctx)
{
	struct server_manifest *m = ctx;

	m->place = IN_ROOT;
	return 1;
}

static yajl_callbacks callbacks = {
	.yajl_null = on_other,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_start_map,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end_map,
	.yajl_start_array = on_start_array,
	.yajl_end_array = on_end_array,
};

enum status
server_manifest_new(const struct server_manifest_handler *handler, void *arg,
					uint64_t system_identifier, struct server_manifest **out,
					struct err *err)
{
	struct server_manifest *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	m->handler = handler;
	m->arg = arg;
	m->system_identifier = system_identifier;
	m->yajl = yajl_alloc(&callbacks, NULL, m);
	if (m->yajl == NULL)
	{
		free(m);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	(void) crypto_hash_sha256_init(&m->hash);
	*out = m;
	return ST_OK;
}

void
server_manifest_free(struct server_manifest *m)
{
	if (m == NULL)
		return;
	yajl_free(m->yajl);
	free(m);
}

/* Hashes every line once another one has begun behind it. */
static enum status
hash_lines(struct server_manifest *m, const char *p, size_t len,
		   struct err *err)
{
	while (len > 0)
	{
		const char *newline = memchr(p, '\n', len);
		size_t n = newline == NULL ? len : (size_t) (newline - p) + 1;

		if (m->line_len > 0 && m->line[m->line_len - 1] == '\n')
		{
			(void) crypto_hash_sha256_update(
				&m->hash, (const unsigned char *) m->line, m->line_len);
			m->line_len = 0;
		}
		if (n > sizeof(m->line) - m->line_len)
			return err_set(err, ST_CORRUPT,
						   "server's backup manifest: line too long");
		memcpy(m->line + m->line_len, p, n);
		m->line_len += n;
		p += n;
		len -= n;
	}
	return ST_OK;
}

static enum status
outcome(struct server_manifest *m, yajl_status parsed, struct err *err)
{
	if (parsed == yajl_status_ok)
		return ST_OK;
	if (!m->failed)
		return err_set(err, ST_CORRUPT,
					   "server's backup manifest is not valid JSON");
	return err->status;
}

enum status
server_manifest_feed(struct server_manifest *m, const void *data, size_t len,
					 struct err *err)
{
	enum status status = hash_lines(m, data, len, err);

	if (status != ST_OK)
		return status;
	m->err = err;
	return outcome(m, yajl_parse(m->yajl, data, len), err);
}

enum status
server_manifest_finish(struct server_manifest *m, struct err *err)
{
	static const char last_line[] = "\"Manifest-Checksum\":";
	uint8_t sum[crypto_hash_sha256_BYTES];
	enum status status;

	m->err = err;
	status = outcome(m, yajl_complete_parse(m->yajl), err);
	if (status != ST_OK)
		return status;
	(void) crypto_hash_sha256_final(&m->hash, sum);
	if (m->place != BEHIND || m->line_len < sizeof(last_line) ||
		memcmp(m->line, last_line, sizeof(last_line) - 1) != 0 ||
		memcmp(sum, m->sum, sizeof(sum)) != 0)
		return err_set(err, ST_CORRUPT,
					   "server's backup manifest has a wrong checksum");
	return ST_OK;
}
