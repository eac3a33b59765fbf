/*
 * test_pack_file.c - pages that the server did not send, from a base
 *
 * The base is this file's: one file of two pages in one pack.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "basebackup/pack.h"
#include "basebackup/page.h"

#define SYSTEM    UINT64_C(7300000000000000001)
#define PAGE      ((size_t) 8192)
#define PAGES     2
#define FILE_PATH "base/5/16384"

static const char key_line[] =
	"walship-key-v1 c88881365555b10c 000102030405060708090a0b0c0d0e0f"
	"101112131415161718191a1b1c1d1e1f\n";
static const uint8_t digest_key[PAGE_KEY_BYTES] = {1, 2, 3};

static struct config cfg = {.backup_workers = 1, .command_timeout_ms = 60000};
static char url[64];
static struct keyring *ring;
static struct pack_pool *pool;
static struct pack_writer *writer;
static struct err err;

/* --- the base ------------------------------------------------------------ */

struct base
{
	struct packlist *packs;
	struct packlist *digests;
	struct extent extents[1];
	struct digest_range pages[1];
	struct stored_file file;
	uint8_t content[PAGES * PAGE];
	uint8_t entries[PAGES * PAGE_ENTRY_BYTES];
	unsigned reads;
};

static struct base base;

const struct packlist *
base_packs(const struct base *b)
{
	return b->packs;
}

const struct packlist *
base_digests(const struct base *b)
{
	return b->digests;
}

enum status
base_find(struct base *b, const char *path, const struct stored_file **out,
		  struct err *e)
{
	(void) e;
	*out = strcmp(path, FILE_PATH) == 0 ? &b->file : NULL;
	return ST_OK;
}

enum status
base_pages(struct base *b, uint64_t first, size_t count, uint8_t *out,
		   struct err *e)
{
	(void) e;
	memcpy(out, b->entries + first * PAGE_ENTRY_BYTES,
		   count * PAGE_ENTRY_BYTES);
	return ST_OK;
}

void
base_page_ranges(const struct base *b, uint64_t first, size_t count,
				 struct digest_range *ranges, size_t *nranges)
{
	const struct digest_range all = {
		0, b->pages[0].position + (uint32_t) first * PAGE_ENTRY_BYTES,
		(uint32_t) count * PAGE_ENTRY_BYTES};

	digest_ranges_add(ranges, nranges, &all);
}

enum status
base_content(struct base *b, uint32_t pack, uint64_t position, void *out,
			 size_t len, struct err *e)
{
	(void) e;
	assert_int_equal(pack, 0);
	memcpy(out, b->content + position, len);
	b->reads++;
	return ST_OK;
}

/* What salvage.c would use; no attempt has died here. */
enum status
base_add_pack(struct base *b, const struct manifest_pack *pack, struct err *e)
{
	(void) b;
	(void) pack;
	return err_set(e, ST_CORRUPT, "not expected");
}

enum status
base_packs_added(struct base *b, struct err *e)
{
	(void) b;
	return err_set(e, ST_CORRUPT, "not expected");
}

static struct packlist *
list_of_one(enum object_kind kind)
{
	const struct object_id id = {kind, SYSTEM, "backup/x/pack/00000000"};
	const int64_t frames[] = {100, 100};
	struct manifest_pack pack = {
		.backup = "x", .nframes = 2, .frames = frames};
	struct packlist *list = NULL;
	struct object obj;

	assert_int_equal(
		object_begin(&obj, &id, PAGES * PAGE, OBJECT_FRAME_SIZE, ring, &err),
		ST_OK);
	pack.header = obj.header;
	pack.header_len = obj.header_len;
	assert_int_equal(packlist_new(kind, &list, &err), ST_OK);
	assert_int_equal(packlist_add(list, &pack, &err), ST_OK);
	assert_int_equal(packlist_done(list, &err), ST_OK);
	object_wipe(&obj);
	return list;
}

