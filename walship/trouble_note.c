/*
 * trouble_note.c - what is remembered of an outage of archiving
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/note.h"
#include "walship/trouble.h"

#define HOUR_MS 3600000

/* The archiver tries three times, a second apart. */
#define FRESH_MS 10000

static const char MAGIC[] = "walship-trouble-v1";

bool
trouble_note_failure(struct trouble_note *note, int64_t now_ms,
					 int64_t apart_ms)
{
	bool due;

	/* A clock that was set back tells nothing. */
	if (note->told_ms > now_ms)
		note->told_ms = 0;
	if (note->began_ms == 0 || note->last_ms > now_ms ||
		now_ms - note->last_ms > apart_ms)
	{
		note->began_ms = now_ms;
		note->failures = 0;
		note->told = false;
	}
	note->last_ms = now_ms;
	if (note->failures < INT64_MAX)
		note->failures++;
	due = note->told_ms == 0 ||
		  now_ms - note->told_ms >=
			  (note->told ? TROUBLE_AGAIN_MS : TROUBLE_PAUSE_MS);
	if (due)
	{
		note->told_ms = now_ms;
		note->told = true;
	}
	return due;
}

bool
trouble_due_unnoted(int64_t ready_age_ms, int64_t window_ms)
{
	if (ready_age_ms < 0)
		return false;
	if (ready_age_ms < HOUR_MS)
		return ready_age_ms < FRESH_MS;
	return ready_age_ms % HOUR_MS < window_ms;
}

int
trouble_format(char text[TROUBLE_TEXT_MAX], const struct trouble_note *note)
{
	return snprintf(text, TROUBLE_TEXT_MAX,
					"%s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d\n",
					MAGIC, note->began_ms, note->last_ms, note->told_ms,
					note->failures, note->told ? 1 : 0);
}

bool
trouble_parse(const char *text, size_t len, struct trouble_note *note)
{
	struct note line;
	int64_t numbers[5];
	const size_t count = sizeof(numbers) / sizeof(numbers[0]);

	if (!note_parse(&line, text, len, MAGIC, count))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!note_number(line.words[i], &numbers[i]))
			return false;
	if (numbers[4] > 1)
		return false;
	*note = (struct trouble_note){.began_ms = numbers[0],
								  .last_ms = numbers[1],
								  .told_ms = numbers[2],
								  .failures = numbers[3],
								  .told = numbers[4] == 1};
	return true;
}
