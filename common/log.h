/*
 * log.h - lines on standard error
 *
 * One line per message, written with a single write(2) so that lines of
 * several processes do not mix.  Text: "program: LEVEL: message", then
 * DETAIL and HINT as lines of their own on a terminal, in parentheses on the
 * same line otherwise, so that an archive_command's failure is one line of
 * the server's log.  JSON: one object per line with time, level, program,
 * pid, status, message, detail, hint.  Thread-safe.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/config.h"
#include "common/err.h"

/* program is borrowed for ever (a literal).  Before this: text, INFO. */
extern void log_init(const char *program, enum config_log_format format,
					 enum config_log_level level);

extern void log_debug(const char *fmt, ...) ERR_PRINTF(1, 2);
extern void log_info(const char *fmt, ...) ERR_PRINTF(1, 2);
extern void log_warning(const char *fmt, ...) ERR_PRINTF(1, 2);
extern void log_error(const char *fmt, ...) ERR_PRINTF(1, 2);

/* The whole of an err, as an error or as a warning. */
extern void log_err(const struct err *err);
extern void log_err_warning(const struct err *err);

#endif
