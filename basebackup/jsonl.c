/*
 * jsonl.c - lines of JSON, one flat object each
 *
 * While a line is parsed, its strings and numbers lie in two vectors that may
 * move; members hold offsets into them, kept in "text_at" and "numbers_at",
 * which become pointers when the line is complete.
 */
#include "basebackup/jsonl.h"

#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "basebackup/json.h"

#define ARENA_INITIAL 4096

struct jsonl_parser
{
	yajl_handle yajl;
	jsonl_sink sink;
	void *arg;
	const char *why; /* of a cancelled parse */
	enum status status;
	bool failed;

	unsigned depth;   /* open maps and arrays */
	bool complete;    /* this line's object has ended */
	size_t line_len;  /* bytes of this line so far */
	size_t inner_len; /* numbers in the inner array so far */

	struct jsonl_member *member; /* that values belong to; NULL: none */
	size_t text_at[JSONL_MEMBERS_MAX];
	size_t name_at[JSONL_MEMBERS_MAX];
	size_t numbers_at[JSONL_MEMBERS_MAX];

	char *arena;
	size_t arena_used, arena_size;
	int64_t *numbers;
	size_t numbers_used, numbers_size;

	struct jsonl_line line;
};

static int
refuse(struct jsonl_parser *p, const char *why)
{
	p->status = ST_CORRUPT;
	p->why = why;
	return 0;
}

static int
refuse_nomem(struct jsonl_parser *p)
{
	p->status = ST_NOMEM;
	p->why = "out of memory";
	return 0;
}

static int
arena_add(struct jsonl_parser *p, const void *text, size_t len, size_t *at)
{
	if (memchr(text, 0, len) != NULL)
		return refuse(p, "a string holds a zero byte");
	/* yajl takes longer forms of a character than there are. */
	if (!utf8_valid(text, len))
		return refuse(p, "a string is not UTF-8");
	if (p->arena_size - p->arena_used < len + 1)
	{
		size_t size = p->arena_size;
		char *grown;

		while (size - p->arena_used < len + 1)
			size *= 2;
		grown = realloc(p->arena, size);
		if (grown == NULL)
			return refuse_nomem(p);
		p->arena = grown;
		p->arena_size = size;
	}
	*at = p->arena_used;
	memcpy(p->arena + p->arena_used, text, len);
	p->arena[p->arena_used + len] = '\0';
	p->arena_used += len + 1;
	return 1;
}

static int
numbers_add(struct jsonl_parser *p, int64_t value)
{
	if (p->numbers_used == JSONL_NUMBERS_MAX)
		return refuse(p, "too many numbers");
	if (p->numbers_used == p->numbers_size)
	{
		size_t size = p->numbers_size * 2;
		int64_t *grown = realloc(p->numbers, size * sizeof(*grown));

		if (grown == NULL)
			return refuse_nomem(p);
		p->numbers = grown;
		p->numbers_size = size;
	}
	p->numbers[p->numbers_used++] = value;
	return 1;
}

static size_t
member_index(const struct jsonl_parser *p)
{
	return (size_t) (p->member - p->line.members);
}

/* A scalar at the object's own level. */
static int
set_scalar(struct jsonl_parser *p, enum jsonl_type type, int64_t number)
{
	p->member->type = type;
	p->member->number = number;
	p->member = NULL;
	return 1;
}

/* A value within an array that does not fit what was seen before. */
static int
set_other(struct jsonl_parser *p)
{
	p->member->type = JSONL_OTHER;
	return 1;
}

static int
on_scalar(struct jsonl_parser *p, enum jsonl_type type, int64_t number)
{
	if (p->depth == 0)
		return refuse(p, "it is not an object");
	if (p->depth == 1)
		return set_scalar(p, type, number);
	return set_other(p);
}

static int
on_null(void *ctx)
{
	return on_scalar(ctx, JSONL_NULL, 0);
}

static int
on_boolean(void *ctx, int value)
{
	return on_scalar(ctx, JSONL_BOOLEAN, value);
}

static int
on_double(void *ctx, double value)
{
	(void) value;
	return on_scalar(ctx, JSONL_OTHER, 0);
}

static int
on_integer(void *ctx, long long value)
{
	struct jsonl_parser *p = ctx;

	if (p->depth < 2)
		return on_scalar(p, JSONL_INTEGER, value);
	if (p->member->type != JSONL_NUMBERS)
		return set_other(p);
	if (p->depth == 3)
		p->inner_len++;
	else if (p->member->width != 0)
		return set_other(p);
	else
		p->member->count++;
	return numbers_add(p, value);
}

