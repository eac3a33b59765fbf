/*
 * test_salvage.c - what the golden backups' packs tell of their pages
 *
 * The fourth backup's tables have pages and frames, the third's have not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/page.h"
#include "basebackup/salvage.h"

#define SYSTEM UINT64_C(7300000000000000001)
#define PAGE   8192
#define PAGES  4 /* of the file, and one of three bytes */

static const char backups[][BACKUP_ID_MAX] = {
	"0000000000600028-00000001-20260104T030405Z",
	"0000000000800028-00000001-20260105T030405Z"};

static const char key_line[] =
	"walship-key-v1 c88881365555b10c 000102030405060708090a0b0c0d0e0f"
	"101112131415161718191a1b1c1d1e1f\n";

static struct config cfg;
static struct keyring *ring;
static struct repo repo;
static struct base *base;
static struct page_hash *hash;
static char url[4200];
static struct err err;

static int
setup(void **state)
{
	const char *slash = strrchr(__FILE__, '/');
	char path[4096], real[4096];
	uint8_t key[PAGE_KEY_BYTES];

	(void) state;
	(void) snprintf(path, sizeof(path), "%.*s/../golden/v1/repository",
					(int) (slash - __FILE__), __FILE__);
	if (realpath(path, real) == NULL)
		return -1;
	(void) snprintf(url, sizeof(url), "file://%s", real);
	cfg.repository = url;
	cfg.command_timeout_ms = 60000;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t) (16 + i);
	return keyring_parse("test", key_line, strlen(key_line), &ring, &err) ==
					   ST_OK &&
				   repo_open(&repo, &cfg, ring, SYSTEM, &err) == ST_OK &&
				   base_new_empty(&repo, &base, &err) == ST_OK &&
				   page_hash_new(key, PAGE, &hash, &err) == ST_OK
			   ? 0
			   : -1;
}

static int
teardown(void **state)
{
	(void) state;
	page_hash_free(hash);
	base_free(base);
	repo_close(&repo);
	keyring_free(ring);
	return 0;
}

static struct salvage *
read_backups(size_t first, size_t count)
{
	const struct salvage_source source = {.repo = &repo,
										  .page_size = PAGE,
										  .base = base,
										  .nbackups = count,
										  .backups = backups + first};
	struct salvage *salvage = NULL;

	if (salvage_new(&source, &salvage, &err) != ST_OK)
		fail_msg("%s", err.message);
	return salvage;
}

static void
begin_file(struct salvage *salvage, const char *path)
{
	assert_int_equal(salvage_file(salvage, path, &err), ST_OK);
	assert_int_equal(salvage_part(salvage, 0, &err), ST_OK);
}

static void
test_pages(void **state)
{
	struct salvage *salvage = read_backups(0, 2);
	uint8_t page[PAGE], entry[PAGE_ENTRY_BYTES];
	struct extent e;

	(void) state;
	/* Of all packs only that one tells pages, and its frames. */
	assert_int_equal(salvage_packs(salvage), 1);
	assert_int_equal(packlist_count(base_packs(base)), 1);
	begin_file(salvage, "base/1/1259");
	for (uint32_t i = 0; i <= PAGES; i++)
	{
		uint32_t len = i < PAGES ? PAGE : 3;

		assert_int_equal(
			base_content(base, 0, (uint64_t) i * PAGE, page, len, &err),
			ST_OK);
		page_entry(hash, page, len, entry);
		assert_true(salvage_find(salvage, i, entry, len, &e));
		assert_int_equal(e.pack, 0);
		assert_int_equal(e.position, i * PAGE);
		assert_int_equal(e.length, len);
		/* The same page at another place, or another one there. */
		assert_false(salvage_find(salvage, i + 1, entry, len, &e));
		page[0] ^= 1;
		page_entry(hash, page, len, entry);
		assert_false(salvage_find(salvage, i, entry, len, &e));
	}
	salvage_free(salvage);
}

static void
test_elsewhere(void **state)
{
	struct salvage *salvage = read_backups(1, 1);
	uint8_t page[PAGE], entry[PAGE_ENTRY_BYTES];
	struct extent e;

	(void) state;
	assert_int_equal(base_content(base, 0, 0, page, PAGE, &err), ST_OK);
	page_entry(hash, page, PAGE, entry);
	begin_file(salvage, "base/1/1259");
	assert_true(salvage_find(salvage, 0, entry, PAGE, &e));
	assert_int_equal(salvage_part(salvage, 4096, &err), ST_OK);
	assert_false(salvage_find(salvage, 0, entry, PAGE, &e));
	begin_file(salvage, "base/1/125");
	assert_false(salvage_find(salvage, 0, entry, PAGE, &e));
	begin_file(salvage, "base/1/1259");
	assert_true(salvage_find(salvage, 0, entry, PAGE, &e));
	salvage_free(salvage);
}

static void
test_nothing(void **state)
{
	struct salvage *salvage = read_backups(0, 1);

	(void) state;
	assert_int_equal(salvage_packs(salvage), 0);
	begin_file(salvage, "base/1/1259");
	salvage_free(salvage);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
