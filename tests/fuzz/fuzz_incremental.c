#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/incremental.h"

#define PAGE      16U
#define PAGES_MAX 64U

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was told must be the file from its first byte to its last. */
struct told
{
	uint64_t pages;
	uint64_t at;
};

static enum status
take_begin(void *arg, uint32_t pages, struct err *err)
{
	struct told *t = arg;

	(void) err;
	assert(pages <= PAGES_MAX);
	t->pages = pages;
	return ST_OK;
}

static enum status
take_run(void *arg, uint32_t first, uint32_t count, struct err *err)
{
	struct told *t = arg;

	(void) err;
	assert(count > 0 && t->at == (uint64_t) first * PAGE);
	t->at += (uint64_t) count * PAGE;
	return ST_OK;
}

static enum status
take_data(void *arg, const void *data, size_t len, struct err *err)
{
	struct told *t = arg;
	const uint8_t *p = data;
	volatile uint8_t sink;

	(void) err;
	for (size_t i = 0; i < len; i++)
		sink = p[i];
	(void) sink;
	t->at += len;
	return ST_OK;
}

static const struct incremental_handler handler = {take_begin, take_run,
												   take_run, take_data};

/* The first byte says in what pieces the rest is fed. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct incremental *inc = NULL;
	struct told told = {0, 0};
	struct err err;
	enum status status;
	size_t piece;

	if (size < 1 || incremental_new(PAGE, PAGES_MAX, &inc, &err) != ST_OK)
		return 0;
	piece = (size_t) data[0] + 1;
	data++;
	size--;
	status = incremental_begin(inc, size, &handler, &told, &err);
	for (size_t at = 0; at < size && status == ST_OK; at += piece)
		status = incremental_feed(inc, data + at,
								  size - at < piece ? size - at : piece, &err);
	if (status == ST_OK)
		status = incremental_finish(inc, &err);
	assert(status == ST_OK || status == ST_CORRUPT);
	assert(told.at <= told.pages * PAGE);
	if (status == ST_OK)
		assert(told.at == told.pages * PAGE);
	incremental_free(inc);
	return 0;
}
