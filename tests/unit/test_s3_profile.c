/*
 * test_s3_profile.c - the grammar of AWS's shared files
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/s3_profile.h"

static char *text;
static struct s3_profile profile;
static struct err err;

static enum status
parse_bytes(bool config, const char *name, const char *source, size_t len)
{
	free(text);
	text = malloc(len + 1);
	assert_non_null(text);
	memcpy(text, source, len);
	text[len] = '\0';
	memset(&profile, 0, sizeof profile);
	return s3_profile_parse("f", text, len, config, name, &profile, &err);
}

static enum status
parse(bool config, const char *name, const char *source)
{
	return parse_bytes(config, name, source, strlen(source));
}

/* The key id of a profile; "-": the profile is not there, "": no such key. */
static const char *
key_id(bool config, const char *name, const char *source)
{
	const char *id;

	assert_int_equal(parse(config, name, source), ST_OK);
	id = profile.values[PROFILE_ACCESS_KEY_ID];
	if (!profile.found)
		return "-";
	return id != NULL ? id : "";
}

#define KEY(value) "aws_access_key_id = " value "\n"

static void
sections(void **state)
{
	(void) state;
	assert_string_equal(key_id(true, "a", "[profile a]\n" KEY("1")), "1");
	assert_string_equal(key_id(true, "a", "[a]\n" KEY("1")), "-");
	assert_string_equal(key_id(false, "a", "[a]\n" KEY("1")), "1");
	assert_string_equal(key_id(false, "a", "[profile a]\n" KEY("1")), "-");
	assert_string_equal(key_id(true, "default", "[default]\n" KEY("1")), "1");
	assert_string_equal(
		key_id(true, "default",
			   "[profile default]\n" KEY("1") "[default]\n" KEY("2")),
		"1");
	assert_string_equal(
		key_id(true, "a b", "[profile \"a b\"] ; [x]\n" KEY("1")), "1");
	assert_string_equal(key_id(true, "a", "[ profile\ta ]# c\n" KEY("1")),
						"1");
	assert_string_equal(key_id(true, "a", "[sso-session a]\n" KEY("1")), "-");
	assert_string_equal(key_id(true, "a", "[profilea]\n" KEY("1")), "-");
	assert_string_equal(key_id(true, "a", ""), "-");
	assert_string_equal(
		key_id(false, "a",
			   "[a]\n" KEY("1") "[b]\n" KEY("2") "[a]\naws_session_token=t\n"),
		"1");
	assert_string_equal(profile.values[PROFILE_SESSION_TOKEN], "t");
}

static void
settings(void **state)
{
	(void) state;
	assert_string_equal(
		key_id(false, "a", "[a]\nAWS_Access_Key_ID\t=\t1 2 \t # c\r\n"),
		"1 2");
	assert_string_equal(key_id(false, "a", "[a]\naws_access_key_id=1#2;3\n"),
						"1#2;3");
	assert_string_equal(key_id(false, "a", "[a]\naws_access_key_id=a=b"),
						"a=b");
	assert_string_equal(key_id(false, "a", "[a]\naws_access_key_id=\n"), "");
	assert_string_equal(
		key_id(false, "a", "[a]\naws_access_key_id= ; nothing\n"), "");
	assert_string_equal(key_id(false, "a",
							   "# c\n; c\n \t\n[a]\n  # c\nx = y\n" KEY("1")
								   KEY("2")),
						"2");
	assert_string_equal(key_id(false, "a", "\xEF\xBB\xBF[a]\n" KEY("1")), "1");
}

static void
indented_lines(void **state)
{
	(void) state;
	assert_string_equal(
		key_id(true, "a",
			   "[profile a]\ns3 =\n  aws_access_key_id = inner\n" KEY("1")),
		"1");
	assert_string_equal(
		key_id(true, "a",
			   "[profile a]\n" KEY("1") "s3 =\n"
										"\taws_access_key_id = inner\n"),
		"1");
	assert_int_equal(parse(true, "a",
						   "[profile a]\ncredential_process = x\n   y  z \n\n"
						   "\tw ; c\nrole_arn = r\n"),
					 ST_OK);
	assert_string_equal(profile.values[PROFILE_CREDENTIAL_PROCESS],
						"x\ny  z\nw");
	assert_string_equal(profile.values[PROFILE_ROLE_ARN], "r");
}

static void
malformed(void **state)
{
	static const char *const broken[] = {
		"[a]\nnothing", "[a]\n= x",  "[a", "[]",
		"[ ]",          "[a] words", "x",  "[a]\n  deep = 1",
	};

	(void) state;
	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
	{
		assert_int_equal(parse(false, "a", broken[i]), ST_CONFIG);
		assert_null(strstr(err.message, "nothing"));
	}
	assert_int_equal(parse_bytes(false, "a", "[a]\nx=1\0y", 9), ST_CONFIG);
	assert_string_equal(err.message, "file \"f\", line 2: malformed");

	/* What does not concern us may look as it likes. */
	assert_int_equal(parse(false, "a", "[b]\n  deep = 1\n[a]\n"), ST_OK);
}

static int
forget(void **state)
{
	(void) state;
	free(text);
	text = NULL;
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections),
		cmocka_unit_test(settings),
		cmocka_unit_test(indented_lines),
		cmocka_unit_test(malformed),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
