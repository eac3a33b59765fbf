/*
 * outage.c - how much of its patience this host has spent on an outage
 */
#include "walship/outage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/deadline.h"
#include "common/note.h"

static const char FILE_NAME[] = "outage";
static const char MAGIC[] = "walship-outage-v1";

int
outage_format(char text[OUTAGE_TEXT_MAX], int64_t at_ms, int64_t spent_ms)
{
	return snprintf(text, OUTAGE_TEXT_MAX, "%s %" PRId64 " %" PRId64 "\n",
					MAGIC, at_ms, spent_ms);
}

bool
outage_parse(const char *text, size_t len, int64_t now_ms, int64_t *spent_ms)
{
	struct note note;

	return note_parse(&note, text, len, MAGIC, 2) &&
		   note_recent(note.words[0], now_ms, OUTAGE_FORGOTTEN_MS) &&
		   note_number(note.words[1], spent_ms);
}

void
outage_load(struct outage *outage, const struct spool *spool)
{
	char text[OUTAGE_TEXT_MAX];
	int len = spool_read(spool, FILE_NAME, text, sizeof(text));

	outage->noted = len >= 0;
	outage->spent_ms = 0;
	if (len > 0)
		(void) outage_parse(text, (size_t) len, clock_real_ms(),
							&outage->spent_ms);
}

void
outage_note(struct outage *outage, const struct spool *spool, int64_t more_ms)
{
	char text[OUTAGE_TEXT_MAX];
	int len;

	if (more_ms > 0 && outage->spent_ms <= INT64_MAX - more_ms)
		outage->spent_ms += more_ms;
	len = outage_format(text, clock_real_ms(), outage->spent_ms);
	if (len > 0 && (size_t) len < sizeof(text))
		(void) spool_write(spool, FILE_NAME, text, (size_t) len);
	outage->noted = true;
}

void
outage_clear(struct outage *outage, const struct spool *spool)
{
	if (outage->noted)
		spool_remove(spool, FILE_NAME);
	outage->noted = false;
	outage->spent_ms = 0;
}
