#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "basebackup/received.h"
#include "basebackup/server_manifest.h"

#define SYSID UINT64_C(7301234567890123456)

/* What the parser told, as text. */
struct seen
{
	char text[2048];
	size_t len;
	enum status fail;
};

static enum status
on_file(void *arg, const struct server_manifest_file *file, struct err *err)
{
	struct seen *seen = arg;

	if (seen->fail != ST_OK)
		return err_set(err, seen->fail, "as told");
	seen->len += (size_t) snprintf(
		seen->text + seen->len, sizeof(seen->text) - seen->len,
		"%s %llu %08x\n", file->path, (unsigned long long) file->size,
		file->crc32c);
	return ST_OK;
}

static enum status
on_range(void *arg, const struct server_manifest_range *range, struct err *err)
{
	struct seen *seen = arg;

	(void) err;
	seen->len += (size_t) snprintf(seen->text + seen->len,
								   sizeof(seen->text) - seen->len,
								   "wal %u %llx %llx\n", range->timeline,
								   (unsigned long long) range->start_lsn,
								   (unsigned long long) range->end_lsn);
	return ST_OK;
}

static const struct server_manifest_handler handler = {on_file, on_range};

/* Puts the checksum line behind a manifest's other lines. */
static char *
with_sum(const char *lines)
{
	uint8_t sum[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(sum) + 1];
	size_t room = strlen(lines) + 128;
	char *text = malloc(room);

	assert_non_null(text);
	(void) crypto_hash_sha256(sum, (const unsigned char *) lines,
							  strlen(lines));
	(void) sodium_bin2hex(hex, sizeof(hex), sum, sizeof(sum));
	(void) snprintf(text, room, "%s\"Manifest-Checksum\": \"%s\"}\n", lines,
					hex);
	return text;
}

static enum status
parse(const char *text, size_t piece, struct seen *seen, struct err *err)
{
	struct server_manifest *m;
	enum status status;
	size_t len = strlen(text);
	enum status fail = seen->fail;

	memset(seen, 0, sizeof(*seen));
	seen->fail = fail;
	assert_int_equal(server_manifest_new(&handler, seen, SYSID, &m, err),
					 ST_OK);
	status = ST_OK;
	for (size_t at = 0; at < len && status == ST_OK; at += piece)
		status = server_manifest_feed(
			m, text + at, len - at < piece ? len - at : piece, err);
	if (status == ST_OK)
		status = server_manifest_finish(m, err);
	server_manifest_free(m);
	return status;
}

#define FILE_LINE(path, size, crc)                     \
	"{ \"Path\": \"" path "\", \"Size\": " size ", "   \
	"\"Last-Modified\": \"2026-11-21 01:02:03 GMT\", " \
	"\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"" crc "\" }"

static const char lines_v2[] =
	"{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n"
	"\"System-Identifier\": 7301234567890123456,\n"
	"\"Files\": [\n" FILE_LINE("backup_label", "227", "0a1b2c3d") ",\n" FILE_LINE(
		"a \\\"b\\u00e9", "0",
		"00000000") ",\n"
					"{ \"Encoded-Path\": \"62ff\", \"Size\": 12884901888, "
					"\"Last-Modified\": \"2026-11-21 01:02:03 GMT\", "
					"\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"ffeeddcc\" }\n"
					"],\n"
					"\"WAL-Ranges\": [\n"
					"{ \"Timeline\": 2, \"Start-LSN\": \"1/2000028\", "
					"\"End-LSN\": \"1/2000138\" },\n"
					"{ \"Timeline\": 1, \"Start-LSN\": \"1/2000000\", "
					"\"End-LSN\": \"1/2000028\" }\n"
					"],\n";

static const char lines_v1[] = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n"
							   "\"Files\": [],\n"
							   "\"WAL-Ranges\": [],\n";

static void
test_manifest_in_any_pieces(void **state)
{
	char *text = with_sum(lines_v2);
	size_t len = strlen(text);

	(void) state;
	for (size_t piece = 1; piece <= len; piece = piece * 3 + 1)
	{
		struct seen seen = {.fail = ST_OK};
		struct err err;

		assert_int_equal(parse(text, piece, &seen, &err), ST_OK);
		assert_string_equal(seen.text, "backup_label 227 3d2c1b0a\n"
									   "a \"b\303\251 0 00000000\n"
									   "b\377 12884901888 ccddeeff\n"
									   "wal 2 102000028 102000138\n"
									   "wal 1 102000000 102000028\n");
	}
	free(text);
}

