#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/recovery_conf.h"

static const char *const command[] = {"/usr/bin/wal-fetch", "--mode=recovery",
									  NULL};

/* The value of a setting, or NULL; the last one counts. */
static const char *
setting(const char *text, const char *name)
{
	static char value[512];
	char start[64];
	const char *found = NULL;

	snprintf(start, sizeof(start), "\n%s = '", name);
	for (const char *at = text; (at = strstr(at, start)) != NULL; at++)
		found = at + strlen(start);
	if (found == NULL)
		return NULL;
	snprintf(value, sizeof(value), "%.*s",
			 (int) (strstr(found, "'\n") - found), found);
	return value;
}

static char *
format(const struct recovery_conf *conf)
{
	struct err err;
	char *text = NULL;

	assert_int_equal(recovery_conf_format(conf, &text, &err), ST_OK);
	return text;
}

static void
check_setting(const struct recovery_conf *conf, const char *name,
			  const char *expected)
{
	char *text = format(conf);
	const char *value = setting(text, name);

	if (expected == NULL)
		assert_null(value);
	else
	{
		assert_non_null(value);
		assert_string_equal(value, expected);
	}
	free(text);
}

/* Exactly one target has a value, and it is the last of the five. */
static void
check_target(enum target_kind kind, const char *name, const char *expected)
{
	static const char *const names[] = {
		"recovery_target", "recovery_target_time", "recovery_target_lsn",
		"recovery_target_xid", "recovery_target_name"};
	const struct recovery_target target = {.kind = kind,
										   .time_us = 1795222923250000,
										   .lsn = 0x1000000A0,
										   .text = "it's \\me"};
	const struct recovery_conf conf = {.target = &target,
									   .timeline = 12,
									   .backup_id = "id",
									   .command = command};
	char *text = format(&conf);
	size_t set = 0;

	for (size_t i = 0; i < 5; i++)
	{
		const char *value = setting(text, names[i]);

		assert_non_null(value);
		if (*value != '\0')
		{
			char line[1024];

			set++;
			assert_string_equal(names[i], name);
			assert_string_equal(value, expected);
			snprintf(line, sizeof(line), "\n%s = '%s'\nrecovery_target_incl",
					 name, value);
			assert_non_null(strstr(text, line));
		}
	}
	assert_int_equal(set, name == NULL ? 0 : 1);
	free(text);
}

static void
test_targets(void **state)
{
	(void) state;
	check_target(TARGET_END, NULL, NULL);
	check_target(TARGET_IMMEDIATE, "recovery_target", "immediate");
	check_target(TARGET_TIME, "recovery_target_time",
				 "2026-11-21 01:02:03.250000+00");
	check_target(TARGET_LSN, "recovery_target_lsn", "1/A0");
	check_target(TARGET_NAME, "recovery_target_name", "it''s \\\\me");
}

static void
test_rest(void **state)
{
	struct recovery_target target = {.kind = TARGET_XID, .text = "777"};
	struct recovery_conf conf = {.target = &target,
								 .timeline = 12,
								 .backup_id = "id",
								 .command = command};

	(void) state;
	check_setting(&conf, "recovery_target_xid", "777");
	check_setting(&conf, "recovery_target_timeline", "12");
	check_setting(&conf, "recovery_target_inclusive", "on");
	check_setting(&conf, "recovery_target_action", "pause");
	check_setting(&conf, "hot_standby", "on");
	check_setting(&conf, "primary_conninfo", "");
	check_setting(&conf, "primary_slot_name", "");
	check_setting(&conf, "archive_cleanup_command", "");
	check_setting(&conf, "recovery_end_command", "");
	check_setting(&conf, "recovery_min_apply_delay", "0");
	check_setting(&conf, "archive_mode", NULL);
	check_setting(&conf, "recovery_prefetch", NULL);
	conf.prefetch_off = true;
	check_setting(&conf, "recovery_prefetch", "off");
	target.inclusive = INCLUSIVE_NO;
	target.action = "promote";
	conf.archive_off = true;
	check_setting(&conf, "recovery_target_inclusive", "off");
	check_setting(&conf, "recovery_target_action", "promote");
	check_setting(&conf, "hot_standby", NULL);
	check_setting(&conf, "archive_mode", "off");
	conf.timeline_current = true;
	check_setting(&conf, "recovery_target_timeline", "current");
	conf.standby = true;
	check_setting(&conf, "recovery_target_timeline", "latest");
	check_setting(&conf, "recovery_min_apply_delay", NULL);
}

static void
test_command(void **state)
{
	static const char *const odd[] = {
		"/opt/a b/wal-fetch", "--config=/etc/100%/it's.conf", "", NULL};
	const struct recovery_target target = {.kind = TARGET_END};
	struct recovery_conf conf = {.target = &target,
								 .timeline = 1,
								 .backup_id = "id",
								 .command = command};

	(void) state;
	check_setting(&conf, "restore_command",
				  "/usr/bin/wal-fetch --mode=recovery %f \"%p\"");
	conf.command = odd;
	check_setting(&conf, "restore_command",
				  "''/opt/a b/wal-fetch'' "
				  "''--config=/etc/100%%/it''\\\\''''s.conf'' '''' %f "
				  "\"%p\"");
}

static void
test_refused(void **state)
{
	static const char *const broken[] = {"/usr/bin/wal\nfetch", NULL};
	struct recovery_target target = {.kind = TARGET_NAME, .text = "a\nb"};
	struct recovery_conf conf = {
		.target = &target, .backup_id = "id", .command = command};
	char *text = NULL;
	struct err err;

	(void) state;
	assert_int_equal(recovery_conf_format(&conf, &text, &err), ST_CONFIG);
	target.text = "a";
	conf.command = broken;
	assert_int_equal(recovery_conf_format(&conf, &text, &err), ST_CONFIG);
	assert_null(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
