/*
 * outage.c - how much of its patience this host has spent on an outage
 */
#include "walship/outage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"
#include "common/deadline.h"

static const char FILE_NAME[] = "outage";
static const char PREFIX[] = "walship-outage-v1 ";

int
outage_format(char text[OUTAGE_TEXT_MAX], int64_t at_ms, int64_t spent_ms)
{
	return snprintf(text, OUTAGE_TEXT_MAX, "%s%" PRId64 " %" PRId64 "\n",
					PREFIX, at_ms, spent_ms);
}

bool
outage_parse(const char *text, size_t len, int64_t now_ms, int64_t *spent_ms)
{
	char copy[OUTAGE_TEXT_MAX];
	size_t prefix = sizeof(PREFIX) - 1;
	uint64_t at_ms;
	uint64_t spent;
	char *space;

	if (len <= prefix || len >= sizeof(copy) || text[len - 1] != '\n' ||
		memchr(text, '\0', len) != NULL || memcmp(text, PREFIX, prefix) != 0)
		return false;
	memcpy(copy, text + prefix, len - prefix - 1);
	copy[len - prefix - 1] = '\0';
	space = strchr(copy, ' ');
	if (space == NULL)
		return false;
	*space = '\0';
	if (!parse_uint64(copy, INT64_MAX, &at_ms) ||
		!parse_uint64(space + 1, INT64_MAX, &spent))
		return false;
	/* A clock that was set back tells nothing. */
	if ((int64_t) at_ms > now_ms ||
		now_ms - (int64_t) at_ms > OUTAGE_FORGOTTEN_MS)
		return false;
	*spent_ms = (int64_t) spent;
	return true;
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
