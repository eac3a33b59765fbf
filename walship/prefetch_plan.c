/*
 * prefetch_plan.c - which files the server will ask for next
 */
#include "walship/prefetch_plan.h"

#include "common/walname.h"

/* Does the timeline have WAL in that segment? */
static bool
covers(const struct timeline_entry *entry, uint64_t segno,
	   uint32_t segment_size)
{
	return wal_segno_of(entry->begin, segment_size) <= segno &&
		   (entry->end == UINT64_MAX ||
			(entry->end > entry->begin &&
			 segno <= wal_segno_before(entry->end, segment_size)));
}

bool
prefetch_plan_follows(const struct timeline_history *history,
					  uint32_t timeline, uint64_t segno, uint32_t segment_size)
{
	const struct timeline_entry *entry =
		timeline_history_find(history, timeline);

	return entry != NULL && covers(entry, segno, segment_size);
}

size_t
prefetch_plan_timelines(const struct timeline_history *history, uint32_t reads,
						uint64_t segno, uint32_t segment_size,
						uint32_t out[PREFETCH_TIMELINES_MAX])
{
	size_t n = 0;

	if (history == NULL)
	{
		out[0] = reads;
		return 1;
	}
	for (size_t i = history->nentries; i-- > 0;)
	{
		const struct timeline_entry *entry = &history->entries[i];

		if (entry->timeline < reads || n == PREFETCH_TIMELINES_MAX)
			break;
		if (covers(entry, segno, segment_size))
			out[n++] = entry->timeline;
	}
	return n;
}
