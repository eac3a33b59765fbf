/*
 * test_session.c - from the options to an open repository
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/session.h"

static char dir[] = "/tmp/walship-test-session-XXXXXX";
static char file[64];

static void
write_config(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_true(fprintf(f, "repository = file://%s\nencryption = none\n%s",
						dir, text) > 0);
	assert_int_equal(fclose(f), 0);
}

static struct cli_common
options(const char *program, uint64_t cluster)
{
	struct cli_common common;

	cli_common_init(&common, program, "");
	common.config = file;
	common.cluster = cluster;
	return common;
}

/* Opens and closes; returns the cluster that was settled, or 0 if refused. */
static uint64_t
settled(uint64_t option, uint64_t at_hand, struct err *err)
{
	struct cli_common common = options("walship test", option);
	struct session session;
	uint64_t id = 0;

	assert_int_equal(session_configure(&session, &common, err), ST_OK);
	if (session_open_repo(&session, &common, at_hand, err) == ST_OK)
		id = session.repo.system_identifier;
	session_close(&session);
	session_close(&session);
	return id;
}

static void
test_cluster(void **state)
{
	struct err err;

	(void) state;
	write_config("");
	assert_int_equal(settled(0, 0, &err), 0);
	assert_int_equal(settled(3, 0, &err), 3);
	assert_int_equal(settled(0, 4, &err), 4);
	assert_int_equal(settled(4, 4, &err), 4);
	assert_int_equal(settled(3, 4, &err), 0);
	assert_string_equal(err.message, "the cluster at hand has system "
									 "identifier 4, but --cluster says 3");

	write_config("cluster = 5\n");
	assert_int_equal(settled(0, 0, &err), 5);
	assert_int_equal(settled(3, 0, &err), 3);
	assert_int_equal(settled(0, 5, &err), 5);
	assert_int_equal(settled(0, 4, &err), 0);
	assert_string_equal(err.message,
						"the cluster at hand has system identifier 4, but the "
						"configuration says 5");
}

/* The section of the cluster at hand counts, unless another is meant. */
static void
test_section(void **state)
{
	struct cli_common nobody = options("walship test", 0);
	struct cli_common three = options("walship test", 3);
	struct session session;
	struct err err;

	(void) state;
	write_config("backup_workers = 1\n[cluster 3]\nbackup_workers = 3\n"
				 "[cluster 4]\nbackup_workers = 4\n");
	assert_int_equal(session_configure_for(&session, &nobody, 4, &err), ST_OK);
	assert_int_equal(session.cfg->backup_workers, 4);
	session_close(&session);
	assert_int_equal(session_configure_for(&session, &three, 4, &err), ST_OK);
	assert_int_equal(session.cfg->backup_workers, 3);
	session_close(&session);
	assert_int_equal(session_configure_for(&session, &nobody, 5, &err), ST_OK);
	assert_int_equal(session.cfg->backup_workers, 1);
	session_close(&session);
}

static void
test_log_level(void **state)
{
	struct cli_common push = options("wal-push", 0);
	struct cli_common list = options("walship list", 0);
	struct session session;
	struct err err;

	(void) state;
	write_config("");
	assert_int_equal(session_configure(&session, &push, &err), ST_OK);
	assert_int_equal(session.cfg->log_level, LOG_LEVEL_WARNING);
	session_close(&session);
	assert_int_equal(session_configure(&session, &list, &err), ST_OK);
	assert_int_equal(session.cfg->log_level, LOG_LEVEL_INFO);
	session_close(&session);

	write_config("log_level = error\n");
	assert_int_equal(session_configure(&session, &list, &err), ST_OK);
	assert_int_equal(session.cfg->log_level, LOG_LEVEL_ERROR);
	session_close(&session);
}

static void
test_refused(void **state)
{
	struct cli_common common = options("walship test", 0);
	struct session session;
	struct err err;

	(void) state;
	write_config("spoon = 1\n");
	assert_int_equal(session_open(&session, &common, &err), ST_CONFIG);
	session_close(&session);

	write_config("[cluster 7]\nkey_file = /nonexistent/key\n"
				 "encryption = xchacha20-poly1305\n");
	assert_int_equal(session_open(&session, &common, &err), ST_OK);
	assert_false(keyring_sealed(session.ring));
	session_close(&session);
	common.cluster = 7;
	assert_int_equal(session_open(&session, &common, &err), ST_IO);
	session_close(&session);
}

static int
make_dir(void **state)
{
	(void) state;
	if (clearenv() != 0 || mkdtemp(dir) == NULL)
		return -1;
	(void) snprintf(file, sizeof file, "%s/f", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void) state;
	(void) unlink(file);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cluster),
		cmocka_unit_test(test_section),
		cmocka_unit_test(test_log_level),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
