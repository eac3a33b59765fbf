/*
 * filemap.c - where the pieces of part of a file are
 */
#include "basebackup/filemap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define VARINT_MAX    ((size_t) 10)
#define PACK_BYTES    ((uint64_t) 1 << FILEMAP_PACK_BITS)
#define ADDRESS_MAX   ((uint64_t) 1 << (FILEMAP_PACK_BITS + 32))
#define UNIT_MAX      65536
#define ID_BYTES      (BACKUP_ID_MAX - 1)
#define BUFFER_START  4096
#define EXTENT_LENGTH ((uint64_t) 1 << 60)

void
filemap_buffer_free(struct filemap_buffer *buf)
{
	free(buf->data);
	*buf = (struct filemap_buffer){0};
}

static enum status
reserve(struct filemap_buffer *buf, size_t more, struct err *err)
{
	size_t room = buf->room == 0 ? BUFFER_START : buf->room;
	uint8_t *grown;

	if (buf->data != NULL && buf->room - buf->len >= more)
		return ST_OK;
	while (room - buf->len < more)
		room *= 2;
	grown = realloc(buf->data, room);
	if (grown == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	buf->data = grown;
	buf->room = room;
	return ST_OK;
}

/* There is room. */
static void
put_varint(struct filemap_buffer *buf, uint64_t value)
{
	while (value >= 0x80)
	{
		buf->data[buf->len++] = (uint8_t) (value | 0x80);
		value >>= 7;
	}
	buf->data[buf->len++] = (uint8_t) value;
}

/* Whole pages, which are the most, take fewer bytes. */
static void
put_scaled(struct filemap_buffer *buf, uint64_t value, uint32_t unit)
{
	put_varint(buf, value % unit == 0 ? value / unit << 1 : value << 1 | 1);
}

static uint64_t
zigzag(uint64_t to, uint64_t from)
{
	return to >= from ? (to - from) << 1 : ((from - to) << 1) - 1;
}

/* The sources that the extents name, in the order of their first use. */
struct dictionary
{
	uint32_t *sources;
	uint64_t *expected; /* where the next extent of each will begin */
	size_t count;
	size_t last; /* the one that was found last */
};

static bool
find_source(struct dictionary *d, uint32_t source, size_t *out)
{
	for (size_t i = 0; i < d->count; i++)
	{
		size_t at = (d->last + i) % d->count;

		if (d->sources[at] == source)
		{
			*out = d->last = at;
			return true;
		}
	}
	return false;
}

static bool
extent_valid(const struct filemap_extent *e)
{
	if (e->length == 0 || e->length > EXTENT_LENGTH)
		return false;
	if (e->source == FILEMAP_ZEROS)
		return e->n == 0 && e->position == 0;
	return e->position < PACK_BYTES && e->length <= PACK_BYTES - e->position;
}

static enum status
collect_sources(struct dictionary *d, const struct filemap_extent *extents,
				size_t count, struct err *err)
{
	size_t found;

	/* No more sources than extents. */
	d->sources = calloc(count, sizeof(*d->sources));
	d->expected = calloc(count, sizeof(*d->expected));
	if (d->sources == NULL || d->expected == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
	{
		if (!extent_valid(&extents[i]))
			return err_set(err, ST_CORRUPT, "an extent is not valid");
		if (extents[i].source != FILEMAP_ZEROS &&
			!find_source(d, extents[i].source, &found))
			d->sources[d->count++] = extents[i].source;
	}
	return ST_OK;
}

static void
put_extent(struct filemap_buffer *buf, struct dictionary *d,
		   const struct filemap_extent *e, uint32_t unit)
{
	uint64_t address = (uint64_t) e->n << FILEMAP_PACK_BITS | e->position;
	size_t source = 0;
	bool jump;

	if (e->source == FILEMAP_ZEROS)
	{
		put_varint(buf, 0);
		put_scaled(buf, e->length, unit);
		return;
	}
	(void) find_source(d, e->source, &source);
	jump = address != d->expected[source];
	put_varint(buf, (uint64_t) (source + 1) << 1 | (jump ? 1 : 0));
	put_scaled(buf, e->length, unit);
	if (jump)
		put_scaled(buf, zigzag(address, d->expected[source]), unit);
	d->expected[source] = address + e->length;
}

enum status
filemap_encode(const struct filemap_extent *extents, size_t count,
			   uint32_t page_size, filemap_name name, void *arg,
			   struct filemap_buffer *buf, struct err *err)
{
	struct dictionary d = {0};
	enum status st = collect_sources(&d, extents, count, err);

	buf->len = 0;
	if (st == ST_OK)
		st = reserve(buf, 3 * VARINT_MAX + d.count * ID_BYTES, err);
	if (st == ST_OK)
	{
		put_varint(buf, page_size);
		put_varint(buf, d.count);
		for (size_t i = 0; i < d.count; i++)
		{
			memcpy(buf->data + buf->len, name(arg, d.sources[i]), ID_BYTES);
			buf->len += ID_BYTES;
		}
		put_varint(buf, count);
	}
	for (size_t i = 0; st == ST_OK && i < count; i++)
	{
		st = reserve(buf, 3 * VARINT_MAX, err);
		if (st == ST_OK)
			put_extent(buf, &d, &extents[i], page_size);
	}
	if (st == ST_OK && buf->len > FILEMAP_BYTES_MAX)
		st = err_set(err, ST_CORRUPT, "a map has too many extents");
	free(d.sources);
	free(d.expected);
	return st;
}

/* A map that is taken apart. */
struct decoder
{
	const uint8_t *at;
	const uint8_t *end;
	uint64_t unit;
	uint64_t nsources;
	uint64_t *expected;
};

static enum status
damaged(struct err *err)
{
	return err_set(err, ST_CORRUPT, "a map of extents is not valid");
}

/* The shortest form only, and nothing above 2^63. */
static bool
get_varint(struct decoder *d, uint64_t *out)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 63 && d->at < d->end; shift += 7)
	{
		uint8_t byte = *d->at++;

		value |= (uint64_t) (byte & 0x7F) << shift;
		if (byte < 0x80)
		{
			*out = value;
			return byte != 0 || shift == 0;
		}
	}
	return false;
}

