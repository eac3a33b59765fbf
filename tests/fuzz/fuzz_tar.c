#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "basebackup/tar.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status
take_entry(void *arg, const struct tar_entry *entry, struct err *err)
{
	(void) arg;
	(void) err;
	assert(tar_path_safe(entry->name));
	assert(entry->type == TAR_FILE || entry->size == 0);
	return ST_OK;
}

static enum status
take_data(void *arg, const void *data, size_t len, struct err *err)
{
	(void) err;
	for (size_t i = 0; i < len; i++)
		*(volatile uint8_t *) arg = ((const uint8_t *) data)[i];
	return ST_OK;
}

static enum status
take_end(void *arg, struct err *err)
{
	(void) arg;
	(void) err;
	return ST_OK;
}

static const struct tar_handler handler = {take_entry, take_data, take_end};

/*
 * Header checksums are mended first, or hardly any input would get past
 * them; the first byte says in what pieces the rest is fed.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t copy[16 * TAR_BLOCK];
	uint8_t sink = 0;
	struct tar_parser tar;
	struct err err;
	size_t piece;

	if (size < 1)
		return 0;
	piece = (size_t) data[0] * 3 + 1;
	size = size - 1 < sizeof(copy) ? size - 1 : sizeof(copy);
	memcpy(copy, data + 1, size);
	for (size_t at = 0; at + TAR_BLOCK <= size; at += TAR_BLOCK)
	{
		unsigned sum = 8 * ' ';

		if (memcmp(copy + at + 257, "ustar", 6) != 0)
			continue;
		for (size_t i = 0; i < TAR_BLOCK; i++)
			sum += i >= 148 && i < 156 ? 0 : copy[at + i];
		for (size_t i = 0; i < 8; i++)
			copy[at + 155 - i] = (uint8_t) ('0' + (sum >> (3 * i) & 7));
	}
	tar_init(&tar, &handler, &sink);
	for (size_t at = 0; at < size; at += piece)
	{
		if (tar_feed(&tar, copy + at, size - at < piece ? size - at : piece,
					 &err) != ST_OK)
			return 0;
	}
	if (tar_finish(&tar, &err) != ST_OK)
		return 0;
	return 0;
}
