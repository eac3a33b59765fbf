/*
 * pack_reader.c - parts of packs and digest objects, wherever they lie
 */
#include "basebackup/pack_reader.h"

#include <stdlib.h>
#include <string.h>

#include "basebackup/piece.h"

struct kept_frame
{
	uint32_t object;
	uint32_t frame; /* 0: nothing is kept here */
	uint64_t used;  /* when it was last */
	struct piece plain;
};

struct pack_reader
{
	struct repo *repo;
	const struct packlist *list;
	struct object_codec *codec;
	struct stored_object *object; /* whose header is in obj, */
	uint32_t number;              /* UINT32_MAX: none */
	char name[OBJECT_NAME_MAX + 1];
	struct object obj;
	struct piece stored; /* a frame */
	struct kept_frame *kept;
	size_t nkept;
	uint64_t clock;
	uint64_t fetched;
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

enum status
pack_reader_new(struct repo *repo, const struct packlist *list, size_t nframes,
				struct pack_reader **out, struct err *err)
{
	struct pack_reader *r = calloc(1, sizeof(*r));
	enum status st;

	if (r == NULL)
		return nomem(err);
	r->repo = repo;
	r->list = list;
	r->nkept = nframes;
	r->number = UINT32_MAX;
	r->object = malloc(sizeof(*r->object));
	r->kept = calloc(nframes, sizeof(*r->kept));
	if (r->object == NULL || r->kept == NULL)
		st = nomem(err);
	else
		st = object_codec_new(&r->codec, err);
	if (st != ST_OK)
	{
		pack_reader_free(r);
		return st;
	}
	*out = r;
	return ST_OK;
}

void
pack_reader_free(struct pack_reader *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; r->kept != NULL && i < r->nkept; i++)
		piece_free(&r->kept[i].plain);
	object_wipe(&r->obj);
	object_codec_free(r->codec);
	free(r->object);
	free(r->kept);
	piece_free(&r->stored);
	free(r);
}

uint64_t
pack_reader_fetched(const struct pack_reader *r)
{
	return r->fetched;
}

/* Has the object's header, and so its key, at hand. */
static enum status
open_object(struct pack_reader *r, uint32_t number, struct err *err)
{
	struct stored_object *o = r->object;
	struct object_id id = {OBJECT_PACK, r->repo->system_identifier, r->name};
	enum status st;

	if (r->number == number)
		return ST_OK;
	r->number = UINT32_MAX;
	st = packlist_get(r->list, number, o, err);
	if (st != ST_OK)
		return st;
	if (o->kind == OBJECT_PACK)
		repo_pack_name(r->name, o->backup, o->n);
	else
		repo_digest_name(r->name, o->backup, o->n);
	id.kind = o->kind;
	object_wipe(&r->obj);
	st = object_parse(&r->obj, &id, o->header, o->header_len, r->repo->ring,
					  err);
	if (st == ST_OK && r->obj.header_len != o->header_len)
		st = err_set(err, ST_CORRUPT, "the header of \"%s\" is too long",
					 r->name);
	if (st == ST_OK)
		r->number = number;
	return st;
}

/* The stored frame, in r->stored. */
static enum status
get_stored(struct pack_reader *r, uint32_t frame, struct err *err)
{
	uint64_t at = r->object->header_len;
	enum status st;

	for (uint32_t i = 0; i < frame; i++)
		at += r->object->frames[i];
	r->stored.len = 0;
	st = piece_append(&r->stored, r->repo, r->name, at,
					  r->object->frames[frame], err);
	r->fetched += r->stored.len;
	return st;
}

static enum status
load_frame(struct pack_reader *r, uint32_t frame, struct kept_frame *kept,
		   struct err *err)
{
	bool final = frame + 1 == r->object->nframes;
	enum status st;

	if (frame >= r->object->nframes)
		return err_set(err, ST_CORRUPT, "\"%s\" has too few frames", r->name);
	kept->frame = 0;
	st = piece_reserve(&kept->plain, r->obj.frame_size, err);
	if (st == ST_OK)
		st = get_stored(r, frame, err);
	if (st == ST_OK)
		st = object_open_frame(&r->obj, r->codec, frame, final, r->stored.data,
							   r->stored.len, kept->plain.data,
							   &kept->plain.len, err);
	if (st == ST_OK && !final && kept->plain.len != r->obj.frame_size)
		st = err_set(err, ST_CORRUPT, "frame %u of \"%s\" is short", frame,
					 r->name);
	if (st != ST_OK)
		return st;
	kept->object = r->number;
	kept->frame = frame;
	return ST_OK;
}

/* A frame of the object at hand: kept, or in place of the least used one. */
static enum status
find_frame(struct pack_reader *r, uint32_t frame,
		   const struct kept_frame **out, struct err *err)
{
	struct kept_frame *chosen = &r->kept[0];
	enum status st = ST_OK;

	for (size_t i = 0; i < r->nkept; i++)
	{
		struct kept_frame *k = &r->kept[i];

		if (k->frame == frame && k->object == r->number)
		{
			k->used = ++r->clock;
			*out = k;
			return ST_OK;
		}
		if (k->used < chosen->used)
			chosen = k;
	}
	st = load_frame(r, frame, chosen, err);
	chosen->used = ++r->clock;
	*out = chosen;
	return st;
}

enum status
pack_reader_read(struct pack_reader *r, uint32_t number, uint64_t position,
				 void *out, size_t len, struct err *err)
{
	enum status st = open_object(r, number, err);
	uint8_t *to = out;

	while (st == ST_OK && len > 0)
	{
		const struct kept_frame *kept = NULL;
		size_t from, n;

		/* Frame 0 is the table. */
		st = find_frame(r, (uint32_t) (1 + position / r->obj.frame_size),
						&kept, err);
		if (st != ST_OK)
			break;
		from = (size_t) (position % r->obj.frame_size);
		if (from >= kept->plain.len)
			return err_set(err, ST_CORRUPT,
						   "\"%s\" holds less than the manifest says",
						   r->name);
		n = kept->plain.len - from < len ? kept->plain.len - from : len;
		memcpy(to, kept->plain.data + from, n);
		to += n;
		position += n;
		len -= n;
	}
	return st;
}
