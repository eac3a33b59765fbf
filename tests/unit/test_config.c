/*
 * test_config.c - the configuration file, the environment and overrides
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config.h"

#define CLUSTER UINT64_C(7301234567890123456)

static char dir[] = "/tmp/walship-test-config-XXXXXX";
static char file[64];

static void
write_file(const char *text, size_t len, mode_t mode)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(file, mode), 0);
}

static struct config *
parse(const char *text, size_t len, uint64_t cluster, struct err *err)
{
	struct config *cfg = calloc(1, sizeof *cfg);

	assert_non_null(cfg);
	if (config_parse(cfg, "f", text, len, cluster, err) == ST_OK)
		return cfg;
	config_free(cfg);
	return NULL;
}

static struct config *
accepted(const char *text)
{
	struct err err;
	struct config *cfg = parse(text, strlen(text), 0, &err);

	if (cfg == NULL)
		fail_msg("refused: %s", err.message);
	return cfg;
}

/* The text must be refused with exactly that message. */
static void
refused_bytes(const char *text, size_t len, const char *message)
{
	struct err err;
	struct config *cfg = parse(text, len, 0, &err);

	if (cfg != NULL)
	{
		config_free(cfg);
		fail_msg("accepted: %s", text);
	}
	assert_int_equal(err.status, ST_CONFIG);
	assert_string_equal(err.message, message);
}

static void
refused(const char *text, const char *message)
{
	refused_bytes(text, strlen(text), message);
}

static void
test_values(void **state)
{
	struct config *cfg = accepted("# comment\n; another\n\n  \t \r\n"
								  "repository = s3://bucket/a/b/\r\n"
								  "encryption=none\n"
								  "spool\t=\t/var/spool/x y\n"
								  "s3_tls = unverified\n"
								  "s3_addressing = virtual   \n"
								  "s3_endpoint = https://[::1]:9000/\n"
								  "key_command = cat /a | sed 's;x;y;' \n"
								  "connect_timeout = 500ms\n"
								  "push_timeout = 90 s\n"
								  "backup_max_age = 2d\n"
								  "push_memory = 64MB\n"
								  "backup_workers = 16");

	(void) state;
	assert_string_equal(cfg->repository, "s3://bucket/a/b");
	assert_int_equal(cfg->encryption, ENCRYPTION_NONE);
	assert_string_equal(cfg->spool, "/var/spool/x y");
	assert_int_equal(cfg->s3_tls, TLS_UNVERIFIED);
	assert_int_equal(cfg->s3_addressing, ADDRESSING_VIRTUAL);
	assert_string_equal(cfg->s3_endpoint, "https://[::1]:9000");
	assert_string_equal(cfg->key_command, "cat /a | sed 's;x;y;'");
	assert_int_equal(cfg->connect_timeout_ms, 500);
	assert_int_equal(cfg->push_timeout_ms, 90000);
	assert_int_equal(cfg->backup_max_age_ms, 172800000);
	assert_int_equal(cfg->push_memory_bytes, 64 << 20);
	assert_int_equal(cfg->backup_workers, 16);
	config_free(cfg);

	cfg = accepted("\xEF\xBB\xBFspool = /a\n");
	assert_string_equal(cfg->spool, "/a");
	config_free(cfg);
	config_free(accepted(""));
	config_free(NULL);
}

static void
test_lines_that_mislead(void **state)
{
	char text[512];
	char expected[128];

	(void) state;
	refused("\nspoon = /a\n", "file \"f\", line 2: unknown key \"spoon\"");
	refused("spool = /a\nspool = /b\n",
			"file \"f\", line 2: key \"spool\" is given twice");
	refused("spool = /a\n /b\n", "file \"f\", line 2: line is indented; a "
								 "value cannot be continued");
	refused("spool = /a\n\tspool = /b\n",
			"file \"f\", line 2: line is indented; a value cannot be "
			"continued");
	refused("key_command = a ;b\n",
			"file \"f\", line 1: a comment must have a line of its own");
	refused("key_command =\t;b\n",
			"file \"f\", line 1: a comment must have a line of its own");
	refused("key_command = a # b\n",
			"file \"f\", line 1: a comment must have a line of its own");
	refused("spool\n", "file \"f\", line 1: this is neither a setting, a "
					   "section nor a comment");
	refused("spool : /a\n", "file \"f\", line 1: this is neither a setting, "
							"a section nor a comment");
	refused("s3_endpoint:x=y\n", "file \"f\", line 1: this is neither a "
								 "setting, a section nor a comment");
	refused("= /a\n", "file \"f\", line 1: this is neither a setting, a "
					  "section nor a comment");
	refused("SPOOL = /a\n", "file \"f\", line 1: this is neither a setting, "
							"a section nor a comment");
	refused("spool =\n", "file \"f\", line 1: empty value for spool");
	refused("spool = \x01\n", "file \"f\", line 1: line holds a control "
							  "character");
	refused_bytes("spool = /a\0b\n", 13,
				  "file \"f\", line 1: line holds a zero byte");

	/* A line of 198 bytes is the longest; inih would cut the next one. */
	(void) snprintf(text, sizeof text, "spool = /%0189d\nspool = b\n", 0);
	refused(text, "file \"f\", line 2: key \"spool\" is given twice");
	(void) snprintf(text, sizeof text, "\nspool = /%0190d\n", 0);
	(void) snprintf(expected, sizeof expected,
					"file \"f\", line 2: line is longer than 198 bytes");
	refused(text, expected);
}

