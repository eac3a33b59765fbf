/*
 * test_repo.c - names, clusters and small objects of a repository
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/repo.h"

#define SYSID UINT64_C(7301234567890123456)

static char root[64];
static char url[80];
static struct config cfg;
static struct keyring *ring;
static struct repo repo;
static struct err err;

static const char key_line[] =
	"walship-key-v1 c88881365555b10c 000102030405060708090a0b0c0d0e0f"
	"101112131415161718191a1b1c1d1e1f\n";

static int
open_repo(bool sealed)
{
	snprintf(root, sizeof(root), "/tmp/walship-test.XXXXXX");
	if (mkdtemp(root) == NULL)
		return -1;
	snprintf(url, sizeof(url), "file://%s", root);
	memset(&cfg, 0, sizeof(cfg));
	cfg.repository = url;
	cfg.command_timeout_ms = 60000;
	if ((sealed
			 ? keyring_parse("test", key_line, strlen(key_line), &ring, &err)
			 : keyring_none(&ring, &err)) != ST_OK)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return repo_open(&repo, &cfg, ring, SYSID, &err) == ST_OK ? 0 : -1;
}

static int
setup(void **state)
{
	(void) state;
	return open_repo(false);
}

static int
setup_sealed(void **state)
{
	(void) state;
	return open_repo(true);
}

static int
teardown(void **state)
{
	char command[128];

	(void) state;
	repo_close(&repo);
	repo_close(&repo); /* twice is fine */
	keyring_free(ring);
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command); /* NOLINT(cert-env33-c): tests may */
}

static void
test_names(void **state)
{
	static const char *const no_numbers[] = {
		"",          "abc",      "0000abcg", "00000ABC",
		"00000abc0", "0000 abc", "-0000abc"};
	uint32_t number = 0;
	struct wal_name wal;
	char name[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];

	(void) state;
	assert_int_equal(wal_name_parse(&wal, "0000000A00000001000000FF", &err),
					 ST_OK);
	repo_wal_name(name, &wal);
	assert_string_equal(name, "wal/0000000A/0000000A00000001000000FF");
	assert_int_equal(wal_name_parse(&wal, "00000002.history", &err), ST_OK);
	repo_wal_name(name, &wal);
	assert_string_equal(name, "wal/00000002/00000002.history");

	repo_backup_name(name, "0000000001000028-00000001-20261121T010203Z",
					 "manifest");
	assert_string_equal(
		name, "backup/0000000001000028-00000001-20261121T010203Z/manifest");
	repo_pack_name(name, "0000000001000028-00000001-20261121T010203Z", 0xABC);
	assert_string_equal(
		name,
		"backup/0000000001000028-00000001-20261121T010203Z/pack/00000abc");
	assert_true(repo_parse_number("00000abc", &number));
	assert_int_equal(number, 0xABC);
	assert_true(repo_parse_number("ffffffff", &number));
	assert_int_equal(number, UINT32_MAX);
	for (size_t i = 0; i < sizeof(no_numbers) / sizeof(no_numbers[0]); i++)
		assert_false(repo_parse_number(no_numbers[i], &number));
	repo_report_name(name, 1795222923, "drill");
	assert_string_equal(name, "report/20261121T010203Z-drill");

	repo_key(key, SYSID, name);
	assert_string_equal(key,
						"7301234567890123456/report/20261121T010203Z-drill");
	assert_true(store_key_valid(key));
	repo_key(key, UINT64_MAX, name);
	assert_string_equal(key,
						"18446744073709551615/report/20261121T010203Z-drill");
}

static void
put_get(const char *text)
{
	char name[OBJECT_NAME_MAX + 1];
	size_t len = strlen(text);
	char *out;
	size_t out_len;

	snprintf(name, sizeof(name), "report/%zu", len);
	assert_int_equal(
		repo_put_bytes(&repo, OBJECT_REPORT, name, text, len, &err), ST_OK);
	assert_int_equal(
		repo_get_bytes(&repo, OBJECT_REPORT, name, len, &out, &out_len, &err),
		ST_OK);
	assert_int_equal(out_len, len);
	assert_string_equal(out, text);
	free(out);
	if (len > 0)
		assert_int_equal(repo_get_bytes(&repo, OBJECT_REPORT, name, len - 1,
										&out, &out_len, &err),
						 ST_CORRUPT);
	assert_int_equal(
		repo_put_bytes(&repo, OBJECT_REPORT, name, text, len, &err),
		ST_EXISTS);
}

static void
test_bytes(void **state)
{
	char text[2000];

	(void) state;
	put_get("");
	put_get("x");
	memset(text, 'y', sizeof(text));
	text[255] = '\0';
	put_get(text);
	text[255] = 'y';
	text[256] = '\0';
	put_get(text);
	text[256] = 'y';
	text[sizeof(text) - 1] = '\0';
	put_get(text);
}

