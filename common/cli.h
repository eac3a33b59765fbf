/*
 * cli.h - what all programs do the same way
 */
#ifndef COMMON_CLI_H
#define COMMON_CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"

/*
 * Undoes what PostgreSQL leaves to its children (SIGINT, SIGALRM and SIGPIPE
 * ignored, see pgarch.c), ignores SIGPIPE for ourselves, and has SIGINT,
 * SIGTERM, SIGHUP and SIGQUIT set the flag that cli_cancel returns.  Disables
 * core dumps, since keys are in memory.
 */
extern void cli_signals(void);
extern const volatile sig_atomic_t *cli_cancel(void);

/* Writes text to standard output, exiting with 1 if that fails. */
extern void cli_help(const char *text);

/* "program: message", a pointer to --help; returns the usage code 2. */
extern int
cli_usage(const char *program, const char *fmt, ...) ERR_PRINTF(2, 3);

/* Checked parsers; false on any trailing byte or overflow. */
extern bool parse_uint64(const char *text, uint64_t max, uint64_t *out);
extern bool parse_duration_ms(const char *text, int64_t *out);
extern bool parse_system_identifier(const char *text, uint64_t *out);

/* UTC, "2026-11-21T01:02:03Z"; out has 21 bytes; returns out. */
extern char *time_format(int64_t time_s, char *out);

/* Sizes for people: "1.5 GB"; out has 16 bytes; returns out. */
extern char *size_format(uint64_t bytes, char *out);

#endif