static void
expect_status(const char *text, enum status expected)
{
	struct seen seen = {.fail = ST_OK};
	struct err err;

	assert_int_equal(parse(text, 4096, &seen, &err), expected);
}

/* With the right checksum over what replaces it. */
static void
refuse_replaced(const char *old, const char *new)
{
	const char *at = strstr(lines_v2, old);
	char *text = malloc(sizeof(lines_v2) + strlen(new));
	char *summed;

	assert_non_null(at);
	assert_non_null(text);
	memcpy(text, lines_v2, (size_t) (at - lines_v2));
	(void) snprintf(text + (at - lines_v2),
					sizeof(lines_v2) + strlen(new) - (size_t) (at - lines_v2),
					"%s%s", new, at + strlen(old));
	summed = with_sum(text);
	expect_status(summed, ST_CORRUPT);
	free(summed);
	free(text);
}

static void
test_malformed_refused(void **state)
{
	(void) state;
	refuse_replaced("Version\": 2", "Version\": 3");
	refuse_replaced("Version\": 2", "Version\": null");
	refuse_replaced("7301234567890123456", "7301234567890123457");
	refuse_replaced("\"Size\": 227, ", "");
	refuse_replaced("\"Size\": 227", "\"Size\": -1");
	refuse_replaced("\"Size\": 227", "\"Size\": 1e3");
	refuse_replaced("\"Size\": 227", "\"Size\": \"227\"");
	refuse_replaced("\"Size\": 227", "\"Size\": 227, \"Size\": 227");
	refuse_replaced("\"Size\": 227", "\"Size\": [227]");
	refuse_replaced("CRC32C", "SHA256");
	refuse_replaced("0a1b2c3d", "0a1b2c3");
	refuse_replaced("0a1b2c3d", "0a1b2c3x");
	refuse_replaced("62ff", "6200");
	refuse_replaced("62ff", "62f");
	refuse_replaced("\"Encoded-Path\": \"62ff\"",
					"\"Encoded-Path\": \"62ff\", \"Path\": \"b\"");
	refuse_replaced("backup_label", "backup\\u0000label");
	refuse_replaced("\"Timeline\": 2", "\"Timeline\": 0");
	refuse_replaced("\"Timeline\": 2", "\"Timeline\": 4294967296");
	refuse_replaced("1/2000138", "1/2000027");
	refuse_replaced("1/2000138", "2000138");
	refuse_replaced("\"WAL-Ranges\"", "\"Other\"");
	refuse_replaced("\"Files\": [", "\"Files\": [1,");
	refuse_replaced("\"Files\": [", "\"Files\": [[");
	refuse_replaced("\"Files\": [", "\"Files\": {");
	refuse_replaced("],\n\"WAL-Ranges\"",
					"],\n\"Files\": [],\n\"WAL-Ranges\"");
}

static void
test_empty_manifest(void **state)
{
	char *text = with_sum(lines_v1);

	(void) state;
	expect_status(text, ST_OK);
	free(text);
}

/* Every single changed byte is noticed. */
static void
test_damage_noticed(void **state)
{
	char *text = with_sum(lines_v2);
	size_t len = strlen(text);

	(void) state;
	for (size_t i = 0; i < len; i++)
	{
		struct seen seen = {.fail = ST_OK};
		struct err err;
		enum status status;
		char c = text[i];

		text[i] = c == 'Z' ? 'Y' : 'Z';
		status = parse(text, len, &seen, &err);
		text[i] = c;
		assert_int_equal(status, ST_CORRUPT);
	}
	free(text);
}

static void
test_truncation_noticed(void **state)
{
	char *text = with_sum(lines_v2);

	(void) state;
	/* Only the last newline adds nothing. */
	for (size_t len = strlen(text) - 2; len > 0; len--)
	{
		text[len] = '\0';
		expect_status(text, ST_CORRUPT);
	}
	free(text);
}

static void
test_no_checksum_refused(void **state)
{
	(void) state;
	expect_status("", ST_CORRUPT);
	expect_status("[]", ST_CORRUPT);
	expect_status("{}", ST_CORRUPT);
	/* A checksum that does not stand in a last line of its own. */
	expect_status("{ \"PostgreSQL-Backup-Manifest-Version\": 1, "
				  "\"Files\": [], \"WAL-Ranges\": [], \"Manifest-Checksum\": "
				  "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b"
				  "7852b855\"}\n",
				  ST_CORRUPT);
}

static void
test_line_too_long_refused(void **state)
{
	size_t room = 100000;
	char *text = malloc(room);

	(void) state;
	assert_non_null(text);
	memset(text, ' ', room);
	text[0] = '{';
	text[room - 1] = '\0';
	expect_status(text, ST_CORRUPT);
	free(text);
}