static void
make_base(void)
{
	struct page_hash *hash = NULL;

	memset(&base, 0, sizeof(base));
	for (size_t i = 0; i < sizeof(base.content); i++)
		base.content[i] = (uint8_t) (i * 31 + i / 251 + 1);
	assert_int_equal(page_hash_new(digest_key, PAGE, &hash, &err), ST_OK);
	for (size_t i = 0; i < PAGES; i++)
		page_entry(hash, base.content + i * PAGE, PAGE,
				   base.entries + i * PAGE_ENTRY_BYTES);
	page_hash_free(hash);
	base.extents[0] = (struct extent){0, 0, PAGES * PAGE};
	base.pages[0] = (struct digest_range){0, 0, sizeof(base.entries)};
	base.file = (struct stored_file){.size = PAGES * PAGE,
									 .nextents = 1,
									 .extents = base.extents,
									 .npages = 1,
									 .pages = base.pages};
	base.packs = list_of_one(OBJECT_PACK);
	base.digests = list_of_one(OBJECT_DIGEST);
}

/* --- a writer on it ------------------------------------------------------ */

static int
setup(void **state)
{
	const struct pack_target target = {
		.cfg = &cfg, .system_identifier = SYSTEM, .backup_id = "y"};
	struct pack_target t = target;

	(void) state;
	(void) snprintf(url, sizeof(url), "file:///tmp/walship-pack-file-XXXXXX");
	if (mkdtemp(url + strlen("file://")) == NULL ||
		keyring_parse("test", key_line, strlen(key_line), &ring, &err) !=
			ST_OK)
		return -1;
	cfg.repository = url;
	t.ring = ring;
	make_base();
	return pack_pool_new(&t, &pool, &err) == ST_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void) state;
	pack_writer_free(writer);
	writer = NULL;
	pack_pool_free(pool);
	packlist_free(base.packs);
	packlist_free(base.digests);
	keyring_free(ring);
	(void) rmdir(url + strlen("file://"));
	return 0;
}

static void
begin(const bool *retired, const char *path)
{
	const struct pack_source source = {.pool = pool,
									   .page_size = PAGE,
									   .digest_key = digest_key,
									   .base = &base,
									   .retired = retired};

	assert_int_equal(pack_writer_new(&source, &writer, &err), ST_OK);
	assert_int_equal(pack_file_begin(writer, path, PACK_SIZE_UNKNOWN, &err),
					 ST_OK);
}

static const struct stored_file *
end(void)
{
	const struct stored_file *file = NULL;

	assert_int_equal(pack_file_end(writer, &file, &err), ST_OK);
	assert_int_equal(file->size, PAGES * PAGE);
	assert_int_equal(file->nextents, 1);
	return file;
}

static void
test_referred(void **state)
{
	(void) state;
	begin(NULL, FILE_PATH);
	assert_int_equal(pack_file_refer(writer, PAGES * PAGE, &err), ST_OK);
	assert_int_equal(end()->extents[0].pack, 0);
	assert_int_equal(pack_writer_counts(writer)->referred, PAGES * PAGE);
	assert_int_equal(base.reads, 0);
}

static void
test_stored_again(void **state)
{
	const bool retired[] = {true};
	const struct stored_file *file;

	(void) state;
	begin(retired, FILE_PATH);
	assert_int_equal(pack_file_refer(writer, PAGES * PAGE, &err), ST_OK);
	file = end();
	assert_int_equal(file->extents[0].pack, 1); /* ours */
	assert_int_equal(pack_writer_counts(writer)->rewritten, PAGES * PAGE);
	assert_int_equal(base.reads, PAGES);
	assert_null(pack_writer_live(writer, 0));
}

/* Whatever made it so: it is not handed on from backup to backup. */
static void
test_not_what_the_digest_says(void **state)
{
	const bool retired[] = {true};

	(void) state;
	base.content[PAGE + 17] ^= 1;
	begin(retired, FILE_PATH);
	assert_int_equal(pack_file_refer(writer, PAGE, &err), ST_OK);
	assert_int_equal(pack_file_refer(writer, PAGE, &err), ST_CORRUPT);
	assert_string_equal(err.message, "the page at 8192 of \"" FILE_PATH
									 "\" is not what its backup says");
}

static void
test_nothing_there(void **state)
{
	(void) state;
	begin(NULL, FILE_PATH);
	assert_int_equal(pack_file_refer(writer, (PAGES + 1) * PAGE, &err),
					 ST_CORRUPT);
	assert_string_equal(err.message,
						"the base has no page at 16384 of \"" FILE_PATH "\"");
	pack_writer_free(writer);
	begin(NULL, "base/5/1");
	assert_int_equal(pack_file_refer(writer, PAGE, &err), ST_CORRUPT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_referred, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stored_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_what_the_digest_says, setup,
										teardown),
		cmocka_unit_test_setup_teardown(test_nothing_there, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
