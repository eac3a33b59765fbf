/*
 * receive.c - from the backup stream into packs and manifest
 */
#include "basebackup/receive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basebackup/incremental.h"
#include "basebackup/receive_file.h"
#include "basebackup/received.h"
#include "basebackup/remanifest.h"
#include "basebackup/server_manifest.h"
#include "basebackup/tar.h"
#include "common/cli.h"
#include "common/log.h"
#include "common/lz4_stream.h"

#define MANIFEST_PATH "backup_manifest"
#define TBLSPC        "pg_tblspc/"

enum place
{
	AT_START,
	IN_ARCHIVE,
	IN_MANIFEST
};

struct receiver
{
	const struct stream_start *start;
	const struct receive_target *target;
	struct receive_result *result;
	struct received *received;
	struct server_manifest *manifest;
	struct remanifest *remanifest; /* NULL: the server's is kept as it is */
	struct receive_file *file;
	struct lz4_stream *lz4; /* NULL: archives come as they are */

	enum place place;
	uint32_t oid; /* of the archive's tablespace; 0: the data directory */
	size_t archives;
	bool base_seen;
	struct tar_parser tar;
	struct tar_entry entry;       /* the file in hand, */
	char path[RECEIVE_PATH_ROOM]; /* and its path in the data directory */
};

static bool
is_tablespace(const struct receiver *r, uint32_t oid)
{
	for (size_t i = 0; i < r->start->ntablespaces; i++)
	{
		if (r->start->tablespaces[i].oid == oid)
			return true;
	}
	return false;
}

/*
 * A link is a tablespace.  Its archive has come before, or it was created
 * since the backup began: then recovery makes it from WAL.
 */
static enum status
check_link(const struct receiver *r, struct err *err)
{
	uint64_t oid;

	if (r->oid != 0 || strncmp(r->path, TBLSPC, strlen(TBLSPC)) != 0 ||
		!parse_uint64(r->path + strlen(TBLSPC), UINT32_MAX, &oid))
		return err_set(err, ST_CORRUPT,
					   "the server sent the unexpected symbolic link \"%s\"",
					   r->path);
	if (!is_tablespace(r, (uint32_t) oid))
		log_debug("tablespace %s is newer than the backup's start",
				  r->path + strlen(TBLSPC));
	return ST_OK;
}

static enum status
on_entry(void *arg, const struct tar_entry *entry, struct err *err)
{
	struct receiver *r = arg;

	r->entry = *entry;
	if (r->oid == 0)
		(void) snprintf(r->path, sizeof(r->path), "%s", entry->name);
	else
		(void) snprintf(r->path, sizeof(r->path), TBLSPC "%u/%s", r->oid,
						entry->name);
	switch (entry->type)
	{
		case TAR_SYMLINK:
			return check_link(r, err);
		case TAR_DIRECTORY:
			return manifest_add_dir(r->target->manifest, r->path, entry->mode,
									r->oid != 0, err);
		case TAR_FILE:
		default:
			if (strcmp(r->path, MANIFEST_PATH) == 0)
				return err_set(err, ST_CORRUPT,
							   "the server sent \"" MANIFEST_PATH "\" twice");
			return receive_file_begin(r->file, r->path, entry->size, err);
	}
}

static enum status
on_data(void *arg, const void *data, size_t len, struct err *err)
{
	struct receiver *r = arg;

	return receive_file_data(r->file, data, len, err);
}

/* Where the rewritten manifest goes. */
static enum status
put_manifest(void *arg, const void *data, size_t len, struct err *err)
{
	struct receiver *r = arg;

	return pack_file_data(r->target->packs, data, len, err);
}

static enum status
on_end(void *arg, struct err *err)
{
	struct receiver *r = arg;
	struct manifest_file file = {.mode = r->entry.mode,
								 .mtime = r->entry.mtime};
	struct received_file made = {.changes = false};
	struct received_whole whole;
	enum status status = receive_file_end(r->file, &whole, err);

	if (status != ST_OK)
		return status;
	made.changes = whole.changes;
	made.size = whole.stored->size;
	made.crc32c = whole.stored->crc32c;
	file.path = whole.path;
	file.stored = whole.stored;
	status = received_add(r->received, r->path, r->entry.size,
						  whole.sent_crc32c, &made, err);
	if (status == ST_OK)
		status = manifest_add_file(r->target->manifest, &file, err);
	return status;
}

static const struct tar_handler tar_handler = {on_entry, on_data, on_end};

