/*
 * fetch_note.c - what the server asked wal-fetch for last
 */
#include "walship/fetch_note.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"
#include "common/note.h"

static const char FILE_NAME[] = "asked";
static const char MAGIC[] = "walship-asked-v1";
static const char NO_NAME[] = "-";

static const char *const outcomes[] = {
	[NOTE_ASKING] = "asking",
	[NOTE_FOUND] = "found",
	[NOTE_ABSENT] = "absent",
	[NOTE_FAILED] = "failed",
};

enum
{
	WORD_NAME,
	WORD_OUTCOME,
	WORD_STREAK,
	WORD_TARGET,
	WORD_SIZE,
	WORDS
};

size_t
fetch_note_format(char text[FETCH_NOTE_TEXT_MAX], const struct fetch_note *n)
{
	int len = snprintf(text, FETCH_NOTE_TEXT_MAX,
					   "%s %s %s %" PRIu32 " %" PRIu32 " %" PRIu32 "\n", MAGIC,
					   n->named ? n->name.text : NO_NAME, outcomes[n->outcome],
					   n->streak, n->target, n->segment_size);

	return len > 0 && len < FETCH_NOTE_TEXT_MAX ? (size_t) len : 0;
}

static bool
parse_number(const char *word, uint32_t max, uint32_t *out)
{
	uint64_t value;

	if (!parse_uint64(word, max, &value))
		return false;
	*out = (uint32_t) value;
	return true;
}

static bool
parse_outcome(const char *word, enum fetch_outcome *out)
{
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		if (strcmp(word, outcomes[i]) == 0)
		{
			*out = (enum fetch_outcome) i;
			return true;
		}
	return false;
}

bool
fetch_note_parse(const char *text, size_t len, struct fetch_note *out)
{
	struct fetch_note n = {.named = true};
	struct note note;
	struct err ignored;

	if (!note_parse(&note, text, len, MAGIC, WORDS) ||
		!parse_outcome(note.words[WORD_OUTCOME], &n.outcome) ||
		!parse_number(note.words[WORD_STREAK], FETCH_STREAK_MAX, &n.streak) ||
		!parse_number(note.words[WORD_TARGET], UINT32_MAX, &n.target) ||
		!parse_number(note.words[WORD_SIZE], UINT32_MAX, &n.segment_size) ||
		(n.segment_size != 0 && !wal_segment_size_valid(n.segment_size)))
		return false;
	if (strcmp(note.words[WORD_NAME], NO_NAME) == 0)
		n.named = false;
	else if (wal_name_parse(&n.name, note.words[WORD_NAME], &ignored) !=
				 ST_OK ||
			 n.name.kind != WAL_SEGMENT)
		return false;
	*out = n;
	return true;
}

void
fetch_note_load(struct fetch_note *note, const struct spool *spool)
{
	char text[FETCH_NOTE_TEXT_MAX];
	int len = spool_read(spool, FILE_NAME, text, sizeof(text));

	if (len <= 0 || !fetch_note_parse(text, (size_t) len, note))
		*note = (struct fetch_note){.named = false};
}

void
fetch_note_save(const struct fetch_note *note, const struct spool *spool)
{
	char text[FETCH_NOTE_TEXT_MAX];
	size_t len = fetch_note_format(text, note);

	if (len > 0)
		(void) spool_write(spool, FILE_NAME, text, len);
}
