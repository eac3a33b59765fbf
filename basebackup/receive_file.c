/*
 * receive_file.c - a file of the backup stream on its way into packs
 */
#include "basebackup/receive_file.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/incremental.h"
#include "basebackup/native.h"
#include "basebackup/overlay.h"
#include "common/crc32c.h"

#define LABEL_PATH "backup_label"

/* Its own lines and a label of 1000 bytes are far less. */
#define LABEL_ROOM ((size_t) 16384)

enum kind
{
	WHOLE,
	CHANGES,
	LABEL
};

struct receive_file
{
	struct pack_writer *packs;
	struct overlay *overlay; /* NULL: everything comes whole */
	enum kind kind;          /* of the file in hand */
	uint32_t sent_crc32c;    /* unless it comes whole */
	char path[RECEIVE_PATH_ROOM];
	size_t label_len;
	char label[LABEL_ROOM];
};

enum status
receive_file_new(struct pack_writer *packs, uint32_t page_size,
				 uint32_t pages_max, struct receive_file **out,
				 struct err *err)
{
	struct receive_file *f = calloc(1, sizeof(*f));
	enum status status = ST_OK;

	if (f == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	f->packs = packs;
	if (pages_max > 0)
		status = overlay_new(packs, page_size, pages_max, &f->overlay, err);
	if (status != ST_OK)
	{
		free(f);
		return status;
	}
	*out = f;
	return ST_OK;
}

void
receive_file_free(struct receive_file *f)
{
	if (f == NULL)
		return;
	overlay_free(f->overlay);
	free(f);
}

/* Only there are the names the server's own. */
static bool
holds_relations(const char *path)
{
	return strncmp(path, "base/", 5) == 0 ||
		   strncmp(path, "global/", 7) == 0 ||
		   strncmp(path, "pg_tblspc/", 10) == 0;
}

enum status
receive_file_begin(struct receive_file *f, const char *path, uint64_t size,
				   struct err *err)
{
	assert(strlen(path) < sizeof(f->path));
	f->kind = WHOLE;
	f->sent_crc32c = 0;
	f->label_len = 0;
	if (f->overlay != NULL && holds_relations(path) &&
		incremental_path(path, f->path))
	{
		f->kind = CHANGES;
		return overlay_begin(f->overlay, f->path, size, err);
	}
	(void) snprintf(f->path, sizeof(f->path), "%s", path);
	if (f->overlay == NULL || strcmp(path, LABEL_PATH) != 0)
		return pack_file_begin(f->packs, f->path, size, err);
	f->kind = LABEL;
	if (size > sizeof(f->label))
		return err_set(err, ST_CORRUPT, "\"%s\" is too long", path);
	return ST_OK;
}

enum status
receive_file_data(struct receive_file *f, const void *data, size_t len,
				  struct err *err)
{
	if (f->kind == WHOLE)
		return pack_file_data(f->packs, data, len, err);
	f->sent_crc32c = crc32c_update(f->sent_crc32c, data, len);
	if (f->kind == CHANGES)
		return overlay_data(f->overlay, data, len, err);
	memcpy(f->label + f->label_len, data, len);
	f->label_len += len;
	return ST_OK;
}

static enum status
end_label(struct receive_file *f, const struct stored_file **out,
		  struct err *err)
{
	size_t len = native_strip_label(f->label, f->label_len);
	enum status status = pack_file_begin(f->packs, f->path, len, err);

	if (status == ST_OK)
		status = pack_file_data(f->packs, f->label, len, err);
	return status == ST_OK ? pack_file_end(f->packs, out, err) : status;
}

enum status
receive_file_end(struct receive_file *f, struct received_whole *out,
				 struct err *err)
{
	const struct stored_file *stored = NULL;
	enum status status;

	if (f->kind == CHANGES)
		status = overlay_end(f->overlay, &stored, err);
	else if (f->kind == LABEL)
		status = end_label(f, &stored, err);
	else
		status = pack_file_end(f->packs, &stored, err);
	if (status != ST_OK)
		return status;
	out->path = f->path;
	out->changes = f->kind == CHANGES;
	out->stored = stored;
	out->sent_crc32c = f->kind == WHOLE ? stored->crc32c : f->sent_crc32c;
	return ST_OK;
}