static enum status
on_listed_file(void *arg, const struct server_manifest_file *file,
			   struct err *err)
{
	struct receiver *r = arg;
	struct server_manifest_file whole = *file;
	struct received_file made;
	char path[RECEIVE_PATH_ROOM];
	enum status status = received_compare(r->received, file, &made, err);

	if (status != ST_OK || r->remanifest == NULL)
		return status;
	/* The path is one that has come, so it has room. */
	if (made.changes && incremental_path(file->path, path))
		whole.path = path;
	whole.size = made.size;
	whole.crc32c = made.crc32c;
	return remanifest_file(r->remanifest, &whole, err);
}

static enum status
on_listed_range(void *arg, const struct server_manifest_range *range,
				struct err *err)
{
	struct receiver *r = arg;
	struct receive_result *res = r->result;
	size_t i = res->nranges;

	if (i == RECEIVE_RANGES_MAX)
		return err_set(err, ST_CORRUPT,
					   "the server's manifest has too many WAL ranges");
	/* The server lists the newest first. */
	for (; i > 0 && res->ranges[i - 1].timeline > range->timeline; i--)
		res->ranges[i] = res->ranges[i - 1];
	res->ranges[i] =
		(struct wal_range){range->timeline, range->start_lsn, range->end_lsn};
	res->nranges++;
	return r->remanifest == NULL ? ST_OK
								 : remanifest_range(r->remanifest, range, err);
}

static const struct server_manifest_handler manifest_handler = {
	on_listed_file, on_listed_range};

static enum status
end_archive(const struct receiver *r, struct err *err)
{
	enum status status = ST_OK;

	if (r->place != IN_ARCHIVE)
		return ST_OK;
	if (r->lz4 != NULL)
		status = lz4_stream_finish(r->lz4, err);
	return status == ST_OK ? tar_finish(&r->tar, err) : status;
}

static enum status
begin_archive(struct receiver *r, const struct stream_event *event,
			  struct err *err)
{
	enum status status = end_archive(r, err);

	if (status != ST_OK)
		return status;
	if (r->place == IN_MANIFEST ||
		!stream_parse_archive(event->archive, r->lz4 != NULL, &r->oid) ||
		r->base_seen || (r->oid != 0 && !is_tablespace(r, r->oid)))
		return err_set(err, ST_CORRUPT,
					   "the server sent the unexpected archive \"%s\"",
					   event->archive);
	r->base_seen = r->oid == 0;
	r->archives++;
	r->place = IN_ARCHIVE;
	tar_init(&r->tar, &tar_handler, r);
	if (r->lz4 != NULL)
		lz4_stream_begin(r->lz4);
	return ST_OK;
}

static enum status
begin_manifest(struct receiver *r, struct err *err)
{
	enum status status = end_archive(r, err);

	if (status != ST_OK)
		return status;
	if (r->place == IN_MANIFEST || !r->base_seen ||
		r->archives != r->start->ntablespaces + 1)
		return err_set(err, ST_CORRUPT,
					   "the server's manifest came before all archives");
	r->place = IN_MANIFEST;
	status = server_manifest_new(
		&manifest_handler, r, r->target->system_identifier, &r->manifest, err);
	if (status == ST_OK && r->target->pages_max > 0)
		status = remanifest_new(r->target->system_identifier, put_manifest, r,
								&r->remanifest, err);
	if (status != ST_OK)
		return status;
	return pack_file_begin(r->target->packs, MANIFEST_PATH, PACK_SIZE_UNKNOWN,
						   err);
}

static enum status
feed_tar(void *arg, const void *data, size_t len, struct err *err)
{
	struct receiver *r = arg;

	return tar_feed(&r->tar, data, len, err);
}

static enum status
take_data(struct receiver *r, const struct stream_event *event,
		  struct err *err)
{
	enum status status;

	switch (r->place)
	{
		case IN_ARCHIVE:
			status = r->lz4 == NULL ? feed_tar(r, event->data, event->len, err)
									: lz4_stream_feed(r->lz4, event->data,
													  event->len, err);
			if (status == ST_CORRUPT && r->path[0] != '\0')
				(void) err_context(err, "after \"%s\"", r->path);
			return status;
		case IN_MANIFEST:
			status = server_manifest_feed(r->manifest, event->data, event->len,
										  err);
			if (status != ST_OK || r->remanifest != NULL)
				return status;
			return pack_file_data(r->target->packs, event->data, event->len,
								  err);
		case AT_START:
		default:
			return err_set(err, ST_CORRUPT,
						   "the server sent data outside of an archive");
	}
}

