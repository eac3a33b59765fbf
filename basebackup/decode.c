/*
 * decode.c - hexadecimal and base64 to bytes
 */
#include "basebackup/decode.h"

#include <string.h>

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
hex_parse32(const char *text, uint32_t *out)
{
	uint32_t value = 0;

	for (size_t i = 0; i < 8; i++)
	{
		int digit = hex_digit(text[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (uint32_t) digit;
	}
	if (text[8] != '\0')
		return false;
	*out = value;
	return true;
}

bool
hex_decode(const char *hex, uint8_t *out, size_t len)
{
	if (strlen(hex) != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t) (high << 4 | low);
	}
	return true;
}

bool
hex_decode_text(const char *hex, char *out, size_t size)
{
	size_t len = strlen(hex);

	if (len % 2 != 0 || len / 2 >= size)
		return false;
	for (size_t i = 0; i < len / 2; i++)
	{
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0 || (high == 0 && low == 0))
			return false;
		out[i] = (char) (high << 4 | low);
	}
	out[len / 2] = '\0';
	return true;
}

static int
base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
								 "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int) (at - digits);
}

bool
base64_decode(const char *text, uint8_t *out, size_t size, size_t *out_len)
{
	size_t len = strlen(text), n = 0;
	size_t pad = 0;

	while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
		pad++;
	if (len == 0 || len % 4 != 0 || len / 4 * 3 - pad > size)
		return false;
	for (size_t i = 0; i < len; i += 4)
	{
		size_t digits = i + 4 == len ? 4 - pad : 4;
		uint32_t value = 0;

		for (size_t j = 0; j < 4; j++)
		{
			int digit = j < digits ? base64_digit(text[i + j]) : 0;

			if (digit < 0)
				return false;
			value = value << 6 | (uint32_t) digit;
		}
		for (size_t j = 0; j + 1 < digits; j++)
			out[n++] = (uint8_t) (value >> (16 - 8 * j));
		if (digits < 4 && (value & ((1U << (8 * (4 - digits))) - 1)) != 0)
			return false;
	}
	*out_len = n;
	return true;
}
