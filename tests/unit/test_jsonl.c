#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/jsonl.h"

/* The lines as the parser told them, in a notation of our own. */
struct seen
{
	char text[8192];
	size_t len;
};

static void ERR_PRINTF(2, 3) say(struct seen *seen, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	seen->len += (size_t) vsnprintf(seen->text + seen->len,
									sizeof(seen->text) - seen->len, fmt, args);
	va_end(args);
	assert_true(seen->len < sizeof(seen->text));
}

static void
say_member(struct seen *seen, const struct jsonl_member *m)
{
	const char *text = m->text;

	say(seen, " %s=", m->name);
	switch (m->type)
	{
		case JSONL_NULL:
			say(seen, "null");
			break;
		case JSONL_BOOLEAN:
			say(seen, m->number != 0 ? "yes" : "no");
			break;
		case JSONL_INTEGER:
			say(seen, "%lld", (long long) m->number);
			break;
		case JSONL_TEXT:
			say(seen, "<%s>", m->text);
			break;
		case JSONL_NUMBERS:
			say(seen, "%zux%zu(", m->count, m->width);
			for (size_t i = 0; i < m->count * (m->width ? m->width : 1); i++)
				say(seen, "%lld,", (long long) m->numbers[i]);
			say(seen, ")");
			break;
		case JSONL_TEXTS:
			for (size_t i = 0; i < m->count; i++, text += strlen(text) + 1)
				say(seen, "<%s>,", text);
			break;
		case JSONL_OTHER:
			say(seen, "?");
			break;
	}
}

static enum status
take(void *arg, const struct jsonl_line *line, struct err *err)
{
	struct seen *seen = arg;

	if (jsonl_find(line, "fail") != NULL)
		return err_set(err, ST_IO, "as told");
	say(seen, "%llu:", (unsigned long long) line->number);
	for (size_t i = 0; i < line->nmembers; i++)
		say_member(seen, &line->members[i]);
	say(seen, "\n");
	return ST_OK;
}

/* Parses in pieces; what was seen, or "STATUS message". */
static const char *
parse(const char *text, size_t len, size_t piece)
{
	static struct seen seen;
	struct jsonl_parser *p;
	struct err err;
	enum status st;

	seen.len = 0;
	seen.text[0] = '\0';
	assert_int_equal(jsonl_new(take, &seen, &p, &err), ST_OK);
	st = ST_OK;
	for (size_t at = 0; st == ST_OK && at < len; at += piece)
		st = jsonl_feed(p, text + at, len - at < piece ? len - at : piece,
						&err);
	if (st == ST_OK)
		st = jsonl_end(p, &err);
	if (st != ST_OK)
	{
		struct err again;

		/* A parser that failed stays so. */
		assert_int_not_equal(jsonl_feed(p, "{}\n", 3, &again), ST_OK);
		assert_int_not_equal(jsonl_end(p, &again), ST_OK);
		snprintf(seen.text, sizeof(seen.text), "%s %s", status_name(st),
				 err.message);
	}
	jsonl_free(p);
	return seen.text;
}

static void
check(const char *text, const char *expected)
{
	static const size_t pieces[] = {1, 2, 3, 7, 4096};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		assert_string_equal(parse(text, strlen(text), pieces[i]), expected);
}

static void
test_types(void **state)
{
	(void) state;
	check("", "");
	check("{}\n", "1:\n");
	check(
		"{\"a\":1,\"b\":\"x\",\"c\":true,\"d\":null,\"e\":-5}\n{\"f\":false}\n",
		"1: a=1 b=<x> c=yes d=null e=-5\n2: f=no\n");
	check("{\"a\":\"\\u00e4\\n\\\"\"}\n", "1: a=<\xc3\xa4\n\">\n");
	check("{\"a\":1.5,\"b\":1e3}\n", "1: a=? b=?\n");
	check(" { \"a\" : 1 } \t\r\n", "1: a=1\n");
}

static void
test_arrays(void **state)
{
	(void) state;
	check("{\"a\":[]}\n", "1: a=0x0()\n");
	check("{\"a\":[1,2]}\n", "1: a=2x0(1,2,)\n");
	check("{\"a\":[[1,2,3],[4,5,6]],\"b\":[7]}\n",
		  "1: a=2x3(1,2,3,4,5,6,) b=1x0(7,)\n");
	check("{\"a\":[\"x\",\"yz\"],\"b\":\"c\"}\n", "1: a=<x>,<yz>, b=<c>\n");
}

