/*
 * object_reader.c - opening a whole object, fed piece by piece
 *
 * A sealed frame does not say whether it is the last; that nothing follows it
 * does.  So a complete frame is held until one byte more, or the end, shows
 * which of the two it is.
 */
#include "common/object.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/object_internal.h"

enum reader_state
{
	READER_HEADER,
	READER_FRAMES,
	READER_DONE,
	READER_FAILED
};

struct object_reader
{
	struct object_id id;
	char name[OBJECT_NAME_MAX + 1];
	const struct keyring *ring;
	enum status (*sink)(void *arg, const void *data, size_t len,
						struct err *err);
	void *arg;
	struct object_codec *codec;
	struct object obj;
	enum reader_state state;
	bool authenticated;
	uint32_t number;    /* of the frame that comes next */
	uint64_t delivered; /* bytes of content so far */
	uint8_t *held;      /* stored bytes that are not opened yet */
	size_t held_len;
	uint8_t *plain; /* one opened frame */
	struct err failure;
};

enum status
object_reader_new(const struct object_id *id, const struct keyring *ring,
				  enum status (*sink)(void *arg, const void *data, size_t len,
									  struct err *err),
				  void *arg, struct object_reader **out, struct err *err)
{
	struct object_reader *r = calloc(1, sizeof *r);
	enum status status;

	if (r == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	r->id = *id;
	if (id->name != NULL)
	{
		size_t len = strnlen(id->name, sizeof r->name);

		if (len == sizeof r->name)
		{
			free(r);
			return err_set(err, ST_CONFIG,
						   "cannot read an object of the name \"%.*s\"",
						   OBJECT_NAME_MAX, id->name);
		}
		memcpy(r->name, id->name, len);
		r->id.name = r->name;
	}
	r->ring = ring;
	r->sink = sink;
	r->arg = arg;
	r->held = malloc(OBJECT_HEADER_MAX);
	status = r->held == NULL ? err_set(err, ST_NOMEM, "out of memory")
							 : object_codec_new(&r->codec, err);
	if (status != ST_OK)
	{
		object_reader_free(r);
		return status;
	}
	*out = r;
	return ST_OK;
}

void
object_reader_free(struct object_reader *reader)
{
	if (reader == NULL)
		return;
	object_wipe(&reader->obj);
	object_codec_free(reader->codec);
	free(reader->held);
	free(reader->plain);
	free(reader);
}

const struct object *
object_reader_object(const struct object_reader *reader)
{
	return reader->authenticated ? &reader->obj : NULL;
}

/* A reader that has failed fails for ever, in the same words. */
static enum status
fail(struct object_reader *r, const struct err *err)
{
	r->state = READER_FAILED;
	r->failure = *err;
	return err->status;
}

static enum status
corrupt(const struct object_reader *r, struct err *err, const char *reason)
{
	return object_corrupt(err, r->id.system_identifier, r->id.name, "%s",
						  reason);
}

/* Moves input into the held bytes until there are want of them. */
static bool
hold(struct object_reader *r, const uint8_t **data, size_t *len, size_t want)
{
	size_t n = want > r->held_len ? want - r->held_len : 0;

	if (n > *len)
		n = *len;
	memcpy(r->held + r->held_len, *data, n);
	r->held_len += n;
	*data += n;
	*len -= n;
	return r->held_len >= want;
}

static enum status
take_header(struct object_reader *r, const uint8_t **data, size_t *len,
			struct err *err)
{
	size_t header_len;
	enum status status;

	if (!hold(r, data, len, OBJECT_HEADER_PREFIX))
		return ST_OK;
	status =
		object_header_length(&r->id, r->held, r->held_len, &header_len, err);
	if (status != ST_OK || !hold(r, data, len, header_len))
		return status;
	status = object_parse(&r->obj, &r->id, r->held, r->held_len, r->ring, err);
	if (status != ST_OK)
		return status;

	/* At most OBJECT_FRAME_MAX and a little, whatever the header says. */
	free(r->held);
	r->held_len = 0;
	r->held = malloc(object_frame_bound(r->obj.frame_size));
	r->plain = malloc(r->obj.frame_size);
	if (r->held == NULL || r->plain == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	r->state = READER_FRAMES;
	return ST_OK;
}

static enum status
open_frame(struct object_reader *r, const uint8_t *stored, size_t stored_len,
		   bool final, struct err *err)
{
	uint64_t left = r->obj.plain_len - r->delivered;
	size_t plain_len;
	enum status status;

	status = object_open_frame(&r->obj, r->codec, r->number, final, stored,
							   stored_len, r->plain, &plain_len, err);
	if (status != ST_OK)
		return status;
	if (plain_len > left || (plain_len == left) != final)
		return corrupt(r, err, "it is not as long as its header says");
	if (!final && r->number == UINT32_MAX)
		return corrupt(r, err, "it has too many frames");
	r->authenticated = true;
	r->number++;
	r->delivered += plain_len;
	if (plain_len == 0)
		return ST_OK;
	return r->sink(r->arg, r->plain, plain_len, err);
}

/*
 * Opens the next frame if it is known not to be the last; otherwise holds
 * what there is of it.  Frames that lie whole in the input are not copied.
 */
static enum status
take_frame(struct object_reader *r, const uint8_t **data, size_t *len,
		   struct err *err)
{
	size_t stored_len = 0;
	enum status status;

	if (r->held_len == 0)
	{
		status = object_frame_length(&r->obj, *data, *len, &stored_len, err);
		if (status != ST_OK)
			return status;
		if (stored_len > 0 && *len > stored_len)
		{
			const uint8_t *stored = *data;

			*data += stored_len;
			*len -= stored_len;
			return open_frame(r, stored, stored_len, false, err);
		}
	}
	if (!hold(r, data, len, OBJECT_FRAME_PREFIX))
		return ST_OK;
	status =
		object_frame_length(&r->obj, r->held, r->held_len, &stored_len, err);
	if (status != ST_OK)
		return status;
	if (!hold(r, data, len, stored_len) || *len == 0)
		return ST_OK;
	r->held_len = 0;
	return open_frame(r, r->held, stored_len, false, err);
}

enum status
object_reader_feed(void *reader, const void *data, size_t len, struct err *err)
{
	struct object_reader *r = reader;
	const uint8_t *at = data;
	enum status status = ST_OK;

	if (r->state == READER_FAILED)
	{
		*err = r->failure;
		return err->status;
	}
	while (len > 0 && status == ST_OK)
	{
		switch (r->state)
		{
			case READER_HEADER:
				status = take_header(r, &at, &len, err);
				break;
			case READER_FRAMES:
				status = take_frame(r, &at, &len, err);
				break;
			case READER_DONE:
			case READER_FAILED:
				status = corrupt(r, err, "something follows its end");
				break;
		}
	}
	return status == ST_OK ? ST_OK : fail(r, err);
}

enum status
object_reader_end(struct object_reader *reader, struct err *err)
{
	struct object_reader *r = reader;
	size_t stored_len = 0;
	enum status status;

	if (r->state == READER_FAILED)
	{
		*err = r->failure;
		return err->status;
	}
	if (r->state == READER_DONE)
		return ST_OK;
	if (r->state == READER_HEADER)
	{
		(void) corrupt(r, err, "it ends within its header");
		return fail(r, err);
	}
	status =
		object_frame_length(&r->obj, r->held, r->held_len, &stored_len, err);
	if (status == ST_OK && (stored_len == 0 || r->held_len < stored_len))
		status = corrupt(r, err, "it is truncated");
	if (status == ST_OK)
		status = open_frame(r, r->held, stored_len, true, err);
	if (status != ST_OK)
		return fail(r, err);
	r->held_len = 0;
	r->state = READER_DONE;
	return ST_OK;
}
