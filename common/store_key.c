/*
 * store_key.c - the grammar of keys
 */
#include "common/store.h"

#include <string.h>

static bool
key_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		   (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static bool
component_valid(const char *text, size_t len)
{
	if (len == 0 || (len == 1 && text[0] == '.') ||
		(len == 2 && text[0] == '.' && text[1] == '.'))
		return false;
	if (len >= 5 && memcmp(text, ".tmp-", 5) == 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!key_byte(text[i]))
			return false;
	return true;
}

bool
store_key_valid(const char *key)
{
	if (strnlen(key, STORE_KEY_MAX) == STORE_KEY_MAX)
		return false;
	for (;;)
	{
		size_t len = strcspn(key, "/");

		if (!component_valid(key, len))
			return false;
		if (key[len] == '\0')
			return true;
		key += len + 1;
	}
}
