#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/manifest_read.h"

#define ID "0000000003000028-00000001-20261121T010203Z"

/* A header's length is checked by who opens it; here any base64 will do. */
#define SUMMARY                                                             \
	"{\"type\":\"summary\",\"format\":1,\"requires\":[],\"id\":\"" ID       \
	"\",\"bases\":[],\"system_identifier\":\"7301234567890123456\","        \
	"\"label\":\"l\",\"server_version\":150020,\"timeline\":1,"             \
	"\"start_lsn\":\"0/3000028\",\"stop_lsn\":\"0/3000100\","               \
	"\"start_time\":\"2026-11-21T01:02:03Z\","                              \
	"\"stop_time\":\"2026-11-21T01:02:04Z\",\"clock\":\"server\","          \
	"\"wal_segment_size\":16777216,\"page_size\":8192,"                     \
	"\"data_checksums\":true,\"data_directory_mode\":\"0750\","             \
	"\"from_standby\":false,\"files\":3,\"bytes\":\"3000010\",\"packs\":2," \
	"\"stored_bytes\":77,\"referenced_bytes\":0,\"host\":\"h\","            \
	"\"walship_version\":\"0.1.0\",\"duration_ms\":5}"

static const char *const good[] = {
	SUMMARY,
	"{\"type\":\"tablespace\",\"oid\":16384,\"location\":\"/ts\"}",
	"{\"type\":\"setting\",\"name\":\"archive_mode\",\"value\":\"on\","
	"\"source\":\"x\"}",
	"{\"type\":\"config\",\"path\":\"/etc/a.conf\",\"size\":0,"
	"\"crc32c\":\"00000000\",\"extents\":[]}",
	"{\"type\":\"dir\",\"path\":\"base\",\"mode\":\"0700\"}",
	"{\"type\":\"dir\",\"path\":\"pg_tblspc/16384\",\"mode\":\"0700\"}",
	"{\"type\":\"file\",\"path\":\"base/1\",\"mode\":\"0600\",\"mtime\":7,"
	"\"size\":3000000,\"crc32c\":\"0123abcd\",\"extents\":"
	"[[0,0,1000000],[1,5,1000000],[-1,0,1000000]],\"new\":{\"x\":1}}",
	"{\"type\":\"file\",\"path_hex\":\"ff\",\"mode\":\"0600\",\"mtime\":-7,"
	"\"size\":10,\"crc32c\":\"00000001\",\"extents\":[[1,16777206,10]]}",
	"{\"type\":\"file\",\"path\":\"empty\",\"mode\":\"0640\",\"mtime\":0,"
	"\"size\":0,\"crc32c\":\"00000000\",\"extents\":[]}",
	"{\"type\":\"pack\",\"pack\":0,\"backup\":\"" ID
	"\",\"n\":0,\"header\":\"Zm9v\",\"frames\":[10,20]}",
	"{\"type\":\"pack\",\"pack\":1,\"backup\":\"" ID
	"\",\"n\":3,\"header\":\"Zm9v\",\"frames\":[10,20,30]}",
	"{\"type\":\"end\",\"files\":3,\"dirs\":2,\"packs\":2}",
};

#define LINES (sizeof(good) / sizeof(good[0]))

/* What the handler was told. */
struct seen
{
	struct backup_summary summary;
	char text[4096];
	size_t len;
	const char *fail; /* the line type to fail at */
};

static void ERR_PRINTF(2, 3) say(struct seen *seen, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	seen->len += (size_t) vsnprintf(seen->text + seen->len,
									sizeof(seen->text) - seen->len, fmt, args);
	va_end(args);
	assert_true(seen->len < sizeof(seen->text));
}

static enum status
end(const struct seen *seen, const char *type, struct err *err)
{
	if (seen->fail != NULL && strcmp(seen->fail, type) == 0)
		return err_set(err, ST_IO, "as told");
	return ST_OK;
}

static enum status
see_summary(void *arg, const struct backup_summary *summary, struct err *err)
{
	struct seen *seen = arg;

	seen->summary = *summary;
	return end(seen, "summary", err);
}

static enum status
see_tablespace(void *arg, uint32_t oid, const char *location, struct err *err)
{
	say(arg, "tablespace %u %s\n", oid, location);
	return end(arg, "tablespace", err);
}

