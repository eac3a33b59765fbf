/*
 * usage.c - how much is stored, by kind and storage class
 */
#include "basebackup/usage.h"

#include <string.h>

void
usage_add(struct usage *usage, const struct usage_row *more)
{
	struct usage_row *same_kind = NULL;

	for (size_t i = 0; i < usage->nrows; i++)
	{
		struct usage_row *row = &usage->rows[i];

		if (row->kind != more->kind)
			continue;
		same_kind = row;
		if (strcmp(row->storage_class, more->storage_class) == 0)
		{
			row->objects += more->objects;
			row->bytes += more->bytes;
			return;
		}
	}

	/* A row stays free for each kind. */
	if (usage->nrows < USAGE_ROWS_MAX - USAGE_KINDS ||
		(same_kind == NULL && usage->nrows < USAGE_ROWS_MAX))
		usage->rows[usage->nrows++] = *more;
	else if (same_kind != NULL)
	{
		same_kind->objects += more->objects;
		same_kind->bytes += more->bytes;
	}
}

void
usage_join(struct usage *usage, const struct usage *more)
{
	for (size_t i = 0; i < more->nrows; i++)
		usage_add(usage, &more->rows[i]);
}

uint64_t
usage_bytes(const struct usage *usage)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < usage->nrows; i++)
		bytes += usage->rows[i].bytes;
	return bytes;
}

const char *
usage_kind_name(enum usage_kind kind)
{
	static const char *const names[] = {"wal",      "pack", "digest",
										"manifest", "mark", "report"};

	return names[kind];
}
