/*
 * fetch_pack.c - one pack from the store into files
 */
#include "basebackup/fetch_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basebackup/piece.h"
#include "basebackup/reuse.h"
#include "common/crc32c.h"
#include "common/deadline.h"
#include "common/repo.h"

/* Bytes that are cheaper to read through than to leave out. */
#define GAP_MAX ((uint64_t) 256 << 10)

struct pack_fetcher
{
	const struct fetch_job *job;
	struct repo repo;
	bool repo_open;
	struct object_codec *codec;
	struct tree_cursor *cursor;
	struct reuse *reuse; /* NULL: nothing is there already */

	/* The pack. */
	struct plan_pack *pack;
	char name[OBJECT_NAME_MAX + 1];
	struct object obj;
	bool *needed; /* by frame */
	const struct plan_extent *extents;
	size_t nextents;
	size_t first; /* extents before it are done */
	_Atomic uint64_t *done;

	/* The frame that arrives. */
	size_t frame;
	struct piece stored;
	struct piece plain;

	/* The file that was written last. */
	int fd;
	uint32_t open_entry;
	struct plan_entry entry;
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

enum status
pack_fetcher_new(const struct fetch_job *job, struct pack_fetcher **out,
				 struct err *err)
{
	struct pack_fetcher *f = calloc(1, sizeof(*f));
	enum status st;