static enum status
see_setting(void *arg, const char *name, const char *value, struct err *err)
{
	say(arg, "setting %s %s\n", name, value);
	return end(arg, "setting", err);
}

static void
say_ranges(struct seen *seen, const char *what, const int64_t *ranges,
		   size_t count)
{
	for (size_t i = 0; i < count; i++)
		say(seen, "%s%s %lld,%lld,%lld", i == 0 ? " " : "", i == 0 ? what : "",
			(long long) ranges[3 * i], (long long) ranges[3 * i + 1],
			(long long) ranges[3 * i + 2]);
}

static void
say_file(struct seen *seen, const char *type, const struct manifest_entry *f)
{
	say(seen, "%s %s %o %lld %llu %08x", type, f->path, f->mode,
		(long long) f->mtime, (unsigned long long) f->size, f->crc32c);
	for (size_t i = 0; i < f->nextents; i++)
		say(seen, " %lld,%lld,%lld", (long long) f->extents[3 * i],
			(long long) f->extents[3 * i + 1],
			(long long) f->extents[3 * i + 2]);
	say_ranges(seen, "map", f->maps, f->nmaps);
	say_ranges(seen, "pages", f->pages, f->npages);
	say(seen, "\n");
}

static enum status
see_config(void *arg, const struct manifest_entry *file, struct err *err)
{
	say_file(arg, "config", file);
	return end(arg, "config", err);
}

static enum status
see_dir(void *arg, const char *path, mode_t mode, struct err *err)
{
	say(arg, "dir %s %o\n", path, mode);
	return end(arg, "dir", err);
}

static enum status
see_file(void *arg, const struct manifest_entry *file, struct err *err)
{
	say_file(arg, "file", file);
	return end(arg, "file", err);
}

static enum status
see_pack(void *arg, const struct manifest_pack *p, struct err *err)
{
	say(arg, "pack %u %s %u %.*s used %u", p->index, p->backup, p->n,
		(int) p->header_len, (const char *) p->header, p->data_used);
	for (size_t i = 0; i < p->nframes; i++)
		say(arg, " %lld", (long long) p->frames[i]);
	say(arg, "\n");
	return end(arg, "pack", err);
}

static enum status
see_digest(void *arg, const struct manifest_pack *p, struct err *err)
{
	say(arg, "digest %u %s %u used %u\n", p->index, p->backup, p->n,
		p->data_used);
	return end(arg, "digest", err);
}

static const struct manifest_handler handler = {
	see_summary, see_tablespace, see_setting, see_config,
	see_dir,     see_file,       see_digest,  see_pack};
static const struct manifest_handler deaf;

/* Reads lines, piece bytes at a time. */
static enum status
read_lines(const char *const *lines, size_t n, size_t piece,
		   const struct manifest_handler *h, struct seen *seen,
		   struct err *err)
{
	struct manifest_reader *reader;
	enum status st = ST_OK;

	assert_int_equal(manifest_reader_new(h, seen, &reader, err), ST_OK);
	for (size_t i = 0; st == ST_OK && i < n; i++)
	{
		size_t len = strlen(lines[i]);

		for (size_t at = 0; st == ST_OK && at < len; at += piece)
			st =
				manifest_reader_feed(reader, lines[i] + at,
									 len - at < piece ? len - at : piece, err);
		if (st == ST_OK)
			st = manifest_reader_feed(reader, "\n", 1, err);
	}
	if (st == ST_OK)
		st = manifest_reader_end(reader, err);
	manifest_reader_free(reader);
	return st;
}

