#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basebackup/server_facts.h"

static void
test_secrets_left_out(void **state)
{
	(void) state;
	assert_true(setting_is_secret("primary_conninfo", "host=h"));
	assert_true(setting_is_secret("ssl_passphrase_command", "cat /p"));
	assert_true(setting_is_secret("myext.api_key", "x"));
	assert_true(setting_is_secret("myext.Remote_PASSWORD", "x"));
	assert_true(
		setting_is_secret("archive_command", "PGPASSWORD=x curl file://%p"));
	assert_true(
		setting_is_secret("archive_command", "AWS_SECRET_ACCESS_KEY=x push"));
	assert_true(setting_is_secret("restore_command",
								  "curl https://me:word@host/%f -o %p"));
	assert_true(setting_is_secret("myext.source", "host=h password=x"));
}

static void
test_others_kept(void **state)
{
	(void) state;
	assert_false(setting_is_secret("password_encryption", "scram-sha-256"));
	assert_false(setting_is_secret("shared_preload_libraries",
								   "passwordcheck, pg_stat_statements"));
	assert_false(setting_is_secret("ssl_key_file", "server.key"));
	assert_false(setting_is_secret("tcp_keepalives_idle", "60"));
	assert_false(setting_is_secret("archive_command", "wal-push %p"));
	assert_false(setting_is_secret("max_connections", "100"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets_left_out),
		cmocka_unit_test(test_others_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