static bool
get_scaled(struct decoder *d, uint64_t max, uint64_t *out)
{
	uint64_t value;

	if (!get_varint(d, &value))
		return false;
	if ((value & 1) != 0)
		*out = value >> 1;
	else if ((value >> 1) > max / d->unit)
		return false;
	else
		*out = (value >> 1) * d->unit;
	return *out <= max;
}

static bool
get_extent(struct decoder *d, struct filemap_extent *out)
{
	uint64_t head, source, move;
	uint64_t address;

	*out = (struct filemap_extent){.source = FILEMAP_ZEROS};
	if (!get_varint(d, &head) || !get_scaled(d, EXTENT_LENGTH, &out->length))
		return false;
	if (head == 0)
		return extent_valid(out);
	source = (head >> 1) - 1;
	if (head == 1 || source >= d->nsources)
		return false;
	address = d->expected[source];
	if ((head & 1) != 0)
	{
		if (!get_scaled(d, 2 * ADDRESS_MAX, &move))
			return false;
		if ((move & 1) == 0)
			address += move >> 1;
		else if ((move >> 1) + 1 > address)
			return false;
		else
			address -= (move >> 1) + 1;
	}
	if (address >= ADDRESS_MAX)
		return false;
	out->source = (uint32_t) source;
	out->n = (uint32_t) (address >> FILEMAP_PACK_BITS);
	out->position = (uint32_t) (address & (PACK_BYTES - 1));
	d->expected[source] = address + out->length;
	return extent_valid(out);
}

static enum status
get_sources(struct decoder *d, const struct filemap_handler *handler,
			void *arg, struct err *err)
{
	enum status st = ST_OK;

	if (!get_varint(d, &d->unit) || d->unit == 0 || d->unit > UNIT_MAX ||
		!get_varint(d, &d->nsources) ||
		d->nsources > (size_t) (d->end - d->at) / ID_BYTES)
		return damaged(err);
	d->expected = calloc((size_t) d->nsources + 1, sizeof(*d->expected));
	if (d->expected == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (uint32_t i = 0; st == ST_OK && i < d->nsources; i++)
	{
		char id[BACKUP_ID_MAX];

		memcpy(id, d->at, ID_BYTES);
		id[ID_BYTES] = '\0';
		d->at += ID_BYTES;
		if (!backup_id_parse(id, NULL))
			return damaged(err);
		st = handler->source(arg, i, id, err);
	}
	return st;
}

enum status
filemap_decode(const uint8_t *data, size_t len, uint64_t length,
			   const struct filemap_handler *handler, void *arg,
			   struct err *err)
{
	struct decoder d = {.at = data, .end = data + len};
	uint64_t count = 0, total = 0;
	enum status st = get_sources(&d, handler, arg, err);

	if (st == ST_OK && !get_varint(&d, &count))
		st = damaged(err);
	for (uint64_t i = 0; st == ST_OK && i < count; i++)
	{
		struct filemap_extent extent;

		if (!get_extent(&d, &extent) || extent.length > length - total)
			st = damaged(err);
		else
		{
			total += extent.length;
			st = handler->extent(arg, &extent, err);
		}
	}
	if (st == ST_OK && (d.at != d.end || total != length))
		st = damaged(err);
	free(d.expected);
	return st;
}