static void
test_good(void **state)
{
	static const size_t pieces[] = {1, 5, 100, 100000};

	(void) state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		struct seen seen = {.len = 0};
		const struct backup_summary *s = &seen.summary;
		struct err err;

		assert_int_equal(
			read_lines(good, LINES, pieces[i], &handler, &seen, &err), ST_OK);
		assert_string_equal(
			seen.text,
			"tablespace 16384 /ts\nsetting archive_mode on\n"
			"config /etc/a.conf 600 0 0 00000000\n"
			"dir base 700\ndir pg_tblspc/16384 700\n"
			"file base/1 600 7 3000000 0123abcd 0,0,1000000 1,5,1000000 "
			"-1,0,1000000\n"
			"file \xff 600 -7 10 00000001 1,16777206,10\n"
			"file empty 640 0 0 00000000\n"
			"pack 0 " ID " 0 foo used 1000000 10 20\n"
			"pack 1 " ID " 3 foo used 16777216 10 20 30\n");
		assert_string_equal(s->id, ID);
		assert_true(s->system_identifier == 7301234567890123456U);
		assert_string_equal(s->label, "l");
		assert_int_equal(s->server_version, 150020);
		assert_int_equal(s->timeline, 1);
		assert_int_equal(s->start_lsn, 0x3000028);
		assert_int_equal(s->stop_lsn, 0x3000100);
		assert_int_equal(s->start_time, 1795222923);
		assert_int_equal(s->stop_time, 1795222924);
		assert_true(s->server_clock && s->data_checksums && !s->from_standby);
		assert_int_equal(s->wal_segment_size, 16777216);
		assert_int_equal(s->data_directory_mode, 0750);
		assert_int_equal(s->files, 3);
		assert_int_equal(s->bytes, 3000010);
		assert_int_equal(s->nbases, 0);
	}
}

/* Nobody has to listen. */
static void
test_deaf(void **state)
{
	struct err err;

	(void) state;
	assert_int_equal(read_lines(good, LINES, 100000, &deaf, NULL, &err),
					 ST_OK);
}

static void
test_handler_fails(void **state)
{
	static const char *const types[] = {
		"summary", "tablespace", "setting", "config", "dir", "file", "pack"};

	(void) state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
	{
		struct seen seen = {.fail = types[i]};
		struct err err;

		assert_int_equal(
			read_lines(good, LINES, 100000, &handler, &seen, &err), ST_IO);
	}
}

/* A manifest with one text in one line replaced. */
static enum status
read_changed(const char *const *from_lines, size_t count, size_t number,
			 const char *from, const char *to, struct err *err)
{
	const char *lines[LINES];
	struct seen seen = {.len = 0};
	const char *line = from_lines[number];
	const char *at = strstr(line, from);
	char *changed = NULL;
	enum status st;

	assert_non_null(at);
	assert_true(count <= LINES);
	assert_true(asprintf(&changed, "%.*s%s%s", (int) (at - line), line, to,
						 at + strlen(from)) > 0);
	memcpy(lines, from_lines, count * sizeof(*lines));
	lines[number] = changed;
	st = read_lines(lines, count, 100000, &handler, &seen, err);
	free(changed);
	return st;
}

struct change
{
	size_t number;
	const char *from, *to;
	enum status status;
};

static void
check_changes_of(const char *const *lines, size_t count,
				 const struct change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		struct err err = {.status = ST_OK};
		enum status st = read_changed(lines, count, changes[i].number,
									  changes[i].from, changes[i].to, &err);

		if (st != changes[i].status)
			fail_msg("\"%s\" to \"%s\" in line %zu: %s %s", changes[i].from,
					 changes[i].to, changes[i].number, status_name(st),
					 err.message);
	}
}

static void
check_changes(const struct change *changes, size_t n)
{
	check_changes_of(good, LINES, changes, n);
}

#define SUMMARY_LINE 0
#define DIR_LINE     4
#define FILE_LINE    6
#define HEX_LINE     7
#define PACK_LINE    10
#define END_LINE     11

