/*
 * namebatch.c - the smallest of many names, in bounded memory
 */
#include "common/namebatch.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_NAMES ((size_t) 128 * 1024)
#define DEFAULT_BYTES ((size_t) 8 * 1024 * 1024)
#define FIRST_BYTES   ((size_t) 16 * 1024)
#define FIRST_NAMES   ((size_t) 512)

void
namebatch_init(struct namebatch *batch, size_t max_names, size_t max_bytes)
{
	*batch = (struct namebatch){
		.max_names = max_names > 0 ? max_names : DEFAULT_NAMES,
		.max_bytes = max_bytes > 0 ? max_bytes : DEFAULT_BYTES,
	};
}

void
namebatch_free(struct namebatch *batch)
{
	free(batch->text);
	free(batch->at);
	batch->text = NULL;
	batch->at = NULL;
	batch->nnames = 0;
}

static int
compare_names(const void *a, const void *b, void *text)
{
	return strcmp((const char *) text + *(const size_t *) a,
				  (const char *) text + *(const size_t *) b);
}

void
namebatch_sort(struct namebatch *batch)
{
	if (batch->nnames > 1)
		qsort_r(batch->at, batch->nnames, sizeof(*batch->at), compare_names,
				batch->text);
}

const char *
namebatch_get(const struct namebatch *batch, size_t rank)
{
	return batch->text + batch->at[rank];
}

/* Throws the greater half of a full batch out and sorts the rest. */
static bool
halve(struct namebatch *batch)
{
	char *text = malloc(batch->room);
	size_t used = 0;

	if (text == NULL)
		return false;
	namebatch_sort(batch);
	batch->nnames /= 2;
	for (size_t i = 0; i < batch->nnames; i++)
	{
		size_t len = strlen(batch->text + batch->at[i]) + 1;

		memcpy(text + used, batch->text + batch->at[i], len);
		batch->at[i] = used;
		used += len;
	}
	free(batch->text);
	batch->text = text;
	batch->used = used;
	batch->limit = batch->at[batch->nnames - 1];
	batch->cut = true;
	return true;
}

/* Makes room for a name of len bytes within the limits. */
static bool
grow(struct namebatch *batch, size_t len)
{
	if (batch->used + len > batch->room)
	{
		size_t room = batch->room > 0 ? 2 * batch->room : FIRST_BYTES;
		char *text;

		if (room > batch->max_bytes)
			room = batch->max_bytes;
		text = realloc(batch->text, room);
		if (text == NULL)
			return false;
		batch->text = text;
		batch->room = room;
	}
	if (batch->nnames == batch->at_room)
	{
		size_t room = batch->at_room > 0 ? 2 * batch->at_room : FIRST_NAMES;
		size_t *at = realloc(batch->at, room * sizeof(*at));

		if (at == NULL)
			return false;
		batch->at = at;
		batch->at_room = room;
	}
	return true;
}

static bool
is_beyond(const struct namebatch *batch, const char *name)
{
	return batch->cut && strcmp(name, batch->text + batch->limit) > 0;
}

bool
namebatch_add(struct namebatch *batch, const char *name)
{
	size_t len = strlen(name) + 1;

	if (is_beyond(batch, name))
		return true;
	if (batch->nnames >= batch->max_names ||
		batch->used + len > batch->max_bytes)
	{
		if (!halve(batch))
			return false;
		/* What was thrown out may be smaller than this one. */
		if (is_beyond(batch, name))
			return true;
	}
	if (!grow(batch, len))
		return false;
	memcpy(batch->text + batch->used, name, len);
	batch->at[batch->nnames++] = batch->used;
	batch->used += len;
	return true;
}
