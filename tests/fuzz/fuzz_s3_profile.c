/*
 * fuzz_s3_profile.c - AWS's shared files, of any bytes
 *
 * The first byte says which of the two files it is.  What is found lies in the
 * text, ends there, and is trimmed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/s3_cred_words.h"
#include "common/s3_profile.h"

#define WORDS_MAX 8

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_words(const char *command)
{
	size_t room_size = strlen(command) + 1;
	char *room = malloc(room_size);
	char *words[WORDS_MAX];
	size_t count;

	if (room == NULL)
		abort();
	count = s3_cred_split(command, room, words, WORDS_MAX);
	if (count > WORDS_MAX)
		abort();
	for (size_t i = 0; i < count; i++)
		if (words[i] < room || words[i] + strlen(words[i]) >= room + room_size)
			abort();
	free(room);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_profile profile = {.found = false};
	struct err err;
	char *text;

	if (size == 0)
		return 0;
	text = malloc(size);
	if (text == NULL)
		abort();
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (s3_profile_parse("f", text, size - 1, (data[0] & 1) != 0, "default",
						 &profile, &err) == ST_OK)
		for (int i = 0; i < PROFILE_NKEYS; i++)
		{
			const char *value = profile.values[i];

			if (value == NULL)
				continue;
			if (!profile.found || value < text || *value == '\0' ||
				value + strlen(value) > text + size - 1)
				abort();
			check_words(value);
		}
	free(text);
	return 0;
}
