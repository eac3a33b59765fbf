/*
 * object_seal.c - whole objects from and to memory
 */
#include "common/object.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/object_internal.h"

/* LZ4 cannot make more than this of one stored byte. */
#define LZ4_RATIO_MAX 256

/* One object on its way into a buffer. */
struct sealing
{
	struct object obj;
	struct object_codec *codec;
	struct object_buffer *buf;
	uint64_t left;     /* content that is still to come */
	size_t memory_max; /* of the buffer, unless it is mapped */
	uint32_t number;
};

size_t
object_bound(uint64_t plain_len, uint32_t frame_size)
{
	uint64_t frames = plain_len / frame_size + 2;
	uint64_t overhead = OBJECT_HEADER_MAX + frames * object_frame_bound(0);

	if (plain_len > SIZE_MAX - overhead)
		return SIZE_MAX;
	return (size_t) (plain_len + overhead);
}

static enum status
sealing_begin(struct sealing *s, const struct object_id *id,
			  uint64_t plain_len, const struct keyring *ring,
			  const char *spill_dir, struct object_buffer *buf,
			  struct err *err)
{
	enum status status;

	memset(s, 0, sizeof *s);
	s->buf = buf;
	status =
		object_begin(&s->obj, id, plain_len, OBJECT_FRAME_SIZE, ring, err);
	if (status != ST_OK)
		return status;
	s->left = plain_len;
	s->memory_max = SIZE_MAX;
	status = object_codec_new(&s->codec, err);
	if (status != ST_OK)
		return status;
	status = object_buffer_reserve(
		buf, object_bound(plain_len, OBJECT_FRAME_SIZE), spill_dir, err);
	if (status != ST_OK)
		return status;
	memcpy(buf->data, s->obj.header, s->obj.header_len);
	buf->len = s->obj.header_len;
	return ST_OK;
}

/* How long the next frame's content is. */
static size_t
sealing_next_len(const struct sealing *s)
{
	return s->left < OBJECT_FRAME_SIZE ? (size_t) s->left : OBJECT_FRAME_SIZE;
}

static enum status
sealing_add(struct sealing *s, const void *plain, size_t len, struct err *err)
{
	struct object_buffer *buf = s->buf;
	size_t stored_len;
	enum status status;

	assert(buf->len + object_frame_bound(len) <= buf->room);
	if (!buf->mapped && buf->len + object_frame_bound(len) > s->memory_max)
		return err_set(err, ST_NOMEM,
					   "the stored form of \"%s\" takes more "
					   "than %zu bytes",
					   s->obj.name, s->memory_max);
	status =
		object_seal_frame(&s->obj, s->codec, s->number, len == s->left, plain,
						  len, buf->data + buf->len, &stored_len, err);
	if (status != ST_OK)
		return status;
	buf->len += stored_len;
	s->left -= len;
	s->number++;
	return ST_OK;
}

/* Returns status; unless that is ST_OK, the buffer is empty then. */
static enum status
sealing_end(struct sealing *s, enum status status)
{
	if (status != ST_OK)
		object_buffer_free(s->buf);
	object_codec_free(s->codec);
	object_wipe(&s->obj);
	return status;
}

enum status /* NOLINTNEXTLINE(readability-function-size) */
object_seal(const struct object_id *id, uint64_t plain_len, object_source read,
			void *arg, const struct keyring *ring, const char *spill_dir,
			size_t memory_max, struct object_buffer *buf, struct err *err)
{
	struct sealing s;
	uint8_t *plain = NULL;
	enum status status;

	status = sealing_begin(&s, id, plain_len, ring, spill_dir, buf, err);
	s.memory_max = memory_max;
	if (status == ST_OK)
	{
		plain = malloc(sealing_next_len(&s) + 1);
		if (plain == NULL)
			status = err_set(err, ST_NOMEM, "out of memory");
	}
	if (status == ST_OK)
		do
		{
			size_t len = sealing_next_len(&s);

			if (len > 0)
				status = read(arg, plain, len, err);
			if (status == ST_OK)
				status = sealing_add(&s, plain, len, err);
		} while (status == ST_OK && s.left > 0);
	free(plain);
	return sealing_end(&s, status);
}

enum status
object_seal_bytes(const struct object_id *id, const void *plain,
				  size_t plain_len, const struct keyring *ring,
				  struct object_buffer *buf, struct err *err)
{
	struct sealing s;
	const uint8_t *at = plain;
	enum status status;

	*buf = (struct object_buffer){.data = NULL};
	status = sealing_begin(&s, id, plain_len, ring, NULL, buf, err);
	if (status == ST_OK)
		do
		{
			size_t len = sealing_next_len(&s);

			status = sealing_add(&s, at, len, err);
			at += len;
		} while (status == ST_OK && s.left > 0);
	return sealing_end(&s, status);
}

/* Collects what a reader delivers. */
struct collect
{
	const struct object_reader *reader;
	uint8_t *data;
	size_t len;
	size_t stored_len;
};

/*
 * The first frame brings the whole length, authenticated by then if sealed;
 * of an unsealed object it is believed only as far as LZ4 could reach it.
 */
static enum status
collect_sink(void *arg, const void *data, size_t len, struct err *err)
{
	struct collect *c = arg;

	if (c->data == NULL)
	{
		const struct object *obj = object_reader_object(c->reader);

		if (obj->plain_len / LZ4_RATIO_MAX > c->stored_len)
			return object_corrupt(err, obj->system_identifier, obj->name,
								  "it is not as long as its header says");
		c->data = malloc((size_t) obj->plain_len);
		if (c->data == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
	}
	memcpy(c->data + c->len, data, len);
	c->len += len;
	return ST_OK;
}

enum status
object_open_bytes(const struct object_id *id, const void *stored,
				  size_t stored_len, const struct keyring *ring, uint8_t **out,
				  size_t *out_len, struct err *err)
{
	struct collect c = {.stored_len = stored_len};
	struct object_reader *reader = NULL;
	enum status status;

	status = object_reader_new(id, ring, collect_sink, &c, &reader, err);
	if (status != ST_OK)
		return status;
	c.reader = reader;
	status = object_reader_feed(reader, stored, stored_len, err);
	if (status == ST_OK)
		status = object_reader_end(reader, err);
	object_reader_free(reader);
	if (status == ST_OK && c.data == NULL)
	{
		c.data = malloc(1);
		if (c.data == NULL)
			status = err_set(err, ST_NOMEM, "out of memory");
	}
	if (status != ST_OK)
	{
		free(c.data);
		return status;
	}
	*out = c.data;
	*out_len = c.len;
	return ST_OK;
}
