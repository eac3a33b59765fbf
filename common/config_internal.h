/*
 * config_internal.h - the table behind config.h, shared by its files
 *
 * config_table.c holds the table and turns text into values and back;
 * config_parse.c reads a file's text; config.c puts the sources together.
 */
#ifndef COMMON_CONFIG_INTERNAL_H
#define COMMON_CONFIG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"

enum config_kind
{
	KIND_STRING,     /* any text */
	KIND_PATH,       /* absolute */
	KIND_REPOSITORY, /* s3://bucket[/prefix] or file:///dir */
	KIND_URL,        /* http[s]://host[:port] */
	KIND_WORD,       /* one of words; an enum whose values count from 0 */
	KIND_BOOL,
	KIND_DURATION, /* int64_t milliseconds, from min to max */
	KIND_SIZE,     /* int64_t bytes, from min to max */
	KIND_INT,      /* int, from min to max */
	KIND_SYSTEM_IDENTIFIER
};

struct config_option
{
	const char *name;
	const char *help;
	const char *def; /* NULL: none */
	enum config_kind kind;
	bool secret;
	bool general;    /* not allowed in a section */
	bool credential; /* one of those that replace each other as a whole */
	size_t offset;
	int64_t min;
	int64_t max;
	const char *const *words; /* NULL-terminated */

	/* Of a string: what is allowed instead of value, NULL: it is good. */
	const char *(*complaint)(const char *value);
};

extern const struct config_option config_options[];
extern const size_t config_noptions;

/* Keys of earlier versions: refused like any unknown one, with a hint. */
struct config_retired
{
	const char *name;
	const char *instead; /* a sentence */
};

extern const struct config_retired config_retired[];
extern const size_t config_nretired;

/* ST_CONFIG, always; the caller adds where. */
extern enum status
config_unknown_key(const char *name, size_t len, struct err *err);

/* A bit for each option in a set of them. */
#define CONFIG_OPTIONS_MAX 64

/* The option of that name, or NULL. */
extern const struct config_option *
config_option_find(const char *name, size_t len);

/*
 * Sets an option from text.  ST_CONFIG with a message that names the value
 * unless it is secret, and says what is allowed; the caller adds where.
 */
extern enum status
config_option_set(struct config *cfg, const struct config_option *option,
				  const char *value, struct err *err) ERR_CHECK;

/*
 * Forgets the options of credentials, wiping them: before a stronger source
 * sets the first of its own.
 */
extern void config_forget_credentials(struct config *cfg);

/* True if one of the options of credentials has a value. */
extern bool config_has_credentials(const struct config *cfg);

/* True for a string option that has no value yet. */
extern bool config_option_empty(const struct config *cfg,
								const struct config_option *option);

/* The value as text, "" if none; secrets too.  out is filled as needed. */
#define CONFIG_VALUE_MAX 32
extern const char *config_option_text(const struct config *cfg,
									  const struct config_option *option,
									  char out[CONFIG_VALUE_MAX]);

/* Wipes and frees the strings. */
extern void config_clear(struct config *cfg);

/* config_parse, which also tells whether the file holds a secret. */
extern enum status
config_parse_text(struct config *cfg, const char *file, const char *text,
				  size_t len, uint64_t cluster, bool *holds_secret,
				  struct err *err) ERR_CHECK;

#endif
