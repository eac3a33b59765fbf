/*
 * note.c - one line of words, as it is remembered in a spool
 */
#include "common/note.h"

#include <assert.h>
#include <string.h>

#include "common/cli.h"

bool
note_parse(struct note *note, const char *text, size_t len, const char *magic,
		   size_t nwords)
{
	char *at = note->line;
	const char *word;

	assert(nwords <= NOTE_WORDS_MAX);
	if (len == 0 || len > sizeof(note->line) || text[len - 1] != '\n' ||
		memchr(text, '\0', len) != NULL)
		return false;
	memcpy(note->line, text, len - 1);
	note->line[len - 1] = '\0';
	word = strsep(&at, " ");
	if (strcmp(word, magic) != 0)
		return false;
	for (size_t i = 0; i < nwords; i++)
	{
		note->words[i] = strsep(&at, " ");
		if (note->words[i] == NULL)
			return false;
	}
	return at == NULL;
}

bool
note_number(const char *word, int64_t *out)
{
	uint64_t value;

	if (!parse_uint64(word, INT64_MAX, &value))
		return false;
	*out = (int64_t) value;
	return true;
}

bool
note_recent(const char *word, int64_t now_ms, int64_t age_max_ms)
{
	int64_t at_ms;

	return note_number(word, &at_ms) && at_ms <= now_ms &&
		   now_ms - at_ms <= age_max_ms;
}
