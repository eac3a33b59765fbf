/*
 * test_cli.c - options, parsers and formats that all programs share
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/cli.h"

static void
test_parse_uint64(void **state)
{
	uint64_t v = 5;

	(void) state;
	assert_true(parse_uint64("0", 0, &v));
	assert_int_equal(v, 0);
	assert_true(parse_uint64("18446744073709551615", UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_true(parse_uint64("007", 7, &v));
	assert_int_equal(v, 7);
	assert_false(parse_uint64("18446744073709551616", UINT64_MAX, &v));
	assert_false(parse_uint64("99999999999999999999999", UINT64_MAX, &v));
	assert_false(parse_uint64("8", 7, &v));
	assert_false(parse_uint64("10", 9, &v));
	assert_false(parse_uint64("1", 0, &v));
	assert_false(parse_uint64("", 9, &v));
	assert_false(parse_uint64("-1", 9, &v));
	assert_false(parse_uint64("+1", 9, &v));
	assert_false(parse_uint64(" 1", 9, &v));
	assert_false(parse_uint64("1 ", 9, &v));
	assert_false(parse_uint64("0x1", 9, &v));
	assert_int_equal(v, 7);
}

static void
test_parse_duration(void **state)
{
	int64_t v = 5;

	(void) state;
	assert_true(parse_duration_ms("500ms", &v));
	assert_int_equal(v, 500);
	assert_true(parse_duration_ms("30s", &v));
	assert_int_equal(v, 30000);
	assert_true(parse_duration_ms("5 min", &v));
	assert_int_equal(v, 300000);
	assert_true(parse_duration_ms("1h", &v));
	assert_int_equal(v, 3600000);
	assert_true(parse_duration_ms("7d", &v));
	assert_int_equal(v, 604800000);
	assert_true(parse_duration_ms("9223372036854775807ms", &v));
	assert_true(v == INT64_MAX);
	v = 7;
	assert_false(parse_duration_ms("9223372036854775808ms", &v));
	assert_false(parse_duration_ms("9223372036854775s999", &v));
	assert_false(parse_duration_ms("9223372036854776s", &v));
	assert_false(parse_duration_ms("111111111111111111111111111s", &v));
	assert_false(parse_duration_ms("", &v));
	assert_false(parse_duration_ms("s", &v));
	assert_false(parse_duration_ms("0", &v));
	assert_false(parse_duration_ms("10", &v));
	assert_false(parse_duration_ms("-1s", &v));
	assert_false(parse_duration_ms("1.5h", &v));
	assert_false(parse_duration_ms("1h30min", &v));
	assert_false(parse_duration_ms("1S", &v));
	assert_false(parse_duration_ms("1s ", &v));
	assert_int_equal(v, 7);
}

static void
test_parse_size(void **state)
{
	int64_t v = 5;

	(void) state;
	assert_true(parse_size_bytes("1kB", &v));
	assert_int_equal(v, 1024);
	assert_true(parse_size_bytes("32 MB", &v));
	assert_int_equal(v, INT64_C(33554432));
	assert_true(parse_size_bytes("2GB", &v));
	assert_int_equal(v, INT64_C(2147483648));
	assert_true(parse_size_bytes("8388607TB", &v));
	v = 7;
	assert_false(parse_size_bytes("8388608TB", &v));
	assert_false(parse_size_bytes("32", &v));
	assert_false(parse_size_bytes("32mb", &v));
	assert_false(parse_size_bytes("MB", &v));
	assert_false(parse_size_bytes("", &v));
	assert_int_equal(v, 7);
}

static void
test_parse_system_identifier(void **state)
{
	uint64_t v = 5;

	(void) state;
	assert_true(parse_system_identifier("7301234567890123456", &v));
	assert_true(v == UINT64_C(7301234567890123456));
	assert_false(parse_system_identifier("0", &v));
	assert_false(parse_system_identifier("01", &v));
	assert_false(parse_system_identifier("", &v));
	assert_false(parse_system_identifier("18446744073709551616", &v));
}

static void
test_time_format(void **state)
{
	char out[21];

	(void) state;
	assert_string_equal(time_format(0, out), "1970-01-01T00:00:00Z");
	assert_string_equal(time_format(1795222923, out), "2026-11-21T01:02:03Z");
	assert_string_equal(time_format(-1, out), "1969-12-31T23:59:59Z");
	assert_string_equal(time_format(INT64_MAX, out), "9999-12-31T23:59:59Z");
	assert_string_equal(time_format(INT64_MIN, out), "0001-01-01T00:00:00Z");
}

static void
test_size_format(void **state)
{
	char out[16];

	(void) state;
	assert_string_equal(size_format(0, out), "0 bytes");
	assert_string_equal(size_format(1023, out), "1023 bytes");
	assert_string_equal(size_format(1024, out), "1.0 kB");
	assert_string_equal(size_format(1536, out), "1.5 kB");
	assert_string_equal(size_format(1048575, out), "1.0 MB");
	assert_string_equal(size_format(UINT64_C(3) << 29, out), "1.5 GB");
	assert_string_equal(size_format(UINT64_MAX, out), "16.0 EB");
}

/* Runs the options through as a command does; returns its exit code or -1. */
static int
run(struct cli_common *common, bool *json, char *const *words)
{
	static const struct option options[] = {
		CLI_OPTIONS, {"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	char *argv[20];
	int argc = 0;
	int opt;

	for (; words[argc] != NULL; argc++)
		argv[argc] = words[argc];
	argv[argc] = NULL;
	optind = 0; /* start afresh */
	cli_common_init(common, "walship test", "help\n");
	while ((opt = getopt_long(argc, argv, CLI_SHORT "j", options, NULL)) != -1)
	{
		int code;

		if (opt == 'j')
		{
			*json = true;
			continue;
		}
		code = cli_common_option(common, opt, argv);
		if (code >= 0)
			return code;
	}
	return -1;
}

#define WORDS(...)                          \
	(char *const[])                         \
	{                                       \
		(char[]){"test"}, __VA_ARGS__, NULL \
	}
#define W(text) \
	(char[])    \
	{           \
		text    \
	}

static void
test_options(void **state)
{
	struct cli_common c;
	bool json = false;

	(void) state;
	assert_int_equal(
		run(&c, &json,
			WORDS(W("--config"), W("f"), W("--cluster=12"), W("--set"),
				  W("spool=/a"), W("-j"), W("--log-format=json"),
				  W("--log-level"), W("debug"), W("operand"))),
		-1);
	assert_true(json);
	assert_string_equal(c.config, "f");
	assert_int_equal(c.cluster, 12);
	assert_int_equal(c.noverrides, 3);
	assert_string_equal(c.overrides[0], "spool=/a");
	assert_string_equal(c.overrides[1], "log_format=json");
	assert_string_equal(c.overrides[2], "log_level=debug");
	assert_null(c.overrides[3]);
}

static void
test_options_refused(void **state)
{
	struct cli_common c;
	bool json = false;

	(void) state;
	assert_int_equal(run(&c, &json, WORDS(W("--cluster=0"))), 2);
	assert_int_equal(run(&c, &json, WORDS(W("--cluster=x"))), 2);
	assert_int_equal(run(&c, &json, WORDS(W("--set=spool"))), 2);
	assert_int_equal(run(&c, &json, WORDS(W("--log-format=xml"))), 2);
	assert_int_equal(run(&c, &json, WORDS(W("--log-level=loud"))), 2);
	assert_int_equal(run(&c, &json, WORDS(W("--config"))), 2);
	assert_int_equal(run(&c, &json, WORDS(W("--json=1"))), 2);
	assert_int_equal(run(&c, &json, WORDS(W("--unknown=1"))), 2);
	assert_int_equal(run(&c, &json, WORDS(W("-x"))), 2);
	assert_int_equal(run(&c, &json, WORDS(W("--help"))), 0);
	assert_int_equal(run(&c, &json, WORDS(W("--version"))), 0);
}

static void
test_too_many_overrides(void **state)
{
	struct cli_common c;
	char word[] = "spool=/a";

	(void) state;
	cli_common_init(&c, "walship test", "help\n");
	optarg = word;
	for (size_t i = 0; i < CLI_OVERRIDES_MAX; i++)
		assert_int_equal(cli_common_option(&c, CLI_SET, NULL), -1);
	assert_int_equal(cli_common_option(&c, CLI_SET, NULL), 2);
	assert_int_equal(c.noverrides, CLI_OVERRIDES_MAX);
	assert_null(c.overrides[CLI_OVERRIDES_MAX]);
}

static void
test_signals(void **state)
{
	struct rlimit limit;
	struct sigaction action;

	(void) state;
	assert_true(signal(SIGINT, SIG_IGN) != SIG_ERR);
	assert_true(signal(SIGALRM, SIG_IGN) != SIG_ERR);
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	assert_true(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
	assert_int_equal(close(STDIN_FILENO), 0);
	cli_signals();

	/* A closed standard descriptor is open again. */
	assert_true(dup(STDIN_FILENO) > STDERR_FILENO);
	assert_int_equal(sigaction(SIGALRM, NULL, &action), 0);
	assert_true(action.sa_handler == SIG_DFL);
	assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
	assert_true(action.sa_handler == SIG_IGN);
	assert_int_equal(sigaction(SIGXFSZ, NULL, &action), 0);
	assert_true(action.sa_handler == SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
	assert_int_equal(limit.rlim_cur, 0);
	assert_int_equal(prctl(PR_GET_DUMPABLE), 0);

	assert_int_equal(*cli_cancel(), 0);
	assert_int_equal(raise(SIGINT), 0);
	assert_int_equal(*cli_cancel(), SIGINT);
	assert_int_equal(raise(SIGTERM), 0);
	assert_int_equal(*cli_cancel(), SIGTERM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_uint64),
		cmocka_unit_test(test_parse_duration),
		cmocka_unit_test(test_parse_size),
		cmocka_unit_test(test_parse_system_identifier),
		cmocka_unit_test(test_time_format),
		cmocka_unit_test(test_size_format),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_options_refused),
		cmocka_unit_test(test_too_many_overrides),
		cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
