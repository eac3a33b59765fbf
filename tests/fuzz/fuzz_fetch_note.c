/*
 * fuzz_fetch_note.c - whatever parses as a note is spelled back the same
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "walship/fetch_note.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[FETCH_NOTE_TEXT_MAX];
	struct fetch_note note;
	struct fetch_note again;
	size_t len;

	if (!fetch_note_parse((const char *) data, size, &note))
		return 0;
	len = fetch_note_format(text, &note);
	if (len == 0 || !fetch_note_parse(text, len, &again) ||
		again.streak != note.streak || again.target != note.target ||
		again.segment_size != note.segment_size ||
		again.outcome != note.outcome || again.named != note.named ||
		(note.named && strcmp(note.name.text, again.name.text) != 0))
		abort();
	return 0;
}
