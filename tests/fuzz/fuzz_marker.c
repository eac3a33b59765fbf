/*
 * fuzz_marker.c - only what this file's marker would be is believed
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "walship/marker.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct stat about = {.st_size = 16777216,
								  .st_dev = 1,
								  .st_ino = 2,
								  .st_mtim = {.tv_sec = 3, .tv_nsec = 4},
								  .st_ctim = {.tv_sec = 5, .tv_nsec = 6}};

static const struct marker_file file = {.system_identifier = 7,
										.boot = "b",
										.name = "000000010000000000000001",
										.stat = &about};

/* With the file's own marker around it, so that the object's name is tried. */
static void
try_object(const char *data, size_t size)
{
	char name[OBJECT_NAME_MAX + 1];
	char object[OBJECT_NAME_MAX + 1];
	char text[MARKER_TEXT_MAX];
	size_t len;

	if (size > OBJECT_NAME_MAX)
		return;
	memcpy(name, data, size);
	name[size] = '\0';
	len = marker_format(text, &file, name);
	if (len == 0)
		abort();
	if (marker_parse(text, len, &file, object) != (strchr(name, '\n') == NULL))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char object[OBJECT_NAME_MAX + 1];
	char again[MARKER_TEXT_MAX];

	if (marker_parse((const char *) data, size, &file, object) &&
		(marker_format(again, &file, object) != size ||
		 memcmp(again, data, size) != 0))
		abort();
	try_object((const char *) data, size);
	return 0;
}
