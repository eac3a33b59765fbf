/*
 * cli.h - what all programs do the same way
 */
#ifndef COMMON_CLI_H
#define COMMON_CLI_H

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"

/*
 * Undoes what PostgreSQL leaves to its children (SIGINT, SIGALRM and SIGPIPE
 * ignored, see pgarch.c), ignores SIGPIPE and SIGXFSZ for ourselves, so that
 * writing fails instead, and has SIGINT, SIGTERM, SIGHUP and SIGQUIT set the
 * flag that cli_cancel returns.  Disables core dumps, since keys are in
 * memory, and opens /dev/null where a standard descriptor is closed.  The
 * first thing that a main does.
 */
extern void cli_signals(void);
extern const volatile sig_atomic_t *cli_cancel(void);

/*
 * Has SIGALRM set the same flag in ms from now (0: not any more).
 * cli_timed_out: it was that which set it.
 */
extern void cli_time_limit(int64_t ms);
extern bool cli_timed_out(void);

/* What is still to be told after a cancellation is not cancelled by it. */
extern void cli_cancel_clear(void);

/* Writes text to standard output, exiting with 1 if that fails. */
extern void cli_help(const char *text);

/* "program: message", a pointer to --help; returns the usage code 2. */
extern int
cli_usage(const char *program, const char *fmt, ...) ERR_PRINTF(2, 3);

/* Logs err as an error; returns the program's exit code for it. */
extern int cli_fail(const struct err *err);

/*
 * The options that every program and command takes:
 *
 *     --config FILE         the configuration file
 *     --cluster SYSID       the cluster, where none is at hand
 *     --set KEY=VALUE       a setting for this run, repeatable; no secrets
 *     --log-format FORMAT   text or json
 *     --log-level LEVEL     error, warning, info or debug
 *     --help, --version
 *
 * A command lists CLI_OPTIONS first in its table for getopt_long, begins its
 * string of short options with CLI_SHORT, and hands over what it does not
 * know itself:
 *
 *     cli_common_init(&common, "walship list", help);
 *     while ((opt = getopt_long(argc, argv, CLI_SHORT "j", options, NULL)) !=
 *            -1)
 *         switch (opt)
 *         {
 *             case 'j':
 *                 json = true;
 *                 break;
 *             default:
 *                 if ((code = cli_common_option(&common, opt, argv)) >= 0)
 *                     return code;
 *         }
 *
 * session.h then opens what the options say.
 */
#define CLI_SHORT         ":"
#define CLI_OVERRIDES_MAX 32

enum cli_option
{
	CLI_CONFIG = 0x1000,
	CLI_CLUSTER,
	CLI_SET,
	CLI_LOG_FORMAT,
	CLI_LOG_LEVEL,
	CLI_HELP,
	CLI_VERSION
};

/* clang-format off */
#define CLI_OPTIONS \
	{"config", required_argument, NULL, CLI_CONFIG}, \
	{"cluster", required_argument, NULL, CLI_CLUSTER}, \
	{"set", required_argument, NULL, CLI_SET}, \
	{"log-format", required_argument, NULL, CLI_LOG_FORMAT}, \
	{"log-level", required_argument, NULL, CLI_LOG_LEVEL}, \
	{"help", no_argument, NULL, CLI_HELP}, \
	{"version", no_argument, NULL, CLI_VERSION}
/* clang-format on */

/* The lines about these options, for a command's help text. */
#define CLI_OPTIONS_HELP                                               \
	"  --config FILE        configuration (default /etc/walship/"      \
	"walship.conf)\n"                                                  \
	"  --cluster SYSID      system identifier of the cluster\n"        \
	"  --set KEY=VALUE      a setting for this run, not for secrets\n" \
	"  --log-format FORMAT  text or json\n"                            \
	"  --log-level LEVEL    error, warning, info or debug\n"           \
	"  --help, --version    show this, or the version, and exit\n"

struct cli_common
{
	const char *program; /* "walship list", "wal-push" */
	const char *help;    /* what --help prints */
	const char *config;  /* NULL: not given */
	uint64_t cluster;    /* 0: not given */
	const char *overrides[CLI_OVERRIDES_MAX + 1]; /* for config_load */
	size_t noverrides;
};

/* Both strings are borrowed for as long as common is used. */
extern void cli_common_init(struct cli_common *common, const char *program,
							const char *help);

/*
 * Takes opt if it is one of CLI_OPTIONS, and explains the mistakes that
 * getopt_long reports ('?' and ':').  Returns -1 to go on with the next
 * option, else the code to exit with at once.
 */
extern int cli_common_option(struct cli_common *common, int opt, char **argv);

/* Adds a setting for this run, "key=value", borrowed.  Returns as above. */
extern int cli_add_override(struct cli_common *common, const char *setting);

/* Checked parsers; false on any trailing byte or overflow. */
extern bool parse_uint64(const char *text, uint64_t max, uint64_t *out);
extern bool parse_duration_ms(const char *text, int64_t *out);
extern bool parse_size_bytes(const char *text, int64_t *out);
extern bool parse_system_identifier(const char *text, uint64_t *out);

/* UTC, "2026-11-21T01:02:03Z"; out has 21 bytes; returns out. */
extern char *time_format(int64_t time_s, char *out);

/* Sizes for people: "1.5 GB"; out has 16 bytes; returns out. */
extern char *size_format(uint64_t bytes, char *out);

#endif
