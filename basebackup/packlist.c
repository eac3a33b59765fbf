/*
 * packlist.c - the packs, or the digest objects, that a manifest names
 */
#include "basebackup/packlist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/tempfile.h"
#include "common/bytes.h"

#define HEADER_FRAME_SIZE 20 /* common/FORMAT.md, 2.1 */

/* In memory, for each. */
struct entry
{
	uint64_t at; /* in the file */
	uint32_t index;
	uint32_t source;
	uint32_t n;
	struct packlist_shape shape;
};

/* In the file; header, frames and perhaps live lie behind it. */
struct record
{
	uint32_t header_len;
	uint32_t nframes;
	uint32_t data_len;
	uint32_t has_live;
};

struct packlist
{
	enum object_kind kind;
	FILE *file;
	uint64_t len; /* of the file */
	struct entry *entries;
	uint32_t count;
	size_t size;
	uint32_t *order; /* entry numbers by source and n */
	char (*backups)[BACKUP_ID_MAX];
	uint32_t nbackups;
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

enum status
packlist_new(enum object_kind kind, struct packlist **out, struct err *err)
{
	struct packlist *list = calloc(1, sizeof(*list));
	enum status st;

	if (list == NULL)
		return nomem(err);
	list->kind = kind;
	st = tempfile_open(&list->file, err);
	if (st != ST_OK)
	{
		free(list);
		return st;
	}
	*out = list;
	return ST_OK;
}

void
packlist_free(struct packlist *list)
{
	if (list == NULL)
		return;
	(void) fclose(list->file);
	free(list->entries);
	free(list->order);
	free(list->backups);
	free(list);
}

bool
packlist_source(const struct packlist *list, const char *backup_id,
				uint32_t *source)
{
	/* Neighbours are of the same backup, most often. */
	for (uint32_t i = list->nbackups; i > 0; i--)
		if (strcmp(list->backups[i - 1], backup_id) == 0)
		{
			*source = i - 1;
			return true;
		}
	return false;
}

static enum status
add_backup(struct packlist *list, const char *id, uint32_t *source,
		   struct err *err)
{
	char(*grown)[BACKUP_ID_MAX];

	if (packlist_source(list, id, source))
		return ST_OK;
	grown = reallocarray(list->backups, (size_t) list->nbackups + 1,
						 sizeof(*grown));
	if (grown == NULL)
		return nomem(err);
	list->backups = grown;
	(void) snprintf(grown[list->nbackups], sizeof(*grown), "%s", id);
	*source = list->nbackups++;
	return ST_OK;
}

static enum status
write_numbers(struct packlist *list, const int64_t *numbers, size_t count,
			  struct err *err)
{
	enum status st = ST_OK;

	for (size_t i = 0; st == ST_OK && i < count; i++)
	{
		uint32_t number = (uint32_t) numbers[i];

		st = tempfile_write(list->file, &number, sizeof(number), err);
	}
	list->len += count * sizeof(uint32_t);
	return st;
}

/*
 * The frame size stands at a fixed place of the header, which the frames will
 * authenticate when they are opened.
 */
static bool
read_shape(const struct manifest_pack *pack, struct packlist_shape *out)
{
	uint64_t room;

	if (pack->header_len < HEADER_FRAME_SIZE + sizeof(uint32_t))
		return false;
	out->nframes = (uint32_t) pack->nframes - 1;
	out->frame_size = get_le32(pack->header + HEADER_FRAME_SIZE);
	room = (uint64_t) out->nframes * out->frame_size;
	out->room =
		room < MANIFEST_PACK_DATA ? (uint32_t) room : MANIFEST_PACK_DATA;
	return out->frame_size >= 1 && out->frame_size <= OBJECT_FRAME_MAX &&
		   pack->data_used <= out->room;
}

enum status
packlist_add(struct packlist *list, const struct manifest_pack *pack,
			 struct err *err)
{
	const struct record record = {.header_len = (uint32_t) pack->header_len,
								  .nframes = (uint32_t) pack->nframes,
								  .data_len = pack->data_len,
								  .has_live = pack->live != NULL};
	struct entry *e;
	enum status st;

