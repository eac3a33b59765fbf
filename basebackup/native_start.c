/*
 * native_start.c - a backup begins: only changes, or everything
 */
#include "basebackup/native_start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/json.h"
#include "common/log.h"

#define MANIFEST_PATH "backup_manifest"

/* The base's manifest goes to the server in pieces of this size. */
#define PIECE ((size_t) 65536)

static struct deadline
wait_until(const struct stream_options *o)
{
	return deadline_in(o->wait_ms, o->cancel);
}

static void
read_everything(struct native_outcome *outcome, const char *why)
{
	outcome->pages_max = 0;
	/* The server's words may be in any encoding. */
	(void) snprintf(outcome->why, sizeof(outcome->why), "%s",
					utf8_valid(why, strlen(why)) ? why : "the server refused");
}

/*
 * What the server says against it is no failure of the backup, as long as the
 * connection lives.  Anything else is.
 */
static enum status
refused(const struct native_start *start, const struct stream_options *options,
		struct native_outcome *outcome, struct err *err)
{
	struct deadline d = wait_until(options);
	struct err broken;

	if (err->status != ST_SERVER && err->status != ST_AUTH)
		return err->status;
	if (pgconn_drain(start->conn, &d, &broken) != ST_OK)
		return err->status;
	read_everything(outcome, err->message);
	return ST_OK;
}

/* One extent of the base's manifest. */
static enum status
upload_extent(const struct native_start *start,
			  const struct stream_options *options,
			  const struct extent *extent, uint8_t *piece, struct err *err)
{
	enum status status = ST_OK;

	if (extent->pack == EXTENT_ZEROS)
		return err_set(err, ST_CORRUPT, "its backup_manifest has zeros");
	for (uint64_t at = 0; at < extent->length && status == ST_OK;)
	{
		uint64_t left = extent->length - at;
		size_t len = left < PIECE ? (size_t) left : PIECE;
		struct deadline d = wait_until(options);

		status = base_content(start->base, (uint32_t) extent->pack,
							  extent->position + at, piece, len, err);
		if (status == ST_OK)
			status = native_upload_data(start->conn, &d, piece, len, err);
		at += len;
	}
	return status;
}

static enum status
upload_manifest(const struct native_start *start,
				const struct stream_options *options,
				const struct stored_file *manifest, struct err *err)
{
	struct deadline d = wait_until(options);
	uint8_t *piece = malloc(PIECE);
	enum status status;

	if (piece == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = native_upload_begin(start->conn, &d, err);
	for (size_t i = 0; i < manifest->nextents && status == ST_OK; i++)
		status =
			upload_extent(start, options, &manifest->extents[i], piece, err);
	free(piece);
	if (status != ST_OK)
		return status;
	d = wait_until(options);
	return native_upload_end(start->conn, &d, err);
}

/* May the server be asked for changes?  Then it has seen the manifest. */
static enum status
prepare(const struct native_start *start, const struct stream_options *options,
		struct native_outcome *outcome, struct err *err)
{
	const struct stored_file *manifest = NULL;
	struct deadline d = wait_until(options);
	bool good = false;
	enum status status;

	if (start->off)
		read_everything(outcome, "--incremental=off was given");
	else if (start->base == NULL)
		read_everything(outcome, "there is no backup to build on");
	if (outcome->why[0] != '\0')
		return ST_OK;
	status = native_ask(start->conn, start->page_size, &d, &good,
						&outcome->pages_max, outcome->why, err);
	if (status != ST_OK || !good)
		return status;
	status = base_find(start->base, MANIFEST_PATH, &manifest, err);
	if (status != ST_OK)
		return status;
	if (manifest == NULL)
	{
		read_everything(outcome, "the older backup has no " MANIFEST_PATH);
		return ST_OK;
	}
	status = upload_manifest(start, options, manifest, err);
	return status == ST_OK ? ST_OK : refused(start, options, outcome, err);
}

enum status
native_stream_begin(const struct native_start *start,
					struct stream_options *options, struct stream **out,
					struct native_outcome *outcome, struct err *err)
{
	enum status status;

	memset(outcome, 0, sizeof(*outcome));
	options->incremental = false;
	status = prepare(start, options, outcome, err);
	if (status != ST_OK)
		return status;
	if (outcome->why[0] == '\0')
	{
		options->incremental = true;
		status = stream_begin(start->conn, options, out, err);
		if (status == ST_OK)
			return ST_OK;
		status = refused(start, options, outcome, err);
		if (status != ST_OK)
			return status;
		options->incremental = false;
	}
	if (start->base != NULL)
		log_info("reading everything: %s", outcome->why);
	return stream_begin(start->conn, options, out, err);
}
