/*
 * fuzz_history.c - a history that parses covers every LSN exactly once
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/timeline.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct timeline_history h;
	struct err err;
	uint64_t reached = 0;

	if (timeline_history_parse(UINT32_MAX, (const char *) data, size, &h,
							   &err) != ST_OK)
		return 0;
	for (size_t i = 0; i < h.nentries; i++)
	{
		const struct timeline_entry *entry = &h.entries[i];

		if (entry->begin != reached || entry->end < entry->begin)
			abort();
		reached = entry->end;
		if (timeline_history_find(&h, entry->timeline) != entry)
			abort();
		if (entry->end > entry->begin &&
			(timeline_history_at(&h, entry->begin) != entry ||
			 timeline_history_at(&h, entry->end - 1) != entry))
			abort();
	}
	if (reached != UINT64_MAX)
		abort();
	timeline_history_free(&h);
	return 0;
}