	if (list->count == list->size)
	{
		size_t size = list->size == 0 ? 256 : list->size * 2;

		e = reallocarray(list->entries, size, sizeof(*e));
		if (e == NULL)
			return nomem(err);
		list->entries = e;
		list->size = size;
	}
	e = &list->entries[list->count];
	*e = (struct entry){.at = list->len, .index = pack->index, .n = pack->n};
	if (!read_shape(pack, &e->shape))
		return err_set(err, ST_CORRUPT, "object %u of the manifest is short",
					   pack->index);
	if ((st = add_backup(list, pack->backup, &e->source, err)) != ST_OK ||
		(st = tempfile_write(list->file, &record, sizeof(record), err)) !=
			ST_OK ||
		(st = tempfile_write(list->file, pack->header, pack->header_len,
							 err)) != ST_OK)
		return st;
	list->len += sizeof(record) + pack->header_len;
	st = write_numbers(list, pack->frames, pack->nframes, err);
	if (st == ST_OK && pack->live != NULL)
		st = write_numbers(list, pack->live, pack->nframes - 1, err);
	list->count++;
	return st;
}

static int
compare(const struct entry *a, const struct entry *b)
{
	if (a->source != b->source)
		return a->source < b->source ? -1 : 1;
	return a->n < b->n ? -1 : a->n > b->n;
}

static int
compare_numbers(const void *a, const void *b, void *arg)
{
	const struct packlist *list = arg;

	return compare(&list->entries[*(const uint32_t *) a],
				   &list->entries[*(const uint32_t *) b]);
}

enum status
packlist_done(struct packlist *list, struct err *err)
{
	free(list->order);
	list->order = calloc((size_t) list->count + 1, sizeof(*list->order));
	if (list->order == NULL)
		return nomem(err);
	for (uint32_t i = 0; i < list->count; i++)
		list->order[i] = i;
	qsort_r(list->order, list->count, sizeof(*list->order), compare_numbers,
			list);
	for (uint32_t i = 1; i < list->count; i++)
		if (compare(&list->entries[list->order[i - 1]],
					&list->entries[list->order[i]]) == 0)
			return err_set(err, ST_CORRUPT, "a pack occurs twice");
	return tempfile_length(list->file, &list->len, err);
}

uint32_t
packlist_count(const struct packlist *list)
{
	return list->count;
}

bool
packlist_by_index(const struct packlist *list, uint32_t index,
				  uint32_t *number)
{
	uint32_t low = 0, high = list->count;

	while (low < high)
	{
		uint32_t middle = low + (high - low) / 2;

		if (list->entries[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	*number = low;
	return low < list->count && list->entries[low].index == index;
}

uint32_t
packlist_index(const struct packlist *list, uint32_t number)
{
	return list->entries[number].index;
}

uint32_t
packlist_backups(const struct packlist *list)
{
	return list->nbackups;
}

const char *
packlist_backup(const struct packlist *list, uint32_t source)
{
	return list->backups[source];
}

bool
packlist_find(const struct packlist *list, uint32_t source, uint32_t n,
			  uint32_t *number)
{
	const struct entry key = {.source = source, .n = n};
	uint32_t low = 0, high = list->count;

	while (low < high)
	{
		uint32_t middle = low + (high - low) / 2;
		int order = compare(&list->entries[list->order[middle]], &key);

		if (order == 0)
		{
			*number = list->order[middle];
			return true;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

void
packlist_owner(const struct packlist *list, uint32_t number, uint32_t *source,
			   uint32_t *n)
{
	*source = list->entries[number].source;
	*n = list->entries[number].n;
}

void
packlist_shape(const struct packlist *list, uint32_t number,
			   struct packlist_shape *out)
{
	*out = list->entries[number].shape;
}

enum status
packlist_get(const struct packlist *list, uint32_t number,
			 struct stored_object *out, struct err *err)
{
	const struct entry *e = &list->entries[number];
	uint64_t at = e->at + sizeof(struct record);
	struct record record;
	enum status st =
		tempfile_read_at(list->file, e->at, &record, sizeof(record), err);

	if (st != ST_OK)
		return st;
	out->kind = list->kind;
	out->source = e->source;
	out->backup = list->backups[e->source];
	out->n = e->n;
	out->header_len = record.header_len;
	out->nframes = record.nframes;
	out->data_len = record.data_len;
	out->has_live = record.has_live != 0;
	st = tempfile_read_at(list->file, at, out->header, record.header_len, err);
	at += record.header_len;
	if (st == ST_OK)
		st = tempfile_read_at(list->file, at, out->frames,
							  record.nframes * sizeof(uint32_t), err);
	at += record.nframes * sizeof(uint32_t);
	if (st == ST_OK && out->has_live)
		st = tempfile_read_at(list->file, at, out->live,
							  (record.nframes - 1) * sizeof(uint32_t), err);
	return st;
}
