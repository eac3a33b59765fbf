/*
 * piece.c - pieces of stored objects, in memory
 */
#include "basebackup/piece.h"

#include <stdlib.h>
#include <string.h>

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

enum status
piece_reserve(struct piece *piece, size_t room, struct err *err)
{
	uint8_t *grown;

	if (room <= piece->room)
		return ST_OK;
	grown = realloc(piece->data, room);
	if (grown == NULL)
		return nomem(err);
	piece->data = grown;
	piece->room = room;
	return ST_OK;
}

void
piece_free(struct piece *piece)
{
	free(piece->data);
	*piece = (struct piece){0};
}

static enum status
take_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	struct piece *piece = arg;

	if (len > piece->room - piece->len)
		return err_set(err, ST_CORRUPT, "the store sent more than asked for");
	memcpy(piece->data + piece->len, data, len);
	piece->len += len;
	return ST_OK;
}

enum status
piece_append(struct piece *piece, struct repo *repo, const char *name,
			 uint64_t offset, size_t len, struct err *err)
{
	char key[STORE_KEY_MAX];
	enum status st;

	/* To the store a length of 0 is all that there is. */
	if (len == 0)
		return ST_OK;
	st = piece_reserve(piece, piece->len + len, err);
	if (st != ST_OK)
		return st;
	repo_key(key, repo->system_identifier, name);
	return store_get(repo->store, key, offset, len, take_bytes, piece, err);
}

/* Header and first frame, as they are stored. */
static enum status
fetch_first(struct repo *repo, const struct object_id *id, uint64_t size,
			size_t guess, struct piece *piece, struct first_frame *out,
			struct err *err)
{
	struct object *obj = &out->obj;
	size_t end;
	enum status st = piece_append(piece, repo, id->name, 0,
								  size < guess ? (size_t) size : guess, err);

	if (st == ST_OK)
		st = object_parse(obj, id, piece->data, piece->len, repo->ring, err);
	if (st == ST_OK)
		st = object_frame_length(obj, piece->data + obj->header_len,
								 piece->len - obj->header_len,
								 &out->stored_len, err);
	if (st != ST_OK)
		return st;
	end = obj->header_len + out->stored_len;
	if (out->stored_len == 0)
		return err_set(err, ST_CORRUPT, "\"%s\" is too short", id->name);
	if (end <= piece->len)
		return ST_OK;
	return piece_append(piece, repo, id->name, piece->len, end - piece->len,
						err);
}

static enum status
open_first(const struct piece *piece, uint64_t size, struct first_frame *out,
		   struct err *err)
{
	const struct object *obj = &out->obj;
	struct object_codec *codec = NULL;
	enum status st = object_codec_new(&codec, err);

	out->plain = malloc(obj->frame_size);
	if (st == ST_OK && out->plain == NULL)
		st = nomem(err);
	if (st == ST_OK)
		st = object_open_frame(obj, codec, 0,
							   obj->header_len + out->stored_len == size,
							   piece->data + obj->header_len, out->stored_len,
							   out->plain, &out->plain_len, err);
	object_codec_free(codec);
	return st;
}

enum status
first_frame_read(struct repo *repo, const struct object_id *id, uint64_t size,
				 size_t guess, struct first_frame *out, struct err *err)
{
	struct piece piece = {0};
	enum status st;

	memset(out, 0, sizeof(*out));
	st = fetch_first(repo, id, size, guess, &piece, out, err);
	if (st == ST_OK)
		st = open_first(&piece, size, out, err);
	piece_free(&piece);
	if (st != ST_OK)
		first_frame_free(out);
	return st;
}

void
first_frame_free(struct first_frame *first)
{
	object_wipe(&first->obj);
	free(first->plain);
	first->plain = NULL;
}