	if (f == NULL)
		return nomem(err);
	f->job = job;
	f->fd = -1;
	f->pack = malloc(sizeof(*f->pack));
	f->needed = calloc(MANIFEST_FRAMES_MAX, sizeof(*f->needed));
	if (f->pack == NULL || f->needed == NULL)
		st = nomem(err);
	else
		st = repo_open(&f->repo, job->cfg, job->ring, job->system_identifier,
					   err);
	if (st == ST_OK)
	{
		f->repo_open = true;
		store_set_timeout(f->repo.store, job->cfg->command_timeout_ms,
						  job->cancel);
		st = object_codec_new(&f->codec, err);
	}
	if (st == ST_OK)
		st = tree_cursor_new(job->tree, &f->cursor, err);
	if (st == ST_OK && job->delta != NULL)
		st = reuse_new(job, &f->reuse, err);
	if (st != ST_OK)
	{
		pack_fetcher_free(f);
		return st;
	}
	*out = f;
	return ST_OK;
}

void
pack_fetcher_free(struct pack_fetcher *fetcher)
{
	if (fetcher == NULL)
		return;
	if (fetcher->fd >= 0)
		(void) close(fetcher->fd);
	tree_cursor_free(fetcher->cursor);
	reuse_free(fetcher->reuse);
	object_codec_free(fetcher->codec);
	if (fetcher->repo_open)
		repo_close(&fetcher->repo);
	free(fetcher->pack);
	free(fetcher->needed);
	piece_free(&fetcher->stored);
	piece_free(&fetcher->plain);
	free(fetcher);
}

enum status
pack_fetcher_flush(struct pack_fetcher *f, struct err *err)
{
	int fd = f->fd;

	f->fd = -1;
	if (fd >= 0 && close(fd) != 0)
		return err_set_errno(err, ST_IO, errno, "could not write \"%s\"",
							 f->entry.path);
	return ST_OK;
}

static enum status
open_entry(struct pack_fetcher *f, uint32_t number, struct err *err)
{
	enum status st;

	if (f->fd >= 0 && f->open_entry == number)
		return ST_OK;
	if ((st = pack_fetcher_flush(f, err)) != ST_OK ||
		(st = plan_get_entry(f->job->plan, number, &f->entry, err)) != ST_OK ||
		(st = tree_open(f->cursor, f->entry.area, plan_pending_path(&f->entry),
						&f->fd, err)) != ST_OK)
		return st;
	f->open_entry = number;
	return ST_OK;
}

/* Writes part of an extent: len bytes that belong at offset at. */
static enum status
write_part(struct pack_fetcher *f, const struct plan_extent *extent,
		   uint64_t at, const uint8_t *data, size_t len, struct err *err)
{
	enum status st = open_entry(f, extent->entry, err);
	size_t written = 0;

	if (st != ST_OK)
		return st;
	while (written < len)
	{
		ssize_t n = pwrite(f->fd, data + written, len - written,
						   (off_t) (at + written));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set_errno(err, ST_IO, n < 0 ? errno : ENOSPC,
								 "could not write \"%s/%s\"",
								 tree_path(f->job->tree, f->entry.area),
								 f->entry.path);
		written += (size_t) n;
	}
	plan_part_done(f->job->plan, extent->entry, f->entry.size, at, len,
				   crc32c_update(0, data, len));
	atomic_fetch_add(f->done, len);
	return ST_OK;
}

/* Gives an opened frame's content to the extents that want it. */
static enum status
write_frame(struct pack_fetcher *f, struct err *err)
{
	uint64_t begin = (uint64_t) (f->frame - 1) * f->obj.frame_size;
	uint64_t end = begin + f->obj.frame_size;
	enum status st = ST_OK;

	for (size_t i = f->first; st == ST_OK && i < f->nextents; i++)
	{
		const struct plan_extent *extent = &f->extents[i];
		uint64_t from = extent->position;
		uint64_t to = from + extent->length;

		if (from >= end)
			break;
		if (to <= begin)
		{
			if (i == f->first)
				f->first++;
			continue;
		}
		if (from < begin)
			from = begin;
		if (to > end)
			to = end;
		if (to - begin > f->plain.len)
			return err_set(err, ST_CORRUPT,
						   "pack \"%s\" holds less than its backup's "
						   "manifest says",
						   f->name);
		st = write_part(f, extent, extent->at + (from - extent->position),
						f->plain.data + (from - begin), (size_t) (to - from),
						err);
	}
	return st;
}

static enum status
take_frame(struct pack_fetcher *f, struct err *err)
{
	bool final = f->frame + 1 == f->pack->nframes;
	enum status st;

	if (!f->needed[f->frame])
		return ST_OK;
	st = object_open_frame(&f->obj, f->codec, (uint32_t) f->frame, final,
						   f->stored.data, f->stored.len, f->plain.data,
						   &f->plain.len, err);
	if (st == ST_OK && !final && f->plain.len != f->obj.frame_size)
		st = err_set(err, ST_CORRUPT, "frame %zu of pack \"%s\" is short",
					 f->frame, f->name);
	if (st == ST_OK)
		st = write_frame(f, err);
	return st;
}

/* A store_sink: cuts what arrives into frames. */
static enum status
take_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	struct pack_fetcher *f = arg;
	const uint8_t *at = data;

	while (len > 0)
	{
		size_t want, n;
		enum status st;

		if (f->frame == f->pack->nframes)
			return err_set(err, ST_CORRUPT,
						   "the store sent more than asked for");
		want = f->pack->frames[f->frame] - f->stored.len;
		n = len < want ? len : want;
		memcpy(f->stored.data + f->stored.len, at, n);
		f->stored.len += n;
		at += n;
		len -= n;
		if (n < want)
			break;
		if ((st = take_frame(f, err)) != ST_OK)
			return st;
		f->frame++;
		f->stored.len = 0;
	}
	return ST_OK;
}

/* Marks the frames that the extents lie in. */
static void
mark_frames(struct pack_fetcher *f)
{
	memset(f->needed, 0, f->pack->nframes * sizeof(*f->needed));
	for (size_t i = 0; i < f->nextents; i++)
	{
		const struct plan_extent *extent = &f->extents[i];
		size_t first = 1 + extent->position / f->obj.frame_size;
		size_t last =
			1 + (extent->position + extent->length - 1) / f->obj.frame_size;

		for (size_t frame = first; frame <= last; frame++)
			f->needed[frame] = true;
	}
}

