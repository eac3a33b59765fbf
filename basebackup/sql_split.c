/*
 * sql_split.c - the statements of a file of SQL
 */
#include "basebackup/sql_split.h"

#include <stdbool.h>
#include <string.h>

struct cursor
{
	const char *text;
	size_t len;
	size_t at;
	unsigned line;
};

static char
peek(const struct cursor *c, size_t ahead)
{
	if (c->len - c->at <= ahead)
		return '\0';
	return c->text[c->at + ahead];
}

static void
advance(struct cursor *c, size_t n)
{
	for (; n > 0 && c->at < c->len; n--)
		if (c->text[c->at++] == '\n')
			c->line++;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

/* Of an identifier, or of a dollar quote's tag. */
static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		   (c >= '0' && c <= '9') || c == '_' || (c & 0x80) != 0;
}

static enum status
unended(const char *what, unsigned line, struct err *err)
{
	return err_set(err, ST_CONFIG, "line %u: %s without an end", line, what);
}

/* A quoted string, in which a doubled quote stands for one. */
static enum status
skip_quoted(struct cursor *c, char quote, bool escapes, struct err *err)
{
	unsigned line = c->line;

	for (advance(c, 1); c->at < c->len; advance(c, 1))
		if ((escapes && peek(c, 0) == '\\') ||
			(peek(c, 0) == quote && peek(c, 1) == quote))
			advance(c, 1);
		else if (peek(c, 0) == quote)
		{
			advance(c, 1);
			return ST_OK;
		}
	return unended("a quote", line, err);
}

/* Comments of this kind nest. */
static enum status
skip_block(struct cursor *c, struct err *err)
{
	unsigned line = c->line, depth = 0;

	do
	{
		bool begin = peek(c, 0) == '/' && peek(c, 1) == '*';
		bool end = peek(c, 0) == '*' && peek(c, 1) == '/';

		depth += begin ? 1 : 0;
		depth -= end ? 1 : 0;
		advance(c, begin || end ? 2 : 1);
	} while (depth > 0 && c->at < c->len);
	return depth == 0 ? ST_OK : unended("a comment", line, err);
}

static void
skip_line(struct cursor *c)
{
	while (c->at < c->len && peek(c, 0) != '\n')
		advance(c, 1);
}

/* $tag$; 0: it is none. */
static size_t
dollar_tag(const struct cursor *c)
{
	size_t n = 1;

	if (peek(c, 1) >= '0' && peek(c, 1) <= '9')
		return 0;
	while (is_word(peek(c, n)))
		n++;
	return peek(c, n) == '$' ? n + 1 : 0;
}

static enum status
skip_dollar(struct cursor *c, size_t tag, struct err *err)
{
	const char *text = c->text + c->at;
	const char *end = memmem(text + tag, c->len - c->at - tag, text, tag);

	if (end == NULL)
		return unended("a quote", c->line, err);
	advance(c, (size_t) (end - text) + tag);
	return ST_OK;
}

/* Anything that is not the statement's end. */
static enum status
skip_one(struct cursor *c, struct err *err)
{
	char before = '\0', first = peek(c, 0);
	size_t tag;

	if (c->at > 0)
		before = c->text[c->at - 1];
	if (first == '\'')
	{
		bool escapes = (before == 'e' || before == 'E') &&
					   (c->at < 2 || !is_word(c->text[c->at - 2]));

		return skip_quoted(c, '\'', escapes, err);
	}
	if (first == '"')
		return skip_quoted(c, '"', false, err);
	if (first == '/' && peek(c, 1) == '*')
		return skip_block(c, err);
	if (first == '-' && peek(c, 1) == '-')
		skip_line(c);
	else if (first == '$' && !is_word(before) && (tag = dollar_tag(c)) > 0)
		return skip_dollar(c, tag, err);
	else
		advance(c, 1);
	return ST_OK;
}

/* --- between statements -------------------------------------------------- */

/* From at to the end of the line, trimmed. */
static size_t
trim_line(const struct cursor *c, size_t *at)
{
	size_t end;

	while (*at < c->len && (c->text[*at] == ' ' || c->text[*at] == '\t' ||
							c->text[*at] == '-'))
		(*at)++;
	end = *at;
	while (end < c->len && c->text[end] != '\n')
		end++;
	while (end > *at && is_space(c->text[end - 1]))
		end--;
	return end - *at;
}

/* A name as psql takes it: quoted, or up to the first blank or semicolon. */
static bool
trim_name(const char *text, size_t *at, size_t *len)
{
	const char *name = text + *at;

	while (*len > 0 && (name[*len - 1] == ';' || is_space(name[*len - 1])))
		(*len)--;
	if (*len > 2 && name[0] == '"' && name[*len - 1] == '"')
	{
		(*at)++;
		*len -= 2;
		return memchr(name + 1, '"', *len) == NULL;
	}
	return *len > 0 && memchr(name, ' ', *len) == NULL &&
		   memchr(name, '"', *len) == NULL;
}

static enum status
take_connect(struct cursor *c, struct sql_statement *out, struct err *err)
{
	static const char *const words[] = {"\\connect", "\\c"};

	for (size_t i = 0; i < 2; i++)
	{
		size_t n = strlen(words[i]);

		if (c->len - c->at <= n || memcmp(c->text + c->at, words[i], n) != 0 ||
			(c->text[c->at + n] != ' ' && c->text[c->at + n] != '\t'))
			continue;
		out->database_at = c->at + n;
		out->database_len = trim_line(c, &out->database_at);
		if (!trim_name(c->text, &out->database_at, &out->database_len))
			break;
		skip_line(c);
		return ST_OK;
	}
	return err_set(err, ST_CONFIG,
				   "line %u: of psql's commands only \\connect DATABASE is "
				   "known",
				   c->line);
}

/* Up to the first character of a statement. */
static enum status
find_begin(struct cursor *c, struct sql_statement *out, struct err *err)
{
	enum status st = ST_OK;
	unsigned named = 0;

	out->name_len = 0;
	while (st == ST_OK && c->at < c->len)
	{
		char first = peek(c, 0);

		if (is_space(first) || first == ';')
			advance(c, 1);
		else if (first == '-' && peek(c, 1) == '-')
		{
			named = c->line;
			out->name_at = c->at;
			out->name_len = trim_line(c, &out->name_at);
			skip_line(c);
		}
		else if (first == '/' && peek(c, 1) == '*')
			st = skip_block(c, err);
		else if (first == '\\')
			st = take_connect(c, out, err);
		else
		{
			if (named + 1 != c->line)
				out->name_len = 0;
			return ST_OK;
		}
	}
	return st != ST_OK ? st : err_set(err, ST_MISSING, "no more statements");
}

enum status
sql_split(const char *text, size_t len, size_t *at, unsigned *line,
		  struct sql_statement *out, struct err *err)
{
	struct cursor c = {.text = text, .len = len, .at = *at, .line = *line};
	enum status st = find_begin(&c, out, err);
	size_t end;

	if (st != ST_OK)
		return st;
	out->line = c.line;
	out->at = c.at;
	while (st == ST_OK && c.at < c.len && peek(&c, 0) != ';')
		st = skip_one(&c, err);
	if (st != ST_OK)
		return st;
	end = c.at;
	while (end > out->at && is_space(text[end - 1]))
		end--;
	out->len = end - out->at;
	advance(&c, 1);
	*at = c.at;
	*line = c.line;
	return ST_OK;
}