static void
test_values_that_are_wrong(void **state)
{
	(void) state;
	refused("encryption = aes\n",
			"file \"f\", line 1: invalid value \"aes\" for encryption");
	refused("s3_tls = 1.1\n",
			"file \"f\", line 1: invalid value \"1.1\" for s3_tls");
	refused("s3_conditional_put = maybe\n",
			"file \"f\", line 1: invalid value \"maybe\" for "
			"s3_conditional_put");
	refused("spool = var\n",
			"file \"f\", line 1: invalid value \"var\" for spool");
	refused("push_memory = 512kB\n",
			"file \"f\", line 1: invalid value \"512kB\" for push_memory");
	refused("push_memory = 32\n",
			"file \"f\", line 1: invalid value \"32\" for push_memory");
	refused("backup_workers = 0\n",
			"file \"f\", line 1: invalid value \"0\" for backup_workers");
	refused("backup_workers = 65\n",
			"file \"f\", line 1: invalid value \"65\" for backup_workers");
	refused("backup_workers = -1\n",
			"file \"f\", line 1: invalid value \"-1\" for backup_workers");
	refused("backup_workers = 4x\n",
			"file \"f\", line 1: invalid value \"4x\" for backup_workers");
	refused("push_timeout = 10\n",
			"file \"f\", line 1: invalid value \"10\" for push_timeout");
	refused("push_timeout = 0s\n",
			"file \"f\", line 1: invalid value \"0s\" for push_timeout");
	refused("push_timeout = 2d\n",
			"file \"f\", line 1: invalid value \"2d\" for push_timeout");
	refused("cluster = 07\n",
			"file \"f\", line 1: invalid value \"07\" for cluster");
	refused("cluster = 18446744073709551616\n",
			"file \"f\", line 1: invalid value \"18446744073709551616\" for "
			"cluster");
}

static void
test_urls(void **state)
{
	static const char *const bad[] = {
		"repository = s3://\n",
		"repository = s3://ab\n",
		"repository = s3:///prefix\n",
		"repository = s3://bucket//a\n",
		"repository = s3://bucket/a/../b\n",
		"repository = s3://bucket/.\n",
		"repository = s3://bucket/a b\n",
		"repository = s3://bucket?x\n",
		"repository = file://dir\n",
		"repository = file:///\n",
		"repository = /dir\n",
		"repository = http://host/\n",
		"s3_endpoint = host:9000\n",
		"s3_endpoint = ftp://host\n",
		"s3_endpoint = http://\n",
		"s3_endpoint = http://user:pw@host\n",
		"s3_endpoint = http://host/path\n",
	};

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		struct err err;
		struct config *cfg = parse(bad[i], strlen(bad[i]), 0, &err);

		if (cfg != NULL)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.status, ST_CONFIG);
	}
	config_free(accepted("repository = s3://my.bucket-1\n"));
	config_free(accepted("repository = s3://bucket/\n"));
	config_free(accepted("repository = file:///mnt/a b\n"));
}

static void
test_secrets_are_not_repeated(void **state)
{
	const char text[] = "s3_secret_access_key = hush\x02\n";
	struct err err;

	(void) state;
	assert_null(parse(text, strlen(text), 0, &err));
	assert_null(strstr(err.message, "hush"));

	assert_int_equal(setenv("WALSHIP_S3_SECRET_ACCESS_KEY", "hush\n", 1), 0);
	write_file("", 0, 0644);
	struct config *cfg = NULL;
	assert_int_equal(config_load(file, 0, NULL, &cfg, &err), ST_CONFIG);
	assert_string_equal(err.message,
						"environment variable WALSHIP_S3_SECRET_ACCESS_KEY: "
						"invalid value for s3_secret_access_key");
	assert_int_equal(unsetenv("WALSHIP_S3_SECRET_ACCESS_KEY"), 0);
}

