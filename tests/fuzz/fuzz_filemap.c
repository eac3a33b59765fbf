#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/filemap.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SOURCES_MAX 4096
#define EXTENTS_MAX 8192

/* What was told, to be encoded again. */
struct seen
{
	uint64_t length;
	size_t nsources;
	char sources[SOURCES_MAX][BACKUP_ID_MAX];
	size_t nextents;
	struct filemap_extent extents[EXTENTS_MAX];
};

static enum status
take_source(void *arg, uint32_t source, const char *backup_id, struct err *err)
{
	struct seen *seen = arg;

	assert(source == seen->nsources && backup_id_parse(backup_id, NULL));
	if (seen->nsources == SOURCES_MAX)
		return err_set(err, ST_NOMEM, "enough");
	memcpy(seen->sources[seen->nsources++], backup_id, BACKUP_ID_MAX);
	return ST_OK;
}

static enum status
take_extent(void *arg, const struct filemap_extent *extent, struct err *err)
{
	struct seen *seen = arg;

	assert(extent->length > 0);
	if (extent->source == FILEMAP_ZEROS)
		assert(extent->n == 0 && extent->position == 0);
	else
	{
		assert(extent->source < seen->nsources);
		assert(extent->position + extent->length <= (uint64_t) 1
														<< FILEMAP_PACK_BITS);
	}
	seen->length += extent->length;
	if (seen->nextents == EXTENTS_MAX)
		return err_set(err, ST_NOMEM, "enough");
	seen->extents[seen->nextents++] = *extent;
	return ST_OK;
}

static const char *
name(void *arg, uint32_t source)
{
	struct seen *seen = arg;

	return seen->sources[source];
}

/* What was decoded, encoded again, decodes to the same. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct seen first, second;
	const struct filemap_handler handler = {take_source, take_extent};
	struct filemap_buffer buf = {0};
	struct err err;
	uint64_t length = 0;

	if (size < 8)
		return 0;
	memcpy(&length, data, 3);
	first.length = first.nsources = first.nextents = 0;
	second = first;
	if (filemap_decode(data + 8, size - 8, length, &handler, &first, &err) !=
			ST_OK ||
		first.nextents == 0)
		return 0;
	assert(first.length == length);
	if (filemap_encode(first.extents, first.nextents, 8192, name, &first, &buf,
					   &err) != ST_OK)
		abort();
	if (filemap_decode(buf.data, buf.len, length, &handler, &second, &err) !=
		ST_OK)
		abort();
	assert(second.nextents == first.nextents && second.length == length);
	for (size_t i = 0; i < first.nextents; i++)
	{
		const struct filemap_extent *a = &first.extents[i];
		const struct filemap_extent *b = &second.extents[i];

		assert(a->n == b->n && a->position == b->position &&
			   a->length == b->length);
		if (a->source != FILEMAP_ZEROS)
			assert(strcmp(first.sources[a->source],
						  second.sources[b->source]) == 0);
	}
	filemap_buffer_free(&buf);
	return 0;
}
