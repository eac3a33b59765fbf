/*
 * test_config_credentials.c - key id, secret, token and profile are one
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/config.h"

#define CLUSTER UINT64_C(7301234567890123456)

static char file[] = "/tmp/walship-test-credentials-XXXXXX";

/* The file is closed to others, as one that holds secrets must be. */
static void
write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Key id, secret and token as loaded, "-" for none. */
static void
assert_credentials(const char *id, const char *secret, const char *token,
				   const char *profile)
{
	const char *expected[] = {id, secret, token, profile};
	const char *found[4];
	struct config *cfg;
	struct err err;

	assert_int_equal(config_load(file, CLUSTER, NULL, &cfg, &err), ST_OK);
	found[0] = cfg->s3_access_key_id;
	found[1] = cfg->s3_secret_access_key;
	found[2] = cfg->s3_session_token;
	found[3] = cfg->s3_profile;
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(found[i] != NULL ? found[i] : "-", expected[i]);
	config_free(cfg);
}

static void
test_credentials_replace_each_other(void **state)
{
	static const char general[] = "s3_access_key_id = fi\n"
								  "s3_secret_access_key = fs\n"
								  "s3_session_token = ft\n";
	static const char own[] = "s3_access_key_id = fi\n"
							  "s3_secret_access_key = fs\n"
							  "s3_session_token = ft\n"
							  "[cluster 7301234567890123456]\n"
							  "s3_secret_access_key = cs\n"
							  "s3_access_key_id = ci\n"
							  "[cluster 7301234567890123457]\n"
							  "s3_profile = other\n";

	(void) state;
	write_file(general);
	assert_credentials("fi", "fs", "ft", "-");
	assert_int_equal(setenv("WALSHIP_S3_ACCESS_KEY_ID", "ei", 1), 0);
	assert_int_equal(setenv("WALSHIP_S3_SECRET_ACCESS_KEY", "es", 1), 0);
	assert_credentials("ei", "es", "-", "-");
	assert_int_equal(unsetenv("WALSHIP_S3_ACCESS_KEY_ID"), 0);
	assert_int_equal(unsetenv("WALSHIP_S3_SECRET_ACCESS_KEY"), 0);
	assert_int_equal(setenv("WALSHIP_S3_PROFILE", "ep", 1), 0);
	assert_credentials("-", "-", "-", "ep");
	assert_int_equal(unsetenv("WALSHIP_S3_PROFILE"), 0);

	write_file(own);
	assert_credentials("ci", "cs", "-", "-");
	write_file("");
	assert_credentials("-", "-", "-", "-");
	assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "as", 1), 0);
	assert_credentials("-", "as", "-", "-");
	assert_int_equal(unsetenv("AWS_SECRET_ACCESS_KEY"), 0);
}

/* Both of one strength contradict each other. */
static void
test_both_are_refused(void **state)
{
	struct config *cfg;
	struct err err;

	(void) state;
	write_file("repository = s3://bucket\nencryption = none\n"
			   "s3_profile = p\ns3_access_key_id = i\n"
			   "s3_secret_access_key = s\n");
	assert_int_equal(config_load(file, 0, NULL, &cfg, &err), ST_OK);
	assert_int_equal(config_require(cfg, &err), ST_CONFIG);
	assert_string_equal(err.message,
						"both s3_profile and s3_access_key_id are set");
	config_free(cfg);
}

static void
test_a_profile_of_the_command_line(void **state)
{
	static const char *const overrides[] = {"s3_profile=o", NULL};
	struct config *cfg;
	struct err err;

	(void) state;
	write_file("s3_access_key_id = i\ns3_secret_access_key = s\n");
	assert_int_equal(config_load(file, 0, overrides, &cfg, &err), ST_OK);
	assert_string_equal(cfg->s3_profile, "o");
	assert_null(cfg->s3_access_key_id);
	assert_null(cfg->s3_secret_access_key);
	config_free(cfg);
}

/* Whether a core file would leave the page of that address out. */
static bool
is_left_out(const void *address)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	uintptr_t at = (uintptr_t) address;
	char line[512];
	bool inside = false;
	bool out = false;

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps) != NULL)
	{
		char *end;
		uintptr_t first = strtoul(line, &end, 16);

		if (*end == '-')
			inside = first <= at && at < strtoul(end + 1, NULL, 16);
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			out = strstr(line, " dd") != NULL;
	}
	assert_int_equal(fclose(maps), 0);
	return out;
}

static void
test_secrets_lie_apart(void **state)
{
	struct config *cfg;
	struct err err;

	(void) state;
	write_file("s3_access_key_id = i\ns3_secret_access_key = s\n"
			   "s3_session_token = t\n");
	assert_int_equal(config_load(file, 0, NULL, &cfg, &err), ST_OK);
	assert_true(is_left_out(cfg->s3_secret_access_key));
	assert_true(is_left_out(cfg->s3_session_token));
	assert_false(is_left_out(cfg->s3_access_key_id));
	config_free(cfg);
}

static int
make_file(void **state)
{
	int fd = mkstemp(file);

	(void) state;
	return fd >= 0 && close(fd) == 0 ? 0 : -1;
}

static int
remove_file(void **state)
{
	(void) state;
	return unlink(file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_credentials_replace_each_other),
		cmocka_unit_test(test_both_are_refused),
		cmocka_unit_test(test_a_profile_of_the_command_line),
		cmocka_unit_test(test_secrets_lie_apart),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