static void
test_sections(void **state)
{
	const char text[] = "spool = /general\n"
						"s3_region = r\n"
						"[cluster 7301234567890123456]\n"
						"spool = /ours\n"
						"[cluster 2]\n"
						"spool = /theirs\n";
	struct err err;
	struct config *cfg = parse(text, strlen(text), CLUSTER, &err);

	(void) state;
	assert_non_null(cfg);
	assert_string_equal(cfg->spool, "/ours");
	assert_string_equal(cfg->s3_region, "r");
	config_free(cfg);

	cfg = parse(text, strlen(text), 0, &err);
	assert_string_equal(cfg->spool, "/general");
	config_free(cfg);

	cfg = accepted("cluster = 2\nspool = /a\n[cluster 2]\nspool = /b\n");
	assert_string_equal(cfg->spool, "/b");
	config_free(cfg);
}

static void
test_sections_refused(void **state)
{
	(void) state;
	refused("[cluster 2]\ncluster = 2\n", "file \"f\", line 2: key "
										  "\"cluster\" cannot be given in a "
										  "section");
	refused("[cluster 2]\n[cluster 3]\n[cluster 2]\n",
			"file \"f\", line 3: the section of this cluster appears twice");
	refused("[cluster 0]\n", "file \"f\", line 1: unknown section");
	refused("[cluster x]\n", "file \"f\", line 1: unknown section");
	refused("[wal]\n", "file \"f\", line 1: unknown section");
	refused("[cluster 2] x\n", "file \"f\", line 1: malformed section");
	refused("[cluster 2\n", "file \"f\", line 1: malformed section");
	refused("[\n", "file \"f\", line 1: malformed section");
	refused("[]\n", "file \"f\", line 1: unknown section");
	refused("[cluster 2][cluster 3]\n", "file \"f\", line 1: unknown section");
	refused("[cluster 000000000000000000000000000000000000000000000001]\n",
			"file \"f\", line 1: malformed section");

	/* Another cluster's section is checked as well. */
	refused("[cluster 2]\nspoon = /a\n",
			"file \"f\", line 2: unknown key \"spoon\"");
	refused("[cluster 2]\nspool = a\n",
			"file \"f\", line 2: invalid value \"a\" for spool");
	refused("[cluster 2]\nspool = /a\nspool = /a\n",
			"file \"f\", line 3: key \"spool\" is given twice");
}

/* Loads the file; fails the test unless that works. */
static struct config *
load(uint64_t cluster, const char *const *overrides)
{
	struct config *cfg = NULL;
	struct err err;

	if (config_load(file, cluster, overrides, &cfg, &err) != ST_OK)
		fail_msg("%s", err.message);
	return cfg;
}

static void
load_refused(const char *path, const char *const *overrides,
			 const char *message)
{
	struct config *cfg = NULL;
	struct err err;

	assert_int_equal(config_load(path, 0, overrides, &cfg, &err), ST_CONFIG);
	assert_null(cfg);
	assert_string_equal(err.message, message);
}

static void
test_defaults(void **state)
{
	struct config *cfg;

	(void) state;
	write_file("", 0, 0644);
	cfg = load(0, NULL);
	assert_string_equal(cfg->path, file);
	assert_null(cfg->repository);
	assert_int_equal(cfg->cluster, 0);
	assert_int_equal(cfg->encryption, ENCRYPTION_XCHACHA20);
	assert_string_equal(cfg->spool, "/var/spool/walship");
	assert_string_equal(cfg->s3_region, "us-east-1");
	assert_int_equal(cfg->s3_tls, TLS_1_2);
	assert_true(cfg->s3_conditional_put);
	assert_int_equal(cfg->log_format, LOG_FORMAT_TEXT);
	assert_int_equal(cfg->log_level, LOG_LEVEL_AUTO);
	assert_int_equal(cfg->connect_timeout_ms, 10000);
	assert_int_equal(cfg->stall_timeout_ms, 30000);
	assert_int_equal(cfg->push_timeout_ms, 120000);
	assert_int_equal(cfg->fetch_timeout_ms, 300000);
	assert_int_equal(cfg->fetch_timeout_standby_ms, 10000);
	assert_int_equal(cfg->command_timeout_ms, 3600000);
	assert_int_equal(cfg->archive_wait_ms, 600000);
	assert_int_equal(cfg->backup_max_age_ms, INT64_C(604800000));
	assert_int_equal(cfg->push_workers, 4);
	assert_int_equal(cfg->push_memory_bytes, 28 << 20);
	assert_int_equal(cfg->backup_workers, 4);
	assert_int_equal(cfg->restore_workers, 4);
	config_free(cfg);
}

