#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "basebackup/server_manifest.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status
take_file(void *arg, const struct server_manifest_file *file, struct err *err)
{
	(void) err;
	*(size_t *) arg += strlen(file->path);
	return ST_OK;
}

static enum status
take_range(void *arg, const struct server_manifest_range *range,
		   struct err *err)
{
	(void) arg;
	(void) err;
	assert(range->timeline != 0 && range->end_lsn >= range->start_lsn);
	return ST_OK;
}

static const struct server_manifest_handler handler = {take_file, take_range};

/* The first byte says in what pieces the rest is fed. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server_manifest *m;
	struct err err;
	size_t total = 0;
	size_t piece;
	enum status status;

	if (size < 1 ||
		server_manifest_new(&handler, &total, 7, &m, &err) != ST_OK)
		return 0;
	piece = (size_t) data[0] + 1;
	status = ST_OK;
	for (size_t at = 1; at < size && status == ST_OK; at += piece)
		status = server_manifest_feed(
			m, data + at, size - at < piece ? size - at : piece, &err);
	if (status == ST_OK)
		status = server_manifest_finish(m, &err);
	assert(status == ST_OK || status == ST_CORRUPT);
	server_manifest_free(m);
	return 0;
}
