/*
 * log.c - lines on standard error
 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/line.h"

/* Set once, before there are threads. */
static const char *program_name = "walship";
static enum config_log_format line_format = LOG_FORMAT_TEXT;
static enum config_log_level threshold = LOG_LEVEL_INFO;

static const char *const level_upper[] = {"ERROR", "WARNING", "INFO", "DEBUG"};
static const char *const level_lower[] = {"error", "warning", "info", "debug"};

void
log_init(const char *program, enum config_log_format format,
		 enum config_log_level level)
{
	program_name = program;
	line_format = format;
	threshold = level == LOG_LEVEL_AUTO ? LOG_LEVEL_WARNING : level;
}

/*
 * Text that may come from a server or a file name: control characters would
 * break the line, or drive the reader's terminal.
 */
static void
put_plain(struct line *line, const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text == '\n' || *text == '\r' || *text == '\t')
			line_put(line, " ");
		else if ((unsigned char) *text < 0x20 || *text == 0x7f)
			line_put(line, "?");
		else
			line_put_bytes(line, text, 1);
	}
}

static void
put_json_member(struct line *line, const char *name, const char *value)
{
	if (value[0] == '\0')
		return;
	line_put(line, ", \"");
	line_put(line, name);
	line_put(line, "\": ");
	line_put_json(line, value);
}

static void
format_json(struct line *line, enum config_log_level level,
			const struct err *err)
{
	struct timespec now;
	struct tm tm;
	char when[32] = "";
	char text[96];

	clock_gettime(CLOCK_REALTIME, &now);
	if (gmtime_r(&now.tv_sec, &tm) != NULL)
		(void) strftime(when, sizeof when, "%FT%T", &tm);
	(void) snprintf(text, sizeof text, "{\"time\": \"%s.%03dZ\", \"pid\": %ld",
					when, (int) (now.tv_nsec / 1000000), (long) getpid());
	line_put(line, text);
	put_json_member(line, "level", level_lower[level]);
	put_json_member(line, "program", program_name);
	if (err->status != ST_OK)
		put_json_member(line, "status", status_name(err->status));
	put_json_member(line, "message", err->message);
	put_json_member(line, "detail", err->detail);
	put_json_member(line, "hint", err->hint);
	line_put(line, "}");
}

static void
format_text(struct line *line, enum config_log_level level,
			const struct err *err)
{
	bool terminal = isatty(STDERR_FILENO) == 1;
	const char *open = " (";
	const struct
	{
		const char *label;
		const char *text;
	} more[] = {{"DETAIL: ", err->detail}, {"HINT: ", err->hint}};

	line_put(line, program_name);
	line_put(line, ": ");
	line_put(line, level_upper[level]);
	line_put(line, ": ");
	put_plain(line, err->message);
	for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
	{
		if (more[i].text[0] == '\0')
			continue;
		line_put(line, terminal ? "\n" : open);
		line_put(line, more[i].label);
		put_plain(line, more[i].text);
		open = " ";
	}
	if (!terminal && open[1] == '\0')
		line_put(line, ")");
}

static void
emit(enum config_log_level level, const struct err *err)
{
	int saved_errno = errno;
	struct line line;
	size_t done = 0;

	line.len = 0;
	if (line_format == LOG_FORMAT_JSON)
		format_json(&line, level, err);
	else
		format_text(&line, level, err);
	line.text[line.len++] = '\n'; /* there is room left for it */

	while (done < line.len)
	{
		ssize_t n = write(STDERR_FILENO, line.text + done, line.len - done);

		if (n > 0)
			done += (size_t) n;
		else if (n == 0 || errno != EINTR)
			break; /* nobody is left to be told */
	}
	errno = saved_errno;
}

static void ERR_PRINTF(2, 0)
	emit_formatted(enum config_log_level level, const char *fmt, va_list args)
{
	struct err err = {.status = ST_OK};

	if (level > threshold)
		return;
	if (vsnprintf(err.message, sizeof err.message, fmt, args) < 0)
		err.message[0] = '\0';
	emit(level, &err);
}

#define DEFINE_LOG_FUNCTION(name, level)    \
	void name(const char *fmt, ...)         \
	{                                       \
		va_list args;                       \
                                            \
		va_start(args, fmt);                \
		emit_formatted((level), fmt, args); \
		va_end(args);                       \
	}

DEFINE_LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
DEFINE_LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
DEFINE_LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
DEFINE_LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)

void
log_err(const struct err *err)
{
	emit(LOG_LEVEL_ERROR, err);
}

void
log_err_warning(const struct err *err)
{
	if (threshold >= LOG_LEVEL_WARNING)
		emit(LOG_LEVEL_WARNING, err);
}