static int
on_string(void *ctx, const unsigned char *text, size_t len)
{
	struct jsonl_parser *p = ctx;
	size_t at;

	if (p->depth == 0)
		return refuse(p, "it is not an object");
	if (!arena_add(p, text, len, &at))
		return 0;
	if (p->depth == 1)
	{
		p->text_at[member_index(p)] = at;
		return set_scalar(p, JSONL_TEXT, 0);
	}
	if (p->depth > 2)
		return set_other(p);
	if (p->member->type == JSONL_NUMBERS && p->member->count == 0)
	{
		p->member->type = JSONL_TEXTS;
		p->text_at[member_index(p)] = at;
	}
	if (p->member->type != JSONL_TEXTS)
		return set_other(p);
	p->member->count++;
	return 1;
}

static int
enter(struct jsonl_parser *p)
{
	if (p->depth == JSONL_DEPTH_MAX)
		return refuse(p, "it is nested too deeply");
	p->depth++;
	return 1;
}

static int
on_map_start(void *ctx)
{
	struct jsonl_parser *p = ctx;

	if (p->depth == 0 && p->complete)
		return refuse(p, "it is more than one object");
	if (p->depth > 0)
		set_other(p);
	return enter(p);
}

static int
on_map_key(void *ctx, const unsigned char *name, size_t len)
{
	struct jsonl_parser *p = ctx;
	size_t at;

	if (p->depth > 1)
		return 1;
	if (p->line.nmembers == JSONL_MEMBERS_MAX)
		return refuse(p, "it has too many members");
	if (!arena_add(p, name, len, &at))
		return 0;
	for (size_t i = 0; i < p->line.nmembers; i++)
		if (strcmp(p->arena + p->name_at[i], p->arena + at) == 0)
			return refuse(p, "a member occurs twice");
	p->member = &p->line.members[p->line.nmembers++];
	*p->member = (struct jsonl_member){.type = JSONL_NULL};
	p->name_at[member_index(p)] = at;
	return 1;
}

static int
on_map_end(void *ctx)
{
	struct jsonl_parser *p = ctx;

	if (--p->depth == 0)
		p->complete = true;
	else if (p->depth == 1)
		p->member = NULL;
	return 1;
}

static int
on_array_start(void *ctx)
{
	struct jsonl_parser *p = ctx;

	if (p->depth == 0)
		return refuse(p, "it is not an object");
	if (p->depth == 1)
	{
		p->member->type = JSONL_NUMBERS;
		p->numbers_at[member_index(p)] = p->numbers_used;
	}
	else if (p->depth == 2 && p->member->type == JSONL_NUMBERS &&
			 (p->member->count == 0 || p->member->width != 0))
		p->inner_len = 0;
	else
		set_other(p);
	return enter(p);
}

static int
on_array_end(void *ctx)
{
	struct jsonl_parser *p = ctx;

	p->depth--;
	if (p->depth == 1)
		p->member = NULL;
	else if (p->depth == 2 && p->member->type == JSONL_NUMBERS)
	{
		if (p->inner_len == 0 ||
			(p->member->count > 0 && p->member->width != p->inner_len))
			return set_other(p);
		p->member->width = p->inner_len;
		p->member->count++;
	}
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_integer = on_integer,
	.yajl_double = on_double,
	.yajl_string = on_string,
	.yajl_start_map = on_map_start,
	.yajl_map_key = on_map_key,
	.yajl_end_map = on_map_end,
	.yajl_start_array = on_array_start,
	.yajl_end_array = on_array_end,
};