static void
test_summary(void **state)
{
	static const struct change changes[] = {
		{SUMMARY_LINE, "\"requires\":[]", "\"requires\":[\"x\"]", ST_CONFIG},
		{SUMMARY_LINE, "\"format\":1", "\"format\":2", ST_CONFIG},
		{SUMMARY_LINE, "\"requires\":[]", "\"requires\":{}", ST_CORRUPT},
		{SUMMARY_LINE, "\"bases\":[]", "\"bases\":[\"x\"]", ST_OK},
		{SUMMARY_LINE, "\"bases\":[]", "\"bases\":[1]", ST_CORRUPT},
		{SUMMARY_LINE, "0000000003000028-", "0000000003000028_", ST_CORRUPT},
		{SUMMARY_LINE, "\"7301234567890123456\"", "\"x\"", ST_CORRUPT},
		{SUMMARY_LINE, "\"timeline\":1", "\"timeline\":0", ST_CORRUPT},
		{SUMMARY_LINE, "\"timeline\":1", "\"timeline\":4294967296",
		 ST_CORRUPT},
		{SUMMARY_LINE, "0/3000100", "0/3000000", ST_CORRUPT},
		{SUMMARY_LINE, "0/3000100", "3000100", ST_CORRUPT},
		{SUMMARY_LINE, "01:02:04Z", "01:02:04", ST_CORRUPT},
		{SUMMARY_LINE, "\"server\"", "\"client\"", ST_OK},
		{SUMMARY_LINE, "16777216", "16777215", ST_CORRUPT},
		{SUMMARY_LINE, "\"0750\"", "\"1750\"", ST_CORRUPT},
		{SUMMARY_LINE, "\"0750\"", "\"0780\"", ST_CORRUPT},
		{SUMMARY_LINE, "\"0750\"", "\"\"", ST_CORRUPT},
		{SUMMARY_LINE, "\"0750\"", "\"00750\"", ST_CORRUPT},
		{SUMMARY_LINE, "\"0750\"", "488", ST_CORRUPT},
		{SUMMARY_LINE, "\"files\":3", "\"files\":4", ST_CORRUPT},
		{SUMMARY_LINE, "\"3000010\"", "\"3000011\"", ST_CORRUPT},
		{SUMMARY_LINE, "\"3000010\"", "3000010", ST_OK},
		{SUMMARY_LINE, "\"3000010\"", "-1", ST_CORRUPT},
		{SUMMARY_LINE, "\"label\":\"l\",", "", ST_CORRUPT},
		{SUMMARY_LINE, "\"summary\"", "\"dir\"", ST_CORRUPT},
		{END_LINE, "\"files\":3", "\"files\":2", ST_CORRUPT},
		{END_LINE, "\"dirs\":2", "\"dirs\":1", ST_CORRUPT},
		{END_LINE, "\"packs\":2", "\"packs\":3", ST_CORRUPT},
		{END_LINE, "\"end\"", "\"fin\"", ST_CORRUPT},
	};

	(void) state;
	check_changes(changes, sizeof(changes) / sizeof(changes[0]));
}

static void
test_paths(void **state)
{
	static const struct change changes[] = {
		{FILE_LINE, "base/1", "base/1/2", ST_OK},
		{FILE_LINE, "base/1", "...", ST_OK},
		{FILE_LINE, "base/1", "/base/1", ST_CORRUPT},
		{FILE_LINE, "base/1", "../base/1", ST_CORRUPT},
		{FILE_LINE, "base/1", "base/..", ST_CORRUPT},
		{FILE_LINE, "base/1", "base/../1", ST_CORRUPT},
		{FILE_LINE, "base/1", "base/./1", ST_CORRUPT},
		{FILE_LINE, "base/1", "base//1", ST_CORRUPT},
		{FILE_LINE, "base/1", "base/", ST_CORRUPT},
		{FILE_LINE, "base/1", ".", ST_CORRUPT},
		{FILE_LINE, "base/1", "", ST_CORRUPT},
		{FILE_LINE, "base/1", "base\\u0000", ST_CORRUPT},
		{FILE_LINE, "base/1", "base", ST_CORRUPT},
		{FILE_LINE, "base/1", "empty", ST_CORRUPT},
		{DIR_LINE, "\"base\"", "\"../base\"", ST_CORRUPT},
		{DIR_LINE, "\"base\"", "\"/base\"", ST_CORRUPT},
		{DIR_LINE, "\"base\"", "\"pg_tblspc/16384\"", ST_CORRUPT},
		{HEX_LINE, "\"ff\"", "\"2e2e2fff\"", ST_CORRUPT},
		{HEX_LINE, "\"ff\"", "\"2fff\"", ST_CORRUPT},
		{HEX_LINE, "\"ff\"", "\"ff00\"", ST_CORRUPT},
		{HEX_LINE, "\"ff\"", "\"FF\"", ST_CORRUPT},
		{HEX_LINE, "\"ff\"", "\"626173652f31\"", ST_CORRUPT},
		{HEX_LINE, "\"ff\"", "\"ff\",\"path\":\"x\"", ST_CORRUPT},
		{3, "/etc/a.conf", "etc/a.conf", ST_CORRUPT},
		{3, "/etc/a.conf", "/etc/../a.conf", ST_CORRUPT},
		{3, "/etc/a.conf", "/", ST_CORRUPT},
		{1, "16384", "0", ST_CORRUPT},
		{1, "\"/ts\"", "\"\"", ST_CORRUPT},
		{1, "16384", "4294967296", ST_CORRUPT},
	};
	char path[MANIFEST_PATH_MAX + 2];

	(void) state;
	check_changes(changes, sizeof(changes) / sizeof(changes[0]));
	memset(path, 'a', sizeof(path));
	path[MANIFEST_PATH_MAX + 1] = '\0';
	assert_false(manifest_path_valid(path));
	path[MANIFEST_PATH_MAX] = '\0';
	assert_true(manifest_path_valid(path));
}