/* Fetches frames first to last, *at being where the first begins. */
static enum status
fetch_frames(struct pack_fetcher *f, const char *key, uint64_t at,
			 size_t first, size_t last, struct err *err)
{
	uint64_t len = 0;
	enum status st;

	for (size_t i = first; i <= last; i++)
	{
		len += f->pack->frames[i];
		st = piece_reserve(&f->stored, f->pack->frames[i], err);
		if (st != ST_OK)
			return st;
	}
	f->frame = first;
	f->stored.len = 0;
	return store_get(f->repo.store, key, at, len, take_bytes, f, err);
}

/* Requests of neighbouring frames, through gaps that are small. */
static enum status
fetch_runs(struct pack_fetcher *f, const char *key, struct err *err)
{
	const struct deadline cancelled = deadline_in(-1, f->job->cancel);
	uint64_t at = f->pack->header_len;
	size_t first = 0;
	enum status st = ST_OK;

	while (st == ST_OK)
	{
		uint64_t gap = 0;
		size_t last;

		while (first < f->pack->nframes && !f->needed[first])
			at += f->pack->frames[first++];
		if (first == f->pack->nframes)
			break;
		last = first;
		for (size_t i = first + 1; i < f->pack->nframes && gap <= GAP_MAX; i++)
		{
			gap = f->needed[i] ? 0 : gap + f->pack->frames[i];
			if (f->needed[i])
				last = i;
		}
		st = deadline_check(&cancelled, err);
		if (st == ST_OK)
			st = fetch_frames(f, key, at, first, last, err);
		while (first <= last)
			at += f->pack->frames[first++];
	}
	return st;
}

/* Leaves out what the files hold already, as the pack's table tells. */
static enum status
leave_out(struct pack_fetcher *f, struct err *err)
{
	enum status st;

	f->stored.len = 0;
	st = piece_append(&f->stored, &f->repo, f->name, f->pack->header_len,
					  f->pack->frames[0], err);
	if (st == ST_OK)
		st = object_open_frame(&f->obj, f->codec, 0, f->pack->nframes == 1,
							   f->stored.data, f->stored.len, f->plain.data,
							   &f->plain.len, err);
	if (st == ST_OK)
		st =
			reuse_compare(f->reuse, f->plain.data, f->plain.len, f->done, err);
	return st;
}

/* The pack's header was parsed. */
static enum status
fetch_pack(struct pack_fetcher *f, const char *key, struct err *err)
{
	enum status st = piece_reserve(&f->plain, f->obj.frame_size, err);

	if (st == ST_OK && f->reuse != NULL && reuse_wants_table(f->reuse))
	{
		st = leave_out(f, err);
		f->nextents = reuse_rest(f->reuse, &f->extents);
	}
	if (st != ST_OK || f->nextents == 0)
		return st;
	mark_frames(f);
	return fetch_runs(f, key, err);
}

enum status
pack_fetcher_run(struct pack_fetcher *f, const struct plan_extent *extents,
				 size_t count, _Atomic uint64_t *done, struct err *err)
{
	struct object_id id = {OBJECT_PACK, f->job->system_identifier, f->name};
	char key[STORE_KEY_MAX];
	enum status st = ST_OK;

	f->extents = extents;
	f->nextents = count;
	f->first = 0;
	f->done = done;
	if (f->reuse != NULL)
	{
		st = reuse_begin(f->reuse, extents, count, done, err);
		f->nextents = reuse_rest(f->reuse, &f->extents);
	}
	if (st != ST_OK || f->nextents == 0)
		return st;
	st = plan_get_pack(f->job->plan, extents[0].pack, f->pack, err);
	if (st != ST_OK)
		return st;
	repo_pack_name(f->name, f->pack->backup, f->pack->n);
	repo_key(key, f->job->system_identifier, f->name);
	st = object_parse(&f->obj, &id, f->pack->header, f->pack->header_len,
					  f->job->ring, err);
	if (st != ST_OK)
		return st;
	st = fetch_pack(f, key, err);
	object_wipe(&f->obj);
	return st;
}