enum status
jsonl_new(jsonl_sink sink, void *arg, struct jsonl_parser **out,
		  struct err *err)
{
	struct jsonl_parser *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	p->sink = sink;
	p->arg = arg;
	p->line.number = 1;
	p->arena_size = ARENA_INITIAL;
	p->numbers_size = ARENA_INITIAL / sizeof(int64_t);
	p->arena = malloc(p->arena_size);
	p->numbers = malloc(p->numbers_size * sizeof(int64_t));
	p->yajl = yajl_alloc(&callbacks, NULL, p);
	if (p->arena == NULL || p->numbers == NULL || p->yajl == NULL ||
		!yajl_config(p->yajl, yajl_allow_multiple_values, 1))
	{
		jsonl_free(p);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	*out = p;
	return ST_OK;
}

void
jsonl_free(struct jsonl_parser *parser)
{
	if (parser == NULL)
		return;
	if (parser->yajl != NULL)
		yajl_free(parser->yajl);
	free(parser->arena);
	free(parser->numbers);
	free(parser);
}

static enum status
line_fail(struct jsonl_parser *p, const char *why, struct err *err)
{
	p->failed = true;
	if (p->status == ST_NOMEM)
		return err_set(err, ST_NOMEM, "%s", why);
	return err_set(err, ST_CORRUPT, "line %llu is not valid: %s",
				   (unsigned long long) p->line.number, why);
}

/* The newline has been read: hand the line over and begin the next. */
static enum status
end_line(struct jsonl_parser *p, struct err *err)
{
	enum status st;

	if (!p->complete || p->depth != 0)
		return line_fail(p, "it is not one object", err);
	for (size_t i = 0; i < p->line.nmembers; i++)
	{
		struct jsonl_member *m = &p->line.members[i];

		m->name = p->arena + p->name_at[i];
		if (m->type == JSONL_TEXT || m->type == JSONL_TEXTS)
			m->text = p->arena + p->text_at[i];
		if (m->type == JSONL_NUMBERS)
			m->numbers = p->numbers + p->numbers_at[i];
	}
	st = p->sink(p->arg, &p->line, err);
	p->failed = st != ST_OK;
	p->line.number++;
	p->line.nmembers = 0;
	p->line_len = 0;
	p->arena_used = 0;
	p->numbers_used = 0;
	p->complete = false;
	return st;
}

enum status
jsonl_feed(struct jsonl_parser *parser, const void *data, size_t len,
		   struct err *err)
{
	const unsigned char *at = data;
	enum status st;

	while (len > 0)
	{
		const unsigned char *newline = memchr(at, '\n', len);
		size_t piece = newline == NULL ? len : (size_t) (newline - at) + 1;

		if (parser->failed || JSONL_LINE_MAX - parser->line_len < piece)
			return line_fail(parser, "it is too long", err);
		parser->line_len += piece;
		refuse(parser, "it is not JSON");
		if (yajl_parse(parser->yajl, at, piece) != yajl_status_ok)
			return line_fail(parser, parser->why, err);
		if (newline != NULL && (st = end_line(parser, err)) != ST_OK)
			return st;
		at += piece;
		len -= piece;
	}
	return ST_OK;
}

enum status
jsonl_end(struct jsonl_parser *parser, struct err *err)
{
	if (parser->failed || parser->line_len > 0)
		return line_fail(parser, "it does not end", err);
	return ST_OK;
}

enum status
jsonl_parse(const void *data, size_t len, jsonl_sink sink, void *arg,
			struct err *err)
{
	struct jsonl_parser *p = NULL;
	enum status st = jsonl_new(sink, arg, &p, err);

	if (p == NULL)
		return st;
	st = jsonl_feed(p, data, len, err);
	if (st == ST_OK)
		st = jsonl_end(p, err);
	jsonl_free(p);
	return st;
}

const struct jsonl_member *
jsonl_find(const struct jsonl_line *line, const char *name)
{
	for (size_t i = 0; i < line->nmembers; i++)
		if (strcmp(line->members[i].name, name) == 0)
			return &line->members[i];
	return NULL;
}

enum status
jsonl_invalid(const struct jsonl_line *line, const char *name, struct err *err)
{
	const char *problem =
		jsonl_find(line, name) == NULL ? "is missing" : "is not valid";

	return err_set(err, ST_CORRUPT, "line %llu: member \"%s\" %s",
				   (unsigned long long) line->number, name, problem);
}

enum status
jsonl_get_text(const struct jsonl_line *line, const char *name,
			   const char **out, struct err *err)
{
	const struct jsonl_member *m = jsonl_find(line, name);

	if (m == NULL || m->type != JSONL_TEXT)
		return jsonl_invalid(line, name, err);
	*out = m->text;
	return ST_OK;
}

enum status
jsonl_get_uint(const struct jsonl_line *line, const char *name, uint64_t max,
			   uint64_t *out, struct err *err)
{
	const struct jsonl_member *m = jsonl_find(line, name);

	if (m == NULL || m->type != JSONL_INTEGER || m->number < 0 ||
		(uint64_t) m->number > max)
		return jsonl_invalid(line, name, err);
	*out = (uint64_t) m->number;
	return ST_OK;
}

enum status
jsonl_get_bool(const struct jsonl_line *line, const char *name, bool *out,
			   struct err *err)
{
	const struct jsonl_member *m = jsonl_find(line, name);

	if (m == NULL || m->type != JSONL_BOOLEAN)
		return jsonl_invalid(line, name, err);
	*out = m->number != 0;
	return ST_OK;
}