/* The server's manifest is complete, and agrees with what has come. */
static enum status
end_manifest(struct receiver *r, struct err *err)
{
	/* As the server makes its own files: readable by the group, or not. */
	uint32_t group = r->target->data_directory_mode & 0040;
	struct manifest_file file = {.path = MANIFEST_PATH,
								 .mode = 0600 | group,
								 .mtime = (int64_t) time(NULL)};
	enum status status;

	if (r->place != IN_MANIFEST)
		return err_set(err, ST_CORRUPT,
					   "the backup stream ended before the server's manifest");
	status = server_manifest_finish(r->manifest, err);
	if (status == ST_OK)
		status = received_finish(r->received, err);
	if (status == ST_OK && r->remanifest != NULL)
		status = remanifest_finish(r->remanifest, err);
	if (status == ST_OK)
		status = pack_file_end(r->target->packs, &file.stored, err);
	if (status == ST_OK)
		status = manifest_add_file(r->target->manifest, &file, err);
	return status;
}

static enum status
take_event(struct receiver *r, const struct stream_event *event,
		   struct err *err)
{
	switch (event->kind)
	{
		case STREAM_ARCHIVE:
			return begin_archive(r, event, err);
		case STREAM_MANIFEST:
			return begin_manifest(r, err);
		case STREAM_DATA:
			return take_data(r, event, err);
		case STREAM_PROGRESS:
			progress_update(r->target->progress, event->progress);
			return ST_OK;
		case STREAM_END:
		default:
			return ST_OK;
	}
}

/* The WAL ranges must lead from the backup's start to its end. */
static enum status
check_ranges(const struct receiver *r, struct err *err)
{
	const struct receive_result *res = r->result;
	const struct wal_range *range = res->ranges;
	size_t n = res->nranges;
	bool good = n > 0 && range[0].timeline == r->start->timeline &&
				range[0].start_lsn == r->start->lsn &&
				range[n - 1].timeline == res->stop_timeline &&
				range[n - 1].end_lsn == res->stop_lsn;

	for (size_t i = 1; i < n && good; i++)
		good = range[i].timeline > range[i - 1].timeline &&
			   range[i].start_lsn == range[i - 1].end_lsn;
	if (good)
		return ST_OK;
	return err_set(err, ST_CORRUPT,
				   "the WAL ranges of the server's manifest are not those of "
				   "the backup");
}

static enum status
receive_all(struct receiver *r, struct stream *stream, struct err *err)
{
	struct stream_event event = {.kind = STREAM_DATA};
	struct err finish_err;
	enum status status = ST_OK;
	enum status finished;

	while (status == ST_OK && event.kind != STREAM_END)
	{
		status = pack_pool_check(r->target->pool, err);
		if (status == ST_OK)
			status = stream_next(stream, &event, err);
		if (status == ST_OK)
			status = take_event(r, &event, err);
	}
	if (status != ST_OK)
		return status;
	/* A server that failed in the middle says why only now. */
	finished = stream_finish(stream, &r->result->stop_lsn,
							 &r->result->stop_timeline, &finish_err);
	if (finished != ST_OK)
	{
		*err = finish_err;
		return finished;
	}
	status = end_manifest(r, err);
	if (status == ST_OK)
		status = check_ranges(r, err);
	return status;
}

enum status
receive_backup(struct stream *stream, const struct receive_target *target,
			   struct receive_result *result, struct err *err)
{
	struct receiver r = {
		.start = stream_start(stream), .target = target, .result = result};
	enum status status = ST_OK;

	memset(result, 0, sizeof(*result));
	for (size_t i = 0; i < r.start->ntablespaces && status == ST_OK; i++)
		status = manifest_add_tablespace(
			target->manifest, r.start->tablespaces[i].oid,
			r.start->tablespaces[i].location, err);
	if (status == ST_OK)
		status = received_new(&r.received, err);
	if (status == ST_OK)
		status = receive_file_new(target->packs, target->page_size,
								  target->pages_max, &r.file, err);
	if (status == ST_OK && target->lz4)
		status = lz4_stream_new(feed_tar, &r, &r.lz4, err);
	if (status == ST_OK)
		status = receive_all(&r, stream, err);
	server_manifest_free(r.manifest);
	remanifest_free(r.remanifest);
	receive_file_free(r.file);
	received_free(r.received);
	lz4_stream_free(r.lz4);
	return status;
}
