/*
 * note.h - one line of words, as it is remembered in a spool
 *
 *     <magic> <word> ... <word> LF
 *
 * The magic says what the note is of, and its version.  Pure.  A note is a
 * hint: whoever reads one that is torn, of another version or from a clock
 * that was set back goes on as if there were none.
 */
#ifndef COMMON_NOTE_H
#define COMMON_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTE_TEXT_MAX  160 /* bytes, with a terminating zero */
#define NOTE_WORDS_MAX 5

struct note
{
	char line[NOTE_TEXT_MAX];
	const char *words[NOTE_WORDS_MAX]; /* behind the magic; point into line */
};

/* False unless the text is one such line, with exactly that many words. */
extern bool note_parse(struct note *note, const char *text, size_t len,
					   const char *magic, size_t nwords);

/* A word that is a number of up to INT64_MAX, as times in milliseconds are. */
extern bool note_number(const char *word, int64_t *out);

/* A word that is a time, neither in the future nor longer ago than that. */
extern bool note_recent(const char *word, int64_t now_ms, int64_t age_max_ms);

#endif
