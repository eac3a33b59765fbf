/*
 * objtool.c - seals and opens objects for tests in other languages
 *
 *     objtool KEY_FILE|-
 *
 * serves requests on standard input until it ends.  Integers little-endian:
 *
 *     request = op kind system_identifier/8 frame_size/4 name_len/2 name
 *               data_len/4 data
 *     answer  = status len/4 data
 *
 * op is 's' (seal: data is content, the answer an object), 'o' (open a whole
 * object) or 'f' (open its frames one by one, as a read by range does).  A
 * status other than 0 comes with a message instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/object.h"

#define REQUEST_HEAD 16
#define DATA_MAX     ((size_t) 64 << 20)

struct bytes
{
	uint8_t *data;
	size_t len;
};

struct request
{
	char op;
	struct object_id id;
	uint32_t frame_size;
	char name[UINT16_MAX + 1];
	struct bytes data;
};

static void
die(const char *what)
{
	(void) fprintf(stderr, "objtool: %s\n", what);
	exit(2);
}

static void
read_exactly(void *out, size_t len)
{
	if (fread(out, 1, len, stdin) != len)
		die("the request is cut off");
}

static bool
read_request(struct request *r)
{
	uint8_t head[REQUEST_HEAD];
	uint8_t word[4];
	size_t name_len;

	if (fread(head, 1, 1, stdin) != 1)
		return false;
	read_exactly(head + 1, sizeof head - 1);
	r->op = (char) head[0];
	r->id.kind = (enum object_kind) head[1];
	r->id.system_identifier = get_le64(head + 2);
	r->frame_size = get_le32(head + 10);
	name_len = get_le16(head + 14);
	read_exactly(r->name, name_len);
	r->name[name_len] = '\0';
	r->id.name = r->name;
	read_exactly(word, sizeof word);
	r->data.len = get_le32(word);
	if (r->data.len > DATA_MAX)
		die("the request is too large");
	r->data.data = malloc(r->data.len + 1);
	if (r->data.data == NULL)
		die("out of memory");
	read_exactly(r->data.data, r->data.len);
	return true;
}

static enum status
seal(const struct request *r, const struct keyring *ring, struct bytes *out,
	 struct err *err)
{
	struct object_codec *codec = NULL;
	struct object obj;
	size_t left = r->data.len;
	uint32_t number = 0;
	enum status status;

	status = object_begin(&obj, &r->id, left, r->frame_size, ring, err);
	if (status == ST_OK)
		status = object_codec_new(&codec, err);
	if (status != ST_OK)
		return status;
	out->data = malloc(obj.header_len + left +
					   (left / r->frame_size + 1) * object_frame_bound(0));
	if (out->data == NULL)
		die("out of memory");
	memcpy(out->data, obj.header, obj.header_len);
	out->len = obj.header_len;
	do
	{
		size_t n = left < r->frame_size ? left : r->frame_size;
		size_t stored_len = 0;

		status = object_seal_frame(&obj, codec, number++, n == left,
								   r->data.data + (r->data.len - left), n,
								   out->data + out->len, &stored_len, err);
		out->len += stored_len;
		left -= n;
	} while (status == ST_OK && left > 0);
	object_codec_free(codec);
	object_wipe(&obj);
	return status;
}

/* Opens what follows the header, frame after frame, the last one first told.
 */
static enum status
open_frames(const struct object *obj, struct object_codec *codec,
			const struct bytes *stored, struct bytes *out, struct err *err)
{
	size_t at = obj->header_len;
	uint32_t number = 0;

	do
	{
		size_t stored_len = 0, plain_len = 0;
		enum status status;
		uint8_t *grown;

		status = object_frame_length(obj, stored->data + at, stored->len - at,
									 &stored_len, err);
		if (status != ST_OK)
			return status;
		if (stored_len == 0 || stored_len > stored->len - at)
			return err_set(err, ST_CORRUPT, "\"%s\": a frame is cut off",
						   obj->name);
		grown = realloc(out->data, out->len + obj->frame_size);
		if (grown == NULL)
			die("out of memory");
		out->data = grown;
		status = object_open_frame(obj, codec, number++,
								   at + stored_len == stored->len,
								   stored->data + at, stored_len,
								   out->data + out->len, &plain_len, err);
		if (status != ST_OK)
			return status;
		out->len += plain_len;
		at += stored_len;
	} while (at < stored->len);
	if (out->len != obj->plain_len)
		return err_set(err, ST_CORRUPT, "\"%s\": frames are missing",
					   obj->name);
	return ST_OK;
}

static enum status
open_by_range(const struct request *r, const struct keyring *ring,
			  struct bytes *out, struct err *err)
{
	struct object_codec *codec = NULL;
	struct object obj;
	enum status status;

	status = object_parse(&obj, &r->id, r->data.data, r->data.len, ring, err);
	if (status == ST_OK)
		status = object_codec_new(&codec, err);
	if (status == ST_OK)
		status = open_frames(&obj, codec, &r->data, out, err);
	object_codec_free(codec);
	return status;
}

static enum status
answer(const struct request *r, const struct keyring *ring, struct bytes *out,
	   struct err *err)
{
	switch (r->op)
	{
		case 's':
			return seal(r, ring, out, err);
		case 'o':
			return object_open_bytes(&r->id, r->data.data, r->data.len, ring,
									 &out->data, &out->len, err);
		case 'f':
			return open_by_range(r, ring, out, err);
		default:
			die("no such operation");
			return ST_CONFIG;
	}
}

static void
write_answer(enum status status, const struct bytes *out,
			 const struct err *err)
{
	const void *data =
		status == ST_OK ? (const void *) out->data : err->message;
	size_t len = status == ST_OK ? out->len : strlen(err->message);
	uint8_t head[5];

	head[0] = (uint8_t) status;
	put_le32(head + 1, (uint32_t) len);
	if (fwrite(head, 1, sizeof head, stdout) != sizeof head ||
		fwrite(data, 1, len, stdout) != len || fflush(stdout) != 0)
		die("could not write");
}

static struct keyring *
load_keys(const char *path)
{
	char text[65536];
	struct keyring *ring = NULL;
	struct err err;
	size_t len;
	FILE *file;

	if (strcmp(path, "-") == 0)
	{
		if (keyring_none(&ring, &err) != ST_OK)
			die(err.message);
		return ring;
	}
	file = fopen(path, "re");
	if (file == NULL)
		die("could not open the key file");
	len = fread(text, 1, sizeof text, file);
	(void) fclose(file);
	if (keyring_parse(path, text, len, &ring, &err) != ST_OK)
		die(err.message);
	return ring;
}

int
main(int argc, char **argv)
{
	static struct request request;
	struct keyring *ring;

	if (argc != 2)
		die("usage: objtool KEY_FILE|-");
	ring = load_keys(argv[1]);
	while (read_request(&request))
	{
		struct bytes out = {NULL, 0};
		struct err err;
		enum status status = answer(&request, ring, &out, &err);

		write_answer(status, &out, &err);
		free(out.data);
		free(request.data.data);
	}
	keyring_free(ring);
	return 0;
}