static void
test_precedence(void **state)
{
	const char text[] = "spool = /file\ns3_region = file\n"
						"log_level = debug\n";
	const char *const overrides[] = {"spool=/line", "spool=/last", NULL};
	struct config *cfg;

	(void) state;
	write_file(text, strlen(text), 0644);
	assert_int_equal(setenv("WALSHIP_SPOOL", "/env", 1), 0);
	assert_int_equal(setenv("WALSHIP_S3_REGION", "env", 1), 0);
	assert_int_equal(setenv("WALSHIP_LOG_LEVEL", "", 1), 0);
	assert_int_equal(setenv("AWS_REGION", "aws", 1), 0);
	cfg = load(0, overrides);
	assert_string_equal(cfg->spool, "/last");
	assert_string_equal(cfg->s3_region, "env");
	assert_int_equal(cfg->log_level, LOG_LEVEL_DEBUG);
	config_free(cfg);

	assert_int_equal(unsetenv("WALSHIP_SPOOL"), 0);
	assert_int_equal(unsetenv("WALSHIP_S3_REGION"), 0);
	assert_int_equal(unsetenv("WALSHIP_LOG_LEVEL"), 0);
	cfg = load(0, NULL);
	assert_string_equal(cfg->spool, "/file");
	assert_string_equal(cfg->s3_region, "file");
	config_free(cfg);
	assert_int_equal(unsetenv("AWS_REGION"), 0);
}

static void
test_aws_environment(void **state)
{
	struct config *cfg;

	(void) state;
	write_file("", 0, 0644);
	assert_int_equal(setenv("AWS_DEFAULT_REGION", "second", 1), 0);
	assert_int_equal(setenv("AWS_ENDPOINT_URL", "http://second", 1), 0);
	assert_int_equal(setenv("AWS_CA_BUNDLE", "/ca", 1), 0);
	assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "id", 1), 0);
	assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "secret", 1), 0);
	assert_int_equal(setenv("AWS_SESSION_TOKEN", "token", 1), 0);
	cfg = load(0, NULL);
	assert_string_equal(cfg->s3_region, "second");
	assert_string_equal(cfg->s3_endpoint, "http://second");
	assert_string_equal(cfg->s3_ca_file, "/ca");
	assert_string_equal(cfg->s3_access_key_id, "id");
	assert_string_equal(cfg->s3_secret_access_key, "secret");
	assert_string_equal(cfg->s3_session_token, "token");
	config_free(cfg);

	assert_int_equal(setenv("AWS_REGION", "first", 1), 0);
	assert_int_equal(setenv("AWS_ENDPOINT_URL_S3", "http://first", 1), 0);
	assert_int_equal(setenv("WALSHIP_S3_ACCESS_KEY_ID", "own", 1), 0);
	assert_int_equal(setenv("WALSHIP_S3_SECRET_ACCESS_KEY", "own", 1), 0);
	cfg = load(0, NULL);
	assert_string_equal(cfg->s3_region, "first");
	assert_string_equal(cfg->s3_endpoint, "http://first");
	assert_string_equal(cfg->s3_secret_access_key, "own");
	assert_null(cfg->s3_session_token); /* it belongs to the other key */
	config_free(cfg);

	assert_int_equal(unsetenv("WALSHIP_S3_ACCESS_KEY_ID"), 0);
	assert_int_equal(unsetenv("WALSHIP_S3_SECRET_ACCESS_KEY"), 0);
	assert_int_equal(unsetenv("AWS_REGION"), 0);
	assert_int_equal(unsetenv("AWS_DEFAULT_REGION"), 0);
	assert_int_equal(unsetenv("AWS_ENDPOINT_URL"), 0);
	assert_int_equal(unsetenv("AWS_ENDPOINT_URL_S3"), 0);
	assert_int_equal(unsetenv("AWS_CA_BUNDLE"), 0);
	assert_int_equal(unsetenv("AWS_ACCESS_KEY_ID"), 0);
	assert_int_equal(unsetenv("AWS_SECRET_ACCESS_KEY"), 0);
	assert_int_equal(unsetenv("AWS_SESSION_TOKEN"), 0);
}

