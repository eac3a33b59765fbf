#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "basebackup/stream.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream_event event;
	struct err err;
	uint32_t oid;

	if (stream_parse_message(data, size, &event, &err) != ST_OK)
		return 0;
	if (event.kind == STREAM_ARCHIVE)
	{
		assert(strlen(event.archive) + strlen(event.location) + 3 == size);
		(void) stream_parse_archive(event.archive, (size & 1) != 0, &oid);
	}
	if (event.kind == STREAM_DATA)
		assert(event.data + event.len == data + size);
	return 0;
}