static void
test_extents(void **state)
{
	static const struct change changes[] = {
		{FILE_LINE, "[0,0,1000000]", "[0,0,1000001]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[0,0,999999]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[0,0,1000000],[0,0,0]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[0,-1,1000000]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[-2,0,1000000]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[2,0,1000000]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[16777215,0,1000000]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[16777216,0,1000000]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[0,15777217,1000000]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[0,15777216,1000000]", ST_OK},
		{FILE_LINE, "[0,0,1000000]", "[0,9223372036854775807,1000000]",
		 ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[0,0,9223372036854775807]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[1,0,1000000]", ST_OK},
		{FILE_LINE, "[-1,0,1000000]", "[-1,1,1000000]", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000],", "", ST_CORRUPT},
		{FILE_LINE, "[0,0,1000000]", "[0,0]", ST_CORRUPT},
		{FILE_LINE, "\"size\":3000000", "\"size\":-1", ST_CORRUPT},
		{FILE_LINE, "\"size\":3000000", "\"size\":9223372036854775807",
		 ST_CORRUPT},
		{FILE_LINE, "0123abcd", "0123ABCD", ST_CORRUPT},
		{FILE_LINE, "0123abcd", "123abcd", ST_CORRUPT},
		{FILE_LINE, "\"mtime\":7", "\"mtime\":\"7\"", ST_CORRUPT},
	};

	(void) state;
	check_changes(changes, sizeof(changes) / sizeof(changes[0]));
}

static void
test_packs(void **state)
{
	static const struct change changes[] = {
		{PACK_LINE, "\"pack\":1", "\"pack\":0", ST_CORRUPT},
		{PACK_LINE, "\"pack\":1", "\"pack\":2", ST_CORRUPT},
		{PACK_LINE, "0000000003000028-", "../0000003000028-", ST_CORRUPT},
		{PACK_LINE, "\"n\":3", "\"n\":4294967296", ST_CORRUPT},
		{PACK_LINE, "Zm9v", "Zm9", ST_CORRUPT},
		{PACK_LINE, "Zm9v", "", ST_CORRUPT},
		{PACK_LINE, "[10,20,30]", "[10]", ST_CORRUPT},
		{PACK_LINE, "[10,20,30]", "[]", ST_CORRUPT},
		{PACK_LINE, "[10,20,30]", "[10,0]", ST_CORRUPT},
		{PACK_LINE, "[10,20,30]", "[10,-1]", ST_CORRUPT},
		{PACK_LINE, "[10,20,30]", "[10,8388609]", ST_CORRUPT},
		{PACK_LINE, "[10,20,30]", "[[10,20]]", ST_CORRUPT},
	};

	(void) state;
	check_changes(changes, sizeof(changes) / sizeof(changes[0]));
}

/* A file of 40 MB in two parts, with page digests; an index is left out. */
static const char *const mapped[] = {
	"{\"type\":\"summary\",\"format\":1,\"requires\":[\"maps\"],\"id\":\"" ID
	"\",\"bases\":[\"" ID "\"],\"full\":\"" ID "\",\"digest_key\":"
	"\"000102030405060708090a0b0c0d0e0f\",\"system_identifier\":\"7\","
	"\"label\":\"l\",\"server_version\":150020,\"timeline\":1,"
	"\"start_lsn\":\"0/3000028\",\"stop_lsn\":\"0/3000100\","
	"\"start_time\":\"2026-11-21T01:02:03Z\","
	"\"stop_time\":\"2026-11-21T01:02:04Z\",\"clock\":\"server\","
	"\"wal_segment_size\":16777216,\"page_size\":8192,"
	"\"data_checksums\":true,\"data_directory_mode\":\"0750\","
	"\"from_standby\":false,\"files\":1,\"bytes\":40000001,\"packs\":1,"
	"\"stored_bytes\":77,\"referenced_bytes\":9,\"digests\":1,"
	"\"digest_bytes\":8,\"host\":\"h\",\"walship_version\":\"0.1.0\","
	"\"duration_ms\":5}",
	"{\"type\":\"file\",\"path\":\"base/1\",\"mode\":\"0600\",\"mtime\":7,"
	"\"size\":40000001,\"crc32c\":\"0123abcd\",\"map\":[[0,0,9],[2,0,9]],"
	"\"pages\":[[0,9,58596]]}",
	"{\"type\":\"digest\",\"digest\":0,\"backup\":\"" ID
	"\",\"n\":0,\"header\":\"Zm9v\",\"frames\":[10,20]}",
	"{\"type\":\"digest\",\"digest\":2,\"backup\":\"" ID
	"\",\"n\":1,\"header\":\"Zm9v\",\"frames\":[10,20]}",
	"{\"type\":\"pack\",\"pack\":3,\"backup\":\"" ID
	"\",\"n\":3,\"header\":\"Zm9v\",\"frames\":[10,20,30],\"data\":30,"
	"\"live\":[7,0]}",
	"{\"type\":\"end\",\"files\":1,\"dirs\":0,\"digests\":2,\"packs\":1}",
};

#define MAPPED_LINES (sizeof(mapped) / sizeof(mapped[0]))

static const struct change map_changes[] = {
	{0, "[\"maps\"]", "[\"maps\",\"x\"]", ST_CONFIG},
	{0, "000102", "00010", ST_CORRUPT},
	{0, "000102", "00010G", ST_CORRUPT},
	{0, "\"full\":\"0", "\"full\":\"x", ST_CORRUPT},
	{0, "\"page_size\":8192", "\"page_size\":0", ST_CORRUPT},
	{0, "\"page_size\":8192", "\"page_size\":4096", ST_CORRUPT},
	{1, "[[0,0,9],[2,0,9]]", "[[0,0,9]]", ST_CORRUPT},
	{1, "[[0,0,9],[2,0,9]]", "[[0,0,9],[2,0,9],[2,9,9]]", ST_CORRUPT},
	{1, "[[0,0,9],[2,0,9]]", "[[0,0,9],[1,0,9]]", ST_CORRUPT},
	{1, "[[0,0,9],[2,0,9]]", "[[0,0,9],[3,0,9]]", ST_CORRUPT},
	{1, "[[0,0,9],[2,0,9]]", "[[0,0,9],[-1,0,9]]", ST_CORRUPT},
	{1, "[[0,0,9],[2,0,9]]", "[[0,0,9],[2,0,0]]", ST_CORRUPT},
	{1, "[[0,0,9],[2,0,9]]", "[[0,0,9],[2,16777216,1]]", ST_CORRUPT},
	{1, "[[0,0,9],[2,0,9]]", "[[0,0,9],[2,1,16777216]]", ST_CORRUPT},
	{1, "[[0,0,9],[2,0,9]]", "[]", ST_CORRUPT},
	{1, "[[0,0,9],[2,0,9]]", "[0,0]", ST_CORRUPT},
	{1, "\"map\":", "\"extents\":[],\"map\":", ST_CORRUPT},
	{1, "58596", "58597", ST_CORRUPT},
	{1, "58596", "58584", ST_CORRUPT},
	{1, "[[0,9,58596]]", "[[0,9,58584],[2,9,12]]", ST_OK},
	{1, "[[0,9,58596]]", "[[0,9,58584],[4,9,12]]", ST_CORRUPT},
	{1, ",\"pages\":[[0,9,58596]]", "", ST_OK},
	{2, "\"digest\":0", "\"digest\":1", ST_CORRUPT},
	{3, "\"digest\":2", "\"digest\":0", ST_CORRUPT},
	{3, "\"digest\":2", "\"digest\":16777216", ST_CORRUPT},
	{4, "\"pack\":3", "\"pack\":0", ST_OK},
	{4, "[7,0]", "[7]", ST_CORRUPT},
	{4, "[7,0]", "[7,0,0]", ST_CORRUPT},
	{4, "[7,0]", "[7,-1]", ST_CORRUPT},
	{4, "[7,0]", "[7,4194305]", ST_CORRUPT},
	{4, "\"data\":30", "\"data\":16777217", ST_CORRUPT},
	{5, "\"digests\":2", "\"digests\":1", ST_CORRUPT},
	{5, "\"digests\":2,", "", ST_CORRUPT},
};

static void
test_maps(void **state)
{
	const char *lines[MAPPED_LINES];
	struct seen seen = {.len = 0};
	struct err err;

	(void) state;
	assert_int_equal(
		read_lines(mapped, MAPPED_LINES, 7, &handler, &seen, &err), ST_OK);
	assert_string_equal(seen.text,
						"file base/1 600 7 40000001 0123abcd map 0,0,9 2,0,9 "
						"pages 0,9,58596\n"
						"digest 0 " ID " 0 used 58605\n"
						"digest 2 " ID " 1 used 9\n"
						"pack 3 " ID " 3 foo used 0 10 20 30\n");
	assert_true(seen.summary.has_digest_key);
	assert_int_equal(seen.summary.digest_key[15], 15);
	assert_string_equal(seen.summary.full, ID);
	assert_int_equal(seen.summary.digests, 1);
	check_changes_of(mapped, MAPPED_LINES, map_changes,
					 sizeof(map_changes) / sizeof(map_changes[0]));
	/* A pack before the digests would come too early. */
	memcpy(lines, mapped, sizeof(lines));
	lines[3] = mapped[4];
	lines[4] = mapped[3];
	assert_int_equal(
		read_lines(lines, MAPPED_LINES, 100000, &deaf, NULL, &err),
		ST_CORRUPT);
}

/* Each line left out, doubled, or swapped with the next. */
static void
test_order(void **state)
{
	const char *lines[LINES + 1];
	struct err err;

	(void) state;
	for (size_t i = 0; i < LINES; i++)
	{
		bool optional = i >= 1 && i <= 3;

		memcpy(lines, good, i * sizeof(*lines));
		memcpy(lines + i, good + i + 1, (LINES - 1 - i) * sizeof(*lines));
		assert_int_equal(
			read_lines(lines, LINES - 1, 100000, &deaf, NULL, &err),
			optional ? ST_OK : ST_CORRUPT);
	}
	for (size_t i = 0; i < LINES; i++)
	{
		bool optional = i == 1 || i == 2;

		memcpy(lines, good, (i + 1) * sizeof(*lines));
		memcpy(lines + i + 1, good + i, (LINES - i) * sizeof(*lines));
		assert_int_equal(
			read_lines(lines, LINES + 1, 100000, &deaf, NULL, &err),
			optional ? ST_OK : ST_CORRUPT);
	}
	for (size_t i = 0; i + 1 < LINES; i++)
	{
		bool free_order = i >= 1 && i <= 7;

		memcpy(lines, good, sizeof(good));
		lines[i] = good[i + 1];
		lines[i + 1] = good[i];
		assert_int_equal(read_lines(lines, LINES, 100000, &deaf, NULL, &err),
						 free_order ? ST_OK : ST_CORRUPT);
	}
	assert_int_equal(read_lines(lines, 0, 1, &deaf, NULL, &err), ST_CORRUPT);
}

/* A tablespace behind its files would come too late. */
static void
test_late_tablespace(void **state)
{
	const char *lines[LINES];
	struct err err;

	(void) state;
	memcpy(lines, good, sizeof(good));
	lines[1] = good[4];
	lines[4] = good[1];
	assert_int_equal(read_lines(lines, LINES, 100000, &deaf, NULL, &err),
					 ST_CORRUPT);
}

static void
test_summary_alone(void **state)
{
	static const char both[] = SUMMARY "\n" SUMMARY "\n";
	struct backup_summary s;
	struct err err;

	(void) state;
	assert_int_equal(manifest_summary_parse(both, sizeof(both) / 2, &s, &err),
					 ST_OK);
	assert_string_equal(s.id, ID);
	assert_int_equal(manifest_summary_parse(both, sizeof(both) - 1, &s, &err),
					 ST_CORRUPT);
	assert_int_equal(manifest_summary_parse(both, 100, &s, &err), ST_CORRUPT);
	assert_int_equal(manifest_summary_parse("", 0, &s, &err), ST_CORRUPT);
	assert_int_equal(
		manifest_summary_parse("{\"type\":\"dir\"}\n", 15, &s, &err),
		ST_CORRUPT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_deaf),
		cmocka_unit_test(test_handler_fails),
		cmocka_unit_test(test_summary),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_extents),
		cmocka_unit_test(test_packs),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_late_tablespace),
		cmocka_unit_test(test_summary_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