static void
test_cluster_from_stronger_sources(void **state)
{
	const char text[] = "cluster = 1\nspool = /general\n"
						"[cluster 2]\nspool = /two\n"
						"[cluster 3]\nspool = /three\n";
	const char *const overrides[] = {"cluster=3", NULL};
	struct config *cfg;

	(void) state;
	write_file(text, strlen(text), 0644);
	cfg = load(0, overrides);
	assert_int_equal(cfg->cluster, 3);
	assert_string_equal(cfg->spool, "/three");
	config_free(cfg);

	assert_int_equal(setenv("WALSHIP_CLUSTER", "2", 1), 0);
	cfg = load(0, NULL);
	assert_int_equal(cfg->cluster, 2);
	assert_string_equal(cfg->spool, "/two");
	config_free(cfg);
	assert_int_equal(unsetenv("WALSHIP_CLUSTER"), 0);

	cfg = load(3, NULL);
	assert_int_equal(cfg->cluster, 1);
	assert_string_equal(cfg->spool, "/three");
	config_free(cfg);
}

static void
test_overrides_refused(void **state)
{
	static const char *const unknown[] = {"spoon=1", NULL};
	static const char *const bare[] = {"spool", NULL};
	static const char *const bad[] = {"spool=x", NULL};
	static const char *const secret[] = {"s3_session_token=hush", NULL};

	(void) state;
	write_file("", 0, 0644);
	load_refused(file, unknown, "command line: unknown key \"spoon\"");
	load_refused(file, bare, "command line: unknown key \"spool\"");
	load_refused(file, bad, "command line: invalid value \"x\" for spool");
	load_refused(file, secret,
				 "key \"s3_session_token\" cannot be given on the command "
				 "line");
}

/* A key that is gone is refused wherever it stands, with its successor. */
static void
test_keys_that_are_gone(void **state)
{
	static const char *const keys[][2] = {
		{"s3_metadata_v1", "AWS_EC2_METADATA_V1_DISABLED=false"},
		{"s3_tls_min", "s3_tls = 1.3"},
		{"s3_tls_verify", "s3_tls = unverified"}};

	(void) state;
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
	{
		const char *overrides[] = {NULL, NULL};
		struct config *cfg = NULL;
		struct err err;
		char text[64];

		(void) snprintf(text, sizeof text, "%s = on\n", keys[i][0]);
		assert_null(parse(text, strlen(text), 0, &err));
		assert_int_equal(err.status, ST_CONFIG);
		assert_non_null(strstr(err.message, keys[i][0]));
		assert_non_null(strstr(err.hint, keys[i][1]));

		(void) snprintf(text, sizeof text, "%s=on", keys[i][0]);
		overrides[0] = text;
		write_file("", 0, 0644);
		assert_int_equal(config_load(file, 0, overrides, &cfg, &err),
						 ST_CONFIG);
		assert_non_null(strstr(err.hint, keys[i][1]));
	}
	assert_int_equal(setenv("WALSHIP_S3_TLS_MIN", "1.3", 1), 0);
	load_refused(file, NULL,
				 "environment variable WALSHIP_S3_TLS_MIN: unknown key "
				 "\"s3_tls_min\"");
	assert_int_equal(unsetenv("WALSHIP_S3_TLS_MIN"), 0);
}

static void
test_where_the_file_is(void **state)
{
	struct config *cfg;

	(void) state;
	write_file("spool = /here\n", 14, 0644);
	assert_int_equal(setenv("WALSHIP_CONFIG", file, 1), 0);
	assert_int_equal(config_load(NULL, 0, NULL, &cfg, &(struct err){0}),
					 ST_OK);
	assert_string_equal(cfg->spool, "/here");
	config_free(cfg);

	assert_int_equal(setenv("WALSHIP_CONFIG", "/nonexistent/f", 1), 0);
	load_refused(NULL, NULL,
				 "could not open file \"/nonexistent/f\": No such "
				 "file or directory");
	assert_int_equal(unsetenv("WALSHIP_CONFIG"), 0);
	load_refused("/nonexistent/g", NULL,
				 "could not open file \"/nonexistent/g\": No such file or "
				 "directory");
	load_refused("/tmp", NULL, "file \"/tmp\" is not a regular file");
}