static void
test_handler_ends_parse(void **state)
{
	struct seen seen = {.fail = ST_IO};
	struct err err;
	char *text = with_sum(lines_v2);

	(void) state;
	assert_int_equal(parse(text, 10, &seen, &err), ST_IO);
	assert_string_equal(err.message, "as told");
	free(text);
}

static enum status
compare(struct received *r, const char *path, uint64_t size, uint32_t crc)
{
	struct server_manifest_file file = {path, size, crc, ""};
	struct received_file made;
	struct err err;

	return received_compare(r, &file, &made, &err);
}

static void
add(struct received *r, const char *path, uint64_t size, uint32_t crc,
	bool changes)
{
	const struct received_file made = {changes, size, crc};
	struct err err;

	assert_int_equal(received_add(r, path, size, crc, &made, &err), ST_OK);
}

static struct received *
received_of_two(void)
{
	struct received *r;
	struct err err;

	assert_int_equal(received_new(&r, &err), ST_OK);
	add(r, "a", 1, 2, false);
	add(r, "b/c", UINT64_C(1) << 40, 3, false);
	return r;
}

static void
test_received_agrees(void **state)
{
	struct received *r = received_of_two();
	struct err err;

	(void) state;
	assert_int_equal(compare(r, "a", 1, 2), ST_OK);
	assert_int_equal(compare(r, "b/c", UINT64_C(1) << 40, 3), ST_OK);
	assert_int_equal(received_finish(r, &err), ST_OK);
	received_free(r);
}

static void
test_received_differs(void **state)
{
	struct received *r;
	struct err err;

	(void) state;
	r = received_of_two();
	assert_int_equal(compare(r, "A", 1, 2), ST_CORRUPT);
	received_free(r);
	r = received_of_two();
	assert_int_equal(compare(r, "a", 2, 2), ST_CORRUPT);
	received_free(r);
	r = received_of_two();
	assert_int_equal(compare(r, "a", 1, 3), ST_CORRUPT);
	received_free(r);
	r = received_of_two();
	assert_int_equal(compare(r, "a", 1, 2), ST_OK);
	assert_int_equal(received_finish(r, &err), ST_CORRUPT);
	assert_non_null(strstr(err.message, "\"b/c\""));
	received_free(r);
	r = received_of_two();
	assert_int_equal(received_finish(r, &err), ST_CORRUPT);
	received_free(r);
	r = received_of_two();
	assert_int_equal(compare(r, "a", 1, 2), ST_OK);
	assert_int_equal(compare(r, "b/c", UINT64_C(1) << 40, 3), ST_OK);
	assert_int_equal(compare(r, "d", 1, 2), ST_CORRUPT);
	received_free(r);
}

static void
test_received_twice(void **state)
{
	struct received *r = received_of_two();
	struct err err;

	(void) state;
	add(r, "a", 1, 2, false);
	assert_int_equal(compare(r, "a", 1, 2), ST_OK);
	assert_int_equal(compare(r, "b/c", UINT64_C(1) << 40, 3), ST_OK);
	assert_int_equal(compare(r, "a", 1, 2), ST_OK);
	assert_int_equal(received_finish(r, &err), ST_CORRUPT);
	assert_string_equal(err.message, "the server sent \"a\" twice");
	received_free(r);
}

/* A file comes once, whole or as what changed. */
static void
test_received_twice_in_kind(void **state)
{
	struct received *r = received_of_two();
	struct err err;

	(void) state;
	add(r, "b/INCREMENTAL.c", 9, 8, true);
	assert_int_equal(compare(r, "a", 1, 2), ST_OK);
	assert_int_equal(compare(r, "b/c", UINT64_C(1) << 40, 3), ST_OK);
	assert_int_equal(compare(r, "b/INCREMENTAL.c", 9, 8), ST_OK);
	assert_int_equal(received_finish(r, &err), ST_CORRUPT);
	assert_non_null(strstr(err.message, "twice"));
	received_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifest_in_any_pieces),
		cmocka_unit_test(test_malformed_refused),
		cmocka_unit_test(test_empty_manifest),
		cmocka_unit_test(test_damage_noticed),
		cmocka_unit_test(test_truncation_noticed),
		cmocka_unit_test(test_no_checksum_refused),
		cmocka_unit_test(test_line_too_long_refused),
		cmocka_unit_test(test_handler_ends_parse),
		cmocka_unit_test(test_received_agrees),
		cmocka_unit_test(test_received_differs),
		cmocka_unit_test(test_received_twice),
		cmocka_unit_test(test_received_twice_in_kind),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
