/*
 * incremental.c - the files INCREMENTAL.<name> of PostgreSQL 17 and later
 */
#include "basebackup/incremental.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"

#define WORD       ((size_t) 4)
#define HEAD_WORDS 3

struct incremental
{
	const struct incremental_handler *handler;
	void *arg;
	uint32_t page_size;
	uint32_t pages_max;

	uint64_t size;      /* of the file as sent */
	uint64_t taken;     /* of it, so far */
	uint64_t head_size; /* with block numbers and zeros; 0: not yet known */
	uint8_t word[WORD]; /* the one in hand */
	uint32_t count;
	uint32_t truncation;
	uint32_t known;   /* block numbers that have come */
	uint32_t next;    /* the next page to tell, */
	uint32_t index;   /* and the next block number to look at */
	size_t page_left; /* of the page in hand */
	uint32_t *blocks; /* pages_max of them */
};

bool
incremental_path(const char *path, char *out)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	const size_t prefix = strlen(INCREMENTAL_PREFIX);

	if (strncmp(name, INCREMENTAL_PREFIX, prefix) != 0 || name[prefix] == '\0')
		return false;
	memcpy(out, path, (size_t) (name - path));
	memcpy(out + (name - path), name + prefix, strlen(name + prefix) + 1);
	return true;
}

enum status
incremental_new(uint32_t page_size, uint32_t pages_max,
				struct incremental **out, struct err *err)
{
	struct incremental *inc = calloc(1, sizeof(*inc));

	if (inc == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	inc->page_size = page_size;
	inc->pages_max = pages_max;
	inc->blocks = calloc((size_t) pages_max + 1, sizeof(*inc->blocks));
	if (inc->blocks == NULL)
	{
		free(inc);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	*out = inc;
	return ST_OK;
}

void
incremental_free(struct incremental *inc)
{
	if (inc == NULL)
		return;
	free(inc->blocks);
	free(inc);
}

static enum status
malformed(struct err *err, const char *what)
{
	return err_set(err, ST_CORRUPT, "malformed incremental file: %s", what);
}

enum status
incremental_begin(struct incremental *inc, uint64_t size,
				  const struct incremental_handler *handler, void *arg,
				  struct err *err)
{
	inc->handler = handler;
	inc->arg = arg;
	inc->size = size;
	inc->taken = 0;
	inc->head_size = 0;
	inc->count = 0;
	inc->truncation = 0;
	inc->known = 0;
	inc->next = 0;
	inc->index = 0;
	inc->page_left = 0;
	if (size < HEAD_WORDS * WORD)
		return malformed(err, "it is too short");
	return ST_OK;
}

/* Pages up to but not including end that were not sent. */
static enum status
tell_absent(struct incremental *inc, uint32_t end, struct err *err)
{
	uint32_t keep_end = end < inc->truncation ? end : inc->truncation;
	enum status status = ST_OK;

	if (inc->next < keep_end)
	{
		status =
			inc->handler->keep(inc->arg, inc->next, keep_end - inc->next, err);
		inc->next = keep_end;
	}
	if (status == ST_OK && inc->next < end)
	{
		status =
			inc->handler->zeros(inc->arg, inc->next, end - inc->next, err);
		inc->next = end;
	}
	return status;
}

/* All of the head has come: what it says must fit the size. */
static enum status
end_head(struct incremental *inc, struct err *err)
{
	uint32_t pages = inc->truncation;
	enum status status;

	if (inc->count > 0 && inc->blocks[inc->count - 1] >= pages)
		pages = inc->blocks[inc->count - 1] + 1;
	status = inc->handler->begin(inc->arg, pages, err);
	if (status == ST_OK && inc->count == 0)
		status = tell_absent(inc, pages, err);
	return status;
}

/* Magic, count and truncation have come. */
static enum status
take_count(struct incremental *inc, struct err *err)
{
	uint64_t head = (HEAD_WORDS + (uint64_t) inc->count) * WORD;

	if (inc->count > inc->pages_max)
		return malformed(err, "more blocks than a file may have");
	if (inc->truncation > inc->pages_max)
		return malformed(err, "truncated to more than a file may have");
	if (inc->count > 0)
		head += (inc->page_size - head % inc->page_size) % inc->page_size;
	inc->head_size = head;
	if (inc->size != head + (uint64_t) inc->count * inc->page_size)
		return malformed(err, "its size and its number of blocks disagree");
	return ST_OK;
}

static enum status
take_block_number(struct incremental *inc, uint32_t block, struct err *err)
{
	if (inc->known == inc->count)
		return block == 0 ? ST_OK : malformed(err, "no zeros behind its head");
	if (block >= inc->pages_max)
		return malformed(err, "a block beyond what a file may have");
	if (inc->known > 0 && block <= inc->blocks[inc->known - 1])
		return malformed(err, "its block numbers do not ascend");
	inc->blocks[inc->known++] = block;
	return ST_OK;
}

/* A word of the head, which ends at inc->taken. */
static enum status
take_word(struct incremental *inc, struct err *err)
{
	uint32_t value = get_native32(inc->word);
	enum status status = ST_OK;

	switch (inc->taken / WORD)
	{
		case 1:
			if (value != INCREMENTAL_MAGIC)
				status = malformed(err, "it does not begin like one");
			break;
		case 2:
			inc->count = value;
			break;
		case HEAD_WORDS:
			inc->truncation = value;
			status = take_count(inc, err);
			break;
		default:
			status = take_block_number(inc, value, err);
			break;
	}
	if (status == ST_OK && inc->taken == inc->head_size)
		status = end_head(inc, err);
	return status;
}

static bool
in_head(const struct incremental *inc)
{
	return inc->head_size == 0 || inc->taken < inc->head_size;
}

/* Tells what is before the next page that was sent. */
static enum status
begin_page(struct incremental *inc, struct err *err)
{
	enum status status = tell_absent(inc, inc->blocks[inc->index], err);

	inc->next++;
	inc->index++;
	inc->page_left = inc->page_size;
	return status;
}

static enum status
take_pages(struct incremental *inc, const uint8_t *p, size_t len,
		   struct err *err)
{
	enum status status = ST_OK;

	while (len > 0 && status == ST_OK)
	{
		size_t n;

		if (inc->page_left == 0)
			status = begin_page(inc, err);
		if (status != ST_OK)
			break;
		n = len < inc->page_left ? len : inc->page_left;
		status = inc->handler->data(inc->arg, p, n, err);
		inc->page_left -= n;
		inc->taken += n;
		p += n;
		len -= n;
		/* Behind the last page may be some that are kept. */
		if (status == ST_OK && inc->taken == inc->size)
			status = tell_absent(inc, inc->truncation, err);
	}
	return status;
}

enum status
incremental_feed(struct incremental *inc, const void *data, size_t len,
				 struct err *err)
{
	const uint8_t *p = data;

	if (len > inc->size - inc->taken)
		return malformed(err, "it is longer than announced");
	while (len > 0 && in_head(inc))
	{
		enum status status = ST_OK;

		inc->word[inc->taken % WORD] = *p++;
		inc->taken++;
		len--;
		if (inc->taken % WORD == 0)
			status = take_word(inc, err);
		if (status != ST_OK)
			return status;
	}
	return take_pages(inc, p, len, err);
}

enum status
incremental_finish(struct incremental *inc, struct err *err)
{
	if (inc->taken != inc->size || in_head(inc))
		return malformed(err, "it is shorter than announced");
	return ST_OK;
}
