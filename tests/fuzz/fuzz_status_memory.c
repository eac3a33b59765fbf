/*
 * fuzz_status_memory.c - what parses is written back the same
 */
#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/status_memory.h"
#include "common/crc32c.h"

#define NOW INT64_C(1795222800)

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *
format(const struct memory *memory, size_t *len)
{
	struct err err;
	char *text;

	if (memory_format(memory, &text, len, &err) != ST_OK)
		abort();
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory memory;
	struct err err;
	char *text = malloc(size + 16);
	char *once;
	char *twice;
	size_t len;

	/* The sum is right, so that the rest is looked at. */
	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	(void) snprintf(text + size, 16, "sum %08" PRIx32 "\n",
					crc32c_update(0, data, size));
	if (memory_parse(text, size + 13, NOW, &memory, &err) == ST_OK)
	{
		once = format(&memory, &len);
		memory_free(&memory);
		if (memory_parse(once, len, NOW, &memory, &err) != ST_OK)
			abort();
		twice = format(&memory, &len);
		memory_fade(&memory, NOW);
		memory_free(&memory);
		assert(strcmp(once, twice) == 0);
		free(once);
		free(twice);
	}
	free(text);
	return 0;
}
