/*
 * overlay.c - what the server sent of a file, over what the base holds of it
 */
#include "basebackup/overlay.h"

#include <stdlib.h>

#include "basebackup/incremental.h"

struct overlay
{
	struct pack_writer *packs;
	struct incremental *parser;
	uint32_t page_size;
	const char *path; /* borrowed, from begin to end */
	uint8_t zeros[];  /* a page */
};

enum status
overlay_new(struct pack_writer *packs, uint32_t page_size, uint32_t pages_max,
			struct overlay **out, struct err *err)
{
	struct overlay *o = calloc(1, sizeof(*o) + page_size);
	enum status status;

	if (o == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	o->packs = packs;
	o->page_size = page_size;
	status = incremental_new(page_size, pages_max, &o->parser, err);
	if (status != ST_OK)
	{
		free(o);
		return status;
	}
	*out = o;
	return ST_OK;
}

void
overlay_free(struct overlay *o)
{
	if (o == NULL)
		return;
	incremental_free(o->parser);
	free(o);
}

static enum status
on_begin(void *arg, uint32_t pages, struct err *err)
{
	(void) arg;
	(void) pages;
	(void) err;
	return ST_OK;
}

static enum status
on_zeros(void *arg, uint32_t first, uint32_t count, struct err *err)
{
	struct overlay *o = arg;
	enum status status = ST_OK;

	(void) first;
	for (; count > 0 && status == ST_OK; count--)
		status = pack_file_data(o->packs, o->zeros, o->page_size, err);
	return status;
}

/*
 * The server keeps pages only of files that the base's manifest lists.  Where
 * the base's file ends, incomplete page or not, the file was extended since
 * without a trace in WAL: zeros.
 */
static enum status
on_keep(void *arg, uint32_t first, uint32_t count, struct err *err)
{
	struct overlay *o = arg;
	const struct stored_file *base = pack_file_base(o->packs);
	uint64_t pages;
	uint32_t kept;
	enum status status = ST_OK;

	if (base == NULL)
		return err_set(err, ST_CORRUPT,
					   "the server sent only changes of \"%s\", which the "
					   "base does not hold",
					   o->path);
	pages = base->size / o->page_size;
	pages = pages > first ? pages - first : 0;
	kept = pages < count ? (uint32_t) pages : count;
	if (kept > 0)
		status =
			pack_file_refer(o->packs, (uint64_t) kept * o->page_size, err);
	return status == ST_OK ? on_zeros(arg, first + kept, count - kept, err)
						   : status;
}

static enum status
on_data(void *arg, const void *data, size_t len, struct err *err)
{
	struct overlay *o = arg;

	return pack_file_data(o->packs, data, len, err);
}

enum status
overlay_begin(struct overlay *o, const char *path, uint64_t sent_size,
			  struct err *err)
{
	static const struct incremental_handler handler = {on_begin, on_keep,
													   on_zeros, on_data};
	enum status status =
		pack_file_begin(o->packs, path, PACK_SIZE_UNKNOWN, err);

	o->path = path;
	if (status == ST_OK)
		status = incremental_begin(o->parser, sent_size, &handler, o, err);
	return status == ST_OK ? ST_OK : err_context(err, "\"%s\"", path);
}

enum status
overlay_data(struct overlay *o, const void *data, size_t len, struct err *err)
{
	enum status status = incremental_feed(o->parser, data, len, err);

	return status == ST_OK ? ST_OK : err_context(err, "\"%s\"", o->path);
}

enum status
overlay_end(struct overlay *o, const struct stored_file **out, struct err *err)
{
	enum status status = incremental_finish(o->parser, err);

	if (status != ST_OK)
		return err_context(err, "\"%s\"", o->path);
	return pack_file_end(o->packs, out, err);
}
