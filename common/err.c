/*
 * err.c - the outcome of a fallible function, and its explanation
 */
#include "common/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct
{
	const char *name;
	int exit_code;
} statuses[] = {
	[ST_OK] = {"ok", 0},
	[ST_MISSING] = {"missing", 1},
	[ST_EXISTS] = {"exists", 1},
	[ST_DIFFERS] = {"differs", 1},
	[ST_RETRY] = {"retry", 1},
	[ST_CORRUPT] = {"corrupt", 1},
	[ST_CONFIG] = {"config", 2},
	[ST_AUTH] = {"auth", 1},
	[ST_IO] = {"io", 1},
	[ST_SERVER] = {"server", 1},
	[ST_CANCELLED] = {"cancelled", 1},
	[ST_DEADLINE] = {"deadline", 1},
	[ST_NOMEM] = {"nomem", 1},
};

#define STATUSES (sizeof statuses / sizeof statuses[0])

/*
 * Formats into a buffer of our own first: the arguments may point into the
 * very err that is being written.
 */
static void ERR_PRINTF(3, 0)
	format_text(char *out, size_t room, const char *fmt, va_list args)
{
	char text[ERR_MESSAGE_MAX];

	if (room > sizeof text)
		room = sizeof text;
	if (vsnprintf(text, room, fmt, args) < 0)
		text[0] = '\0';
	memcpy(out, text, strlen(text) + 1);
}

/* Appends as much of text as fits. */
static void
append_text(char *out, size_t room, const char *text)
{
	size_t len = strlen(out);
	size_t more = strlen(text);

	if (more > room - 1 - len)
		more = room - 1 - len;
	memcpy(out + len, text, more);
	out[len + more] = '\0';
}

static void
reset(struct err *err, enum status status)
{
	err->status = status;
	err->detail[0] = '\0';
	err->hint[0] = '\0';
	err->retry_after_ms = 0;
}

enum status
err_set(struct err *err, enum status status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	format_text(err->message, sizeof err->message, fmt, args);
	va_end(args);
	reset(err, status);
	return status;
}

enum status
err_set_errno(struct err *err, enum status status, int errno_value,
			  const char *fmt, ...)
{
	char reason[128];
	va_list args;

	va_start(args, fmt);
	format_text(err->message, sizeof err->message, fmt, args);
	va_end(args);
	reset(err, status);

	append_text(err->message, sizeof err->message, ": ");
	append_text(err->message, sizeof err->message,
				strerror_r(errno_value, reason, sizeof reason));
	return status;
}

enum status
err_detail(struct err *err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	format_text(err->detail, sizeof err->detail, fmt, args);
	va_end(args);
	return err->status;
}

enum status
err_hint(struct err *err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	format_text(err->hint, sizeof err->hint, fmt, args);
	va_end(args);
	return err->status;
}

enum status
err_context(struct err *err, const char *fmt, ...)
{
	char text[ERR_MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	format_text(text, sizeof text, fmt, args);
	va_end(args);

	append_text(text, sizeof text, ": ");
	append_text(text, sizeof text, err->message);
	memcpy(err->message, text, sizeof text);
	return err->status;
}

const char *
status_name(enum status status)
{
	return (size_t) status < STATUSES ? statuses[status].name : "unknown";
}

int
status_exit_code(enum status status)
{
	return (size_t) status < STATUSES ? statuses[status].exit_code : 1;
}
