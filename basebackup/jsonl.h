/*
 * jsonl.h - lines of JSON, one flat object a line
 *
 * A push parser for the manifest and the small objects beside it (FORMAT.md
 * section 4): fed bytes in pieces of any size, it calls a sink for each line.
 * Pure: no I/O, no globals.  Memory is bounded by the longest line, and that
 * by JSONL_LINE_MAX.
 *
 * Members are scalars, arrays of numbers, arrays of arrays of numbers, or
 * arrays of strings; anything else is JSONL_OTHER, whose content is dropped
 * (a reader ignores members it does not know).  A member that occurs twice,
 * a string with a zero byte, a line that is not exactly one object, and a
 * last line without its newline are ST_CORRUPT, with the line's number.
 */
#ifndef BASEBACKUP_JSONL_H
#define BASEBACKUP_JSONL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define JSONL_LINE_MAX    ((size_t) 64 << 20)
#define JSONL_MEMBERS_MAX 64
#define JSONL_DEPTH_MAX   16
#define JSONL_NUMBERS_MAX ((size_t) 3 << 20)

enum jsonl_type
{
	JSONL_NULL,
	JSONL_BOOLEAN,
	JSONL_INTEGER,
	JSONL_TEXT,
	JSONL_NUMBERS, /* also the empty array */
	JSONL_TEXTS,
	JSONL_OTHER
};

struct jsonl_member
{
	const char *name;
	enum jsonl_type type;
	int64_t number;         /* JSONL_INTEGER; JSONL_BOOLEAN: 0 or 1 */
	const char *text;       /* JSONL_TEXT; JSONL_TEXTS: one after another,
							 * each with its terminating zero */
	size_t count;           /* elements of JSONL_NUMBERS and JSONL_TEXTS */
	const int64_t *numbers; /* JSONL_NUMBERS */
	size_t width;           /* JSONL_NUMBERS: length of each inner array, or 0
							 * for an array of plain numbers */
};

/* A line; valid only within the sink's call. */
struct jsonl_line
{
	uint64_t number; /* from 1 on */
	size_t nmembers;
	struct jsonl_member members[JSONL_MEMBERS_MAX];
};

/* The member of that name, or NULL. */
extern const struct jsonl_member *
jsonl_find(const struct jsonl_line *line, const char *name);

/*
 * Members that must be there: ST_CORRUPT, naming line and member, if one is
 * missing, has another type, or is out of range.
 */
extern enum status
jsonl_get_text(const struct jsonl_line *line, const char *name,
			   const char **out, struct err *err) ERR_CHECK;
extern enum status
jsonl_get_uint(const struct jsonl_line *line, const char *name, uint64_t max,
			   uint64_t *out, struct err *err) ERR_CHECK;
extern enum status
jsonl_get_bool(const struct jsonl_line *line, const char *name, bool *out,
			   struct err *err) ERR_CHECK;

/* ST_CORRUPT: "line N: member "name" is not valid". */
extern enum status jsonl_invalid(const struct jsonl_line *line,
								 const char *name, struct err *err);

/* Receives a line.  Any status but ST_OK ends the parsing with it. */
typedef enum status (*jsonl_sink)(void *arg, const struct jsonl_line *line,
								  struct err *err);

struct jsonl_parser;

extern enum status
jsonl_new(jsonl_sink sink, void *arg, struct jsonl_parser **out,
		  struct err *err) ERR_CHECK;
extern void jsonl_free(struct jsonl_parser *parser);

/* After a failure the parser can only be freed. */
extern enum status jsonl_feed(struct jsonl_parser *parser, const void *data,
							  size_t len, struct err *err) ERR_CHECK;
extern enum status
jsonl_end(struct jsonl_parser *parser, struct err *err) ERR_CHECK;

/* A whole text in memory. */
extern enum status jsonl_parse(const void *data, size_t len, jsonl_sink sink,
							   void *arg, struct err *err) ERR_CHECK;

#endif