/* Under another name, kind or cluster, or to another key, it is refused. */
static void
test_bound_to_name(void **state)
{
	char *out;
	size_t len;
	uint8_t *stored;
	size_t stored_len;
	char key[STORE_KEY_MAX];
	char other[STORE_KEY_MAX];
	struct keyring *none;

	(void) state;
	assert_int_equal(
		repo_put_bytes(&repo, OBJECT_REPORT, "report/a", "abc", 3, &err),
		ST_OK);
	repo_key(key, SYSID, "report/a");
	assert_int_equal(
		store_read(repo.store, key, 4096, &stored, &stored_len, &err), ST_OK);
	repo_key(other, SYSID, "report/b");
	assert_int_equal(store_put(repo.store, other, stored, stored_len, &err),
					 ST_OK);
	repo_key(other, 5, "report/a");
	assert_int_equal(store_put(repo.store, other, stored, stored_len, &err),
					 ST_OK);
	free(stored);

	assert_int_equal(
		repo_get_bytes(&repo, OBJECT_REPORT, "report/b", 9, &out, &len, &err),
		ST_CORRUPT);
	assert_int_equal(
		repo_get_bytes(&repo, OBJECT_MARK, "report/a", 9, &out, &len, &err),
		ST_CORRUPT);
	repo.system_identifier = 5;
	assert_int_equal(
		repo_get_bytes(&repo, OBJECT_REPORT, "report/a", 9, &out, &len, &err),
		ST_CORRUPT);
	repo.system_identifier = SYSID;
	assert_int_equal(keyring_none(&none, &err), ST_OK);
	repo.ring = none;
	if (keyring_sealed(ring))
		assert_int_equal(repo_get_bytes(&repo, OBJECT_REPORT, "report/a", 9,
										&out, &len, &err),
						 ST_AUTH);
	keyring_free(none);
	repo.ring = ring;
	assert_int_equal(
		repo_get_bytes(&repo, OBJECT_REPORT, "report/a", 9, &out, &len, &err),
		ST_OK);
	free(out);

	assert_int_equal(repo_get_bytes(&repo, OBJECT_REPORT, "report/absent", 9,
									&out, &len, &err),
					 ST_MISSING);
}

static void
plant(const char *key)
{
	assert_int_equal(store_put(repo.store, key, "x", 1, &err), ST_OK);
}

static void
collect(void *arg, uint64_t sysid)
{
	char *text = arg;

	snprintf(text + strlen(text), 32, "%llu ", (unsigned long long) sysid);
}

static void
test_clusters(void **state)
{
	char text[256] = "";
	char path[128];

	(void) state;
	repo.system_identifier = 0;
	assert_int_equal(repo_resolve_cluster(&repo, &err), ST_MISSING);
	assert_int_equal(repo.system_identifier, 0);

	plant("17/wal/x");
	plant("018/wal/x");
	plant("0/wal/x");
	plant("99999999999999999999999/wal/x");
	plant("readme/x");
	plant("19");
	snprintf(path, sizeof(path), "%s/20", root);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(repo_list_clusters(&repo, collect, text, &err), ST_OK);
	assert_string_equal(text, "17 ");
	assert_int_equal(repo_resolve_cluster(&repo, &err), ST_OK);
	assert_int_equal(repo.system_identifier, 17);

	plant("7301234567890123456/wal/x");
	repo.system_identifier = 0;
	assert_int_equal(repo_resolve_cluster(&repo, &err), ST_CONFIG);
	assert_non_null(strstr(err.detail, "17, 7301234567890123456"));
	assert_non_null(strstr(err.hint, "--cluster"));
	assert_int_equal(repo.system_identifier, 0);

	cfg.cluster = 17;
	assert_int_equal(repo_resolve_cluster(&repo, &err), ST_OK);
	assert_int_equal(repo.system_identifier, 17);
	assert_int_equal(repo_require_cluster(&repo, &err), ST_OK);
	repo.system_identifier = 42; /* what is set is not questioned */
	assert_int_equal(repo_resolve_cluster(&repo, &err), ST_OK);
	assert_int_equal(repo.system_identifier, 42);
	assert_int_equal(repo_require_cluster(&repo, &err), ST_MISSING);
	assert_non_null(strstr(err.message, "nothing of cluster 42"));
	repo.system_identifier = 1; /* 17 is there, and begins so */
	assert_int_equal(repo_require_cluster(&repo, &err), ST_MISSING);
}

/* More clusters than an error can name. */
static void
test_many_clusters(void **state)
{
	char key[64];

	(void) state;
	repo.system_identifier = 0;
	for (unsigned i = 0; i < 100; i++)
	{
		snprintf(key, sizeof(key), "73012345678901234%02u/wal/x", i);
		plant(key);
	}
	assert_int_equal(repo_resolve_cluster(&repo, &err), ST_CONFIG);
	assert_non_null(strstr(err.message, "100 clusters"));
	assert_non_null(strstr(err.detail, "7301234567890123400, "));
}

static void
test_open_fails(void **state)
{
	struct config bad = {.repository = NULL};
	struct repo other;

	(void) state;
	assert_int_equal(repo_open(&other, &bad, ring, 1, &err), ST_CONFIG);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
#define TS(name) \
	cmocka_unit_test_setup_teardown(test_##name, setup_sealed, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(names),         TS(bytes),   T(bytes),         TS(bound_to_name),
		T(bound_to_name), T(clusters), T(many_clusters), T(open_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
