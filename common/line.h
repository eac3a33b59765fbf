/*
 * line.h - a text of bounded length, put together piece by piece
 *
 * What does not fit is left out; one byte always stays free, for a newline.
 * Pure: on the stack, without memory of its own.
 */
#ifndef COMMON_LINE_H
#define COMMON_LINE_H

#include <stddef.h>

/* Room for an err's message, detail and hint with every byte escaped. */
#define LINE_MAX_BYTES 12288

struct line
{
	size_t len; /* 0 at first */
	char text[LINE_MAX_BYTES];
};

extern void line_put_bytes(struct line *line, const char *text, size_t len);
extern void line_put(struct line *line, const char *text);

/* A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
extern void line_put_json(struct line *line, const char *text);

#endif