/* What a reader does not know is skipped, whatever it is. */
static void
test_other(void **state)
{
	(void) state;
	check("{\"a\":{\"a\":1,\"b\":[{}]},\"b\":2}\n", "1: a=? b=2\n");
	check("{\"a\":[[1],[2,3]],\"b\":2}\n", "1: a=? b=2\n");
	check("{\"a\":[1,[2]],\"b\":2}\n", "1: a=? b=2\n");
	check("{\"a\":[[1],2],\"b\":2}\n", "1: a=? b=2\n");
	check("{\"a\":[[]],\"b\":2}\n", "1: a=? b=2\n");
	check("{\"a\":[1,\"x\"],\"b\":2}\n", "1: a=? b=2\n");
	check("{\"a\":[\"x\",1],\"b\":2}\n", "1: a=? b=2\n");
	check("{\"a\":[\"x\",[\"y\"]],\"b\":2}\n", "1: a=? b=2\n");
	check("{\"a\":[null],\"b\":[true],\"c\":[1.5],\"d\":[[[1]]]}\n",
		  "1: a=? b=? c=? d=?\n");
}

static void
test_refused(void **state)
{
	(void) state;
	check("\n", "corrupt line 1 is not valid: it is not one object");
	check("{}\n\n", "corrupt line 2 is not valid: it is not one object");
	check("{}", "corrupt line 1 is not valid: it does not end");
	check("{}{}\n", "corrupt line 1 is not valid: it is more than one object");
	check("{}1\n", "corrupt line 1 is not valid: it is not an object");
	check("1\n", "corrupt line 1 is not valid: it is not an object");
	check("\"a\"\n", "corrupt line 1 is not valid: it is not an object");
	check("[]\n", "corrupt line 1 is not valid: it is not an object");
	check("{\"a\":\n1}\n",
		  "corrupt line 1 is not valid: it is not one object");
	check("{\"a\":1,\"a\":2}\n",
		  "corrupt line 1 is not valid: a member occurs twice");
	check("{\"a\":\"\\u0000\"}\n",
		  "corrupt line 1 is not valid: a string holds a zero byte");
	check("{\"\\u0000\":1}\n",
		  "corrupt line 1 is not valid: a string holds a zero byte");
	check("{\"a\":\"\xc1\xbb\"}\n",
		  "corrupt line 1 is not valid: a string is not UTF-8");
	check("{\"a\":\"\xff\"}\n", "corrupt line 1 is not valid: it is not JSON");
	check("{\"a\":1,}\n", "corrupt line 1 is not valid: it is not JSON");
	check("{\"a\":99999999999999999999}\n",
		  "corrupt line 1 is not valid: it is not JSON");
	check("{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}\n",
		  "corrupt line 1 is not valid: it is nested too deeply");
	check("{\"fail\":1}\n", "io as told");
}

static void
test_many_members(void **state)
{
	char text[2048] = "{";
	size_t len = 1;

	(void) state;
	for (int i = 0; i <= JSONL_MEMBERS_MAX; i++)
		len += (size_t) snprintf(text + len, sizeof(text) - len,
								 "%s\"m%d\":%d", i > 0 ? "," : "", i, i);
	snprintf(text + len, sizeof(text) - len, "}\n");
	check(text, "corrupt line 1 is not valid: it has too many members");
}

static void
test_long_line(void **state)
{
	size_t len = JSONL_LINE_MAX + 64;
	char *text = malloc(len);

	(void) state;
	assert_non_null(text);
	memset(text, ' ', len);
	assert_string_equal(parse(text, len, 1 << 20),
						"corrupt line 1 is not valid: it is too long");
	free(text);
}

static enum status
take_members(void *arg, const struct jsonl_line *line, struct err *err)
{
	const char *text;
	uint64_t number;
	bool flag;

	(void) arg;
	assert_int_equal(jsonl_get_uint(line, "n", 7, &number, err), ST_OK);
	assert_int_equal(number, 7);
	assert_int_equal(jsonl_get_uint(line, "n", 6, &number, err), ST_CORRUPT);
	assert_string_equal(err->message, "line 1: member \"n\" is not valid");
	assert_int_equal(jsonl_get_uint(line, "minus", 6, &number, err),
					 ST_CORRUPT);
	assert_int_equal(jsonl_get_uint(line, "t", 6, &number, err), ST_CORRUPT);
	assert_int_equal(jsonl_get_text(line, "t", &text, err), ST_OK);
	assert_string_equal(text, "x");
	assert_int_equal(jsonl_get_text(line, "n", &text, err), ST_CORRUPT);
	assert_int_equal(jsonl_get_bool(line, "yes", &flag, err), ST_OK);
	assert_true(flag);
	assert_int_equal(jsonl_get_bool(line, "n", &flag, err), ST_CORRUPT);
	assert_int_equal(jsonl_get_text(line, "none", &text, err), ST_CORRUPT);
	assert_string_equal(err->message, "line 1: member \"none\" is missing");
	return ST_OK;
}

static void
test_get(void **state)
{
	static const char text[] =
		"{\"n\":7,\"minus\":-1,\"t\":\"x\",\"yes\":true}\n";
	struct err err;

	(void) state;
	assert_int_equal(jsonl_parse(text, strlen(text), take_members, NULL, &err),
					 ST_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),        cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_other),        cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many_members), cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