static void
test_who_may_read_a_secret(void **state)
{
	const char text[] = "[cluster 2]\ns3_secret_access_key = hush\n";
	char message[128];
	struct config *cfg;

	(void) state;
	(void) snprintf(message, sizeof message,
					"file \"%s\" has group or world access", file);
	write_file(text, strlen(text), 0600);
	config_free(load(0, NULL));
	write_file(text, strlen(text), 0604);
	load_refused(file, NULL, message);
	write_file(text, strlen(text), 0660);
	load_refused(file, NULL, message);
	write_file(text, strlen(text), 0640);
	if (geteuid() == 0)
		config_free(load(0, NULL));
	else
		load_refused(file, NULL, message);

	/* Without a secret, everybody may read it. */
	write_file("spool = /a\n", 11, 0666);
	cfg = load(0, NULL);
	config_free(cfg);

	if (geteuid() == 0)
	{
		write_file(text, strlen(text), 0600);
		assert_int_equal(chown(file, 65534, 65534), 0);
		(void) snprintf(message, sizeof message,
						"file \"%s\" is owned by neither this user nor root",
						file);
		load_refused(file, NULL, message);
		assert_int_equal(chown(file, 0, 0), 0);
	}
}

static void
require_refused(const char *text, const char *message)
{
	struct config *cfg = accepted(text);
	struct err err;

	assert_int_equal(config_require(cfg, &err), ST_CONFIG);
	assert_string_equal(err.message, message);
	config_free(cfg);
}

static void
test_require(void **state)
{
	struct config *cfg;
	struct err err;

	(void) state;
	require_refused("key_file = /k\n", "no repository is configured");
	require_refused("repository = file:///r\n", "no key is configured");
	require_refused("repository = file:///r\nkey_file = /k\n"
					"key_command = c\n",
					"both key_file and key_command are set");
	require_refused("repository = file:///r\nkey_file = /k\n"
					"s3_access_key_id = c\n",
					"s3_access_key_id and s3_secret_access_key must be set "
					"together");
	cfg = accepted("repository = file:///r\nkey_file = /k\n");
	assert_int_equal(config_require(cfg, &err), ST_OK);
	config_free(cfg);
	cfg = accepted("repository = file:///r\nencryption = none\n");
	assert_int_equal(config_require(cfg, &err), ST_OK);
	config_free(cfg);
}

struct seen
{
	size_t n;
	size_t secrets;
};

static void
visit(void *arg, const char *name, const char *value, const char *def,
	  const char *help)
{
	struct seen *seen = arg;

	seen->n++;
	assert_true(strlen(name) > 0 && strlen(help) > 0);
	assert_string_not_equal(value, "hush");
	if (strcmp(value, "***") == 0)
		seen->secrets++;
	else if (strcmp(name, "backup_workers") == 0)
		assert_string_equal(value, "9");
	else if (strcmp(name, "push_timeout") == 0)
		assert_string_equal(value, "90s");
	else if (strcmp(name, "cluster") == 0)
		assert_string_equal(value, "18446744073709551615");
	else if (strcmp(name, "archive_wait") == 0)
		assert_string_equal(value, "0s");
	else if (strcmp(name, "spool") == 0)
		assert_string_equal(value, "/a");
	else /* its default, said as a user would say it */
		assert_string_equal(value, def);
}

static void
test_visit(void **state)
{
	const char text[] = "s3_secret_access_key = hush\nspool = /a\n"
						"backup_workers = 9\npush_timeout = 90000ms\n"
						"cluster = 18446744073709551615\n"
						"archive_wait = 0ms\n";
	struct seen seen = {0};
	struct config *cfg;

	(void) state;
	write_file(text, strlen(text), 0600);
	cfg = load(0, NULL);
	config_visit(cfg, visit, &seen);
	config_free(cfg);
	assert_true(seen.n > 20 && seen.n < 50);
	assert_int_equal(seen.secrets, 1);
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
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_lines_that_mislead),
		cmocka_unit_test(test_values_that_are_wrong),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_secrets_are_not_repeated),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_sections_refused),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_aws_environment),
		cmocka_unit_test(test_cluster_from_stronger_sources),
		cmocka_unit_test(test_overrides_refused),
		cmocka_unit_test(test_keys_that_are_gone),
		cmocka_unit_test(test_where_the_file_is),
		cmocka_unit_test(test_who_may_read_a_secret),
		cmocka_unit_test(test_require),
		cmocka_unit_test(test_visit),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
