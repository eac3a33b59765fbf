/*
 * json.h - writing JSON, one object at a time
 *
 * A growing text in memory, used again for each object.  Errors stick and
 * come out of json_done, so that callers need not look at every member.
 * Text must be UTF-8; json_path takes any bytes.
 */
#ifndef BASEBACKUP_JSON_H
#define BASEBACKUP_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct json;

extern enum status json_new(struct json **out, struct err *err) ERR_CHECK;
extern void json_free(struct json *json);

/* Drops what is there and begins an object. */
extern void json_begin(struct json *json);

/* Members of the object. */
extern void json_text(struct json *json, const char *key, const char *value);
extern void json_int(struct json *json, const char *key, int64_t value);
extern void json_bool(struct json *json, const char *key, bool value);
extern void json_null(struct json *json, const char *key);

/* key, or key_hex if the path is not UTF-8. */
extern void json_path(struct json *json, const char *key, const char *path);

/* Arrays: of numbers, of arrays of numbers, of texts, or empty. */
extern void json_array(struct json *json, const char *key);
extern void json_element(struct json *json, int64_t value);
extern void json_string(struct json *json, const char *value);

/* A whole array of texts. */
extern void json_texts(struct json *json, const char *key, size_t count,
					   const char *const *values);
extern void json_inner(struct json *json);
extern void json_array_end(struct json *json);

/* An object as an element of an array, or as a member. */
extern void json_object(struct json *json);
extern void json_object_member(struct json *json, const char *key);
extern void json_object_end(struct json *json);

/*
 * Ends the object.  *text, with a newline behind it, lives until the next
 * json_begin.  ST_NOMEM, or ST_CORRUPT if some text was not UTF-8.
 */
extern enum status json_done(struct json *json, const char **text, size_t *len,
							 struct err *err) ERR_CHECK;

extern bool utf8_valid(const char *text, size_t len);

/* Lower-case hex; out has 2 * len + 1 bytes; returns out. */
extern char *hex_format(const void *data, size_t len, char *out);

#endif
