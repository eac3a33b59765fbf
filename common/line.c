/*
 * line.c - a text of bounded length, put together piece by piece
 */
#include "common/line.h"

#include <stdio.h>
#include <string.h>

void
line_put_bytes(struct line *line, const char *text, size_t len)
{
	if (len > sizeof line->text - 1 - line->len)
		len = sizeof line->text - 1 - line->len;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

void
line_put(struct line *line, const char *text)
{
	line_put_bytes(line, text, strlen(text));
}

/* The length of the valid UTF-8 sequence at s, or 0. */
static size_t
utf8_length(const char *text)
{
	const unsigned char *s = (const unsigned char *) text;
	size_t len = s[0] < 0x80   ? 1
				 : s[0] < 0xC2 ? 0
				 : s[0] < 0xE0 ? 2
				 : s[0] < 0xF0 ? 3
				 : s[0] < 0xF5 ? 4
							   : 0;

	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] >= 0xA0) ||
		(s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] >= 0x90))
		return 0;
	return len;
}

void
line_put_json(struct line *line, const char *text)
{
	line_put(line, "\"");
	while (*text != '\0')
	{
		size_t len = utf8_length(text);
		char escaped[8];

		if (len == 0)
		{
			line_put(line, "\\ufffd");
			text++;
			continue;
		}
		if ((unsigned char) *text < 0x20 || *text == '"' || *text == '\\' ||
			*text == 0x7f)
		{
			(void) snprintf(escaped, sizeof escaped, "\\u%04x",
							(unsigned) (unsigned char) *text);
			line_put(line, escaped);
		}
		else
			line_put_bytes(line, text, len);
		text += len;
	}
	line_put(line, "\"");
}
