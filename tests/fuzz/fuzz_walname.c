/*
 * fuzz_walname.c - whatever parses as a name is spelled back the same
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/walname.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_name(const char *text)
{
	struct wal_name name;
	struct wal_name again;
	struct err err;

	if (wal_name_parse(&name, text, &err) != ST_OK)
		return;
	if (strcmp(name.text, text) != 0)
		abort();
	for (uint32_t size = WAL_SEGMENT_SIZE_MIN; size <= WAL_SEGMENT_SIZE_MAX;
		 size *= 2)
	{
		uint64_t segno;

		if (name.kind == WAL_HISTORY || !wal_name_segno(&name, size, &segno))
			continue;
		wal_name_segment(&again, name.timeline, segno, size);
		if (strncmp(again.text, text, strlen(again.text)) != 0)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char lsn_text[LSN_TEXT_MAX];
	uint64_t lsn;
	uint64_t again;
	uint32_t timeline;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	check_name(text);
	if (lsn_parse(text, &lsn) &&
		(!lsn_parse(lsn_format(lsn, lsn_text), &again) || again != lsn))
		abort();
	if (timeline_parse(text, &timeline) && timeline == 0)
		abort();
	free(text);
	return 0;
}
