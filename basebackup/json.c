/*
 * json.c - writing JSON, one object at a time
 */
#include "basebackup/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

struct json
{
	yajl_gen gen;
	bool invalid_text;
	bool failed;
};

bool
utf8_valid(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *) text;
	const uint8_t *end = p + len;

	while (p < end)
	{
		uint32_t c = *p++;
		uint32_t least;
		int more;

		if (c < 0x80)
			continue;
		if (c >= 0xC2 && c <= 0xDF)
		{
			more = 1;
			least = 0x80;
			c &= 0x1F;
		}
		else if ((c & 0xF0) == 0xE0)
		{
			more = 2;
			least = 0x800;
			c &= 0x0F;
		}
		else if (c >= 0xF0 && c <= 0xF4)
		{
			more = 3;
			least = 0x10000;
			c &= 0x07;
		}
		else
			return false;
		for (; more > 0; more--)
		{
			if (p == end || (*p & 0xC0) != 0x80)
				return false;
			c = c << 6 | (*p++ & 0x3F);
		}
		if (c < least || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
			return false;
	}
	return true;
}

char *
hex_format(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
	{
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * len] = '\0';
	return out;
}

enum status
json_new(struct json **out, struct err *err)
{
	struct json *json = calloc(1, sizeof(*json));

	if (json != NULL)
		json->gen = yajl_gen_alloc(NULL);
	if (json == NULL || json->gen == NULL)
	{
		free(json);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	*out = json;
	return ST_OK;
}

void
json_free(struct json *json)
{
	if (json == NULL)
		return;
	yajl_gen_free(json->gen);
	free(json);
}

static void
check(struct json *json, yajl_gen_status outcome)
{
	if (outcome != yajl_gen_status_ok)
		json->failed = true;
}

static void
string(struct json *json, const char *text)
{
	size_t len = strlen(text);

	if (!utf8_valid(text, len))
	{
		json->invalid_text = true;
		return;
	}
	check(json, yajl_gen_string(json->gen, (const unsigned char *) text, len));
}

void
json_begin(struct json *json)
{
	json->invalid_text = false;
	json->failed = false;
	yajl_gen_clear(json->gen);
	yajl_gen_reset(json->gen, NULL);
	check(json, yajl_gen_map_open(json->gen));
}

void
json_text(struct json *json, const char *key, const char *value)
{
	string(json, key);
	string(json, value);
}

void
json_int(struct json *json, const char *key, int64_t value)
{
	string(json, key);
	check(json, yajl_gen_integer(json->gen, value));
}

void
json_bool(struct json *json, const char *key, bool value)
{
	string(json, key);
	check(json, yajl_gen_bool(json->gen, value ? 1 : 0));
}

void
json_null(struct json *json, const char *key)
{
	string(json, key);
	check(json, yajl_gen_null(json->gen));
}

void
json_path(struct json *json, const char *key, const char *path)
{
	size_t len = strlen(path);
	char hex_key[64];
	char *hex;
	int n;

	if (utf8_valid(path, len))
	{
		json_text(json, key, path);
		return;
	}
	hex = malloc(2 * len + 1);
	n = snprintf(hex_key, sizeof(hex_key), "%s_hex", key);
	if (hex == NULL || n < 0 || (size_t) n >= sizeof(hex_key))
		json->failed = true;
	else
		json_text(json, hex_key, hex_format(path, len, hex));
	free(hex);
}

void
json_array(struct json *json, const char *key)
{
	string(json, key);
	json_inner(json);
}

void
json_inner(struct json *json)
{
	check(json, yajl_gen_array_open(json->gen));
}

void
json_element(struct json *json, int64_t value)
{
	check(json, yajl_gen_integer(json->gen, value));
}

void
json_string(struct json *json, const char *value)
{
	string(json, value);
}

void
json_texts(struct json *json, const char *key, size_t count,
		   const char *const *values)
{
	json_array(json, key);
	for (size_t i = 0; i < count; i++)
		json_string(json, values[i]);
	json_array_end(json);
}

void
json_array_end(struct json *json)
{
	check(json, yajl_gen_array_close(json->gen));
}

void
json_object_member(struct json *json, const char *key)
{
	string(json, key);
	json_object(json);
}

void
json_object(struct json *json)
{
	check(json, yajl_gen_map_open(json->gen));
}

void
json_object_end(struct json *json)
{
	check(json, yajl_gen_map_close(json->gen));
}

enum status
json_done(struct json *json, const char **text, size_t *len, struct err *err)
{
	const unsigned char *out;

	check(json, yajl_gen_map_close(json->gen));
	/* The generator is complete now; a separator is all it may still take. */
	yajl_gen_reset(json->gen, "\n");
	if (json->invalid_text)
		return err_set(err, ST_CORRUPT, "text that is not UTF-8");
	if (json->failed ||
		yajl_gen_get_buf(json->gen, &out, len) != yajl_gen_status_ok)
		return err_set(err, ST_NOMEM, "out of memory");
	*text = (const char *) out;
	return ST_OK;
}
