#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "basebackup/manifest_read.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_ranges(const int64_t *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		const int64_t *range = ranges + 3 * i;

		assert(range[0] >= 0 && range[0] < MANIFEST_PACKS_MAX);
		assert(range[1] >= 0 && range[2] >= 1 &&
			   range[1] + range[2] <= MANIFEST_PACK_DATA);
	}
}

/* What a reader relies on, for every line that is told. */
static enum status
check_file(const struct manifest_entry *file)
{
	uint64_t total = 0;

	for (size_t i = 0; i < file->nextents; i++)
	{
		const int64_t *extent = file->extents + 3 * i;

		assert(extent[0] >= -1 && extent[0] < MANIFEST_PACKS_MAX);
		assert(extent[1] >= 0 && extent[2] >= 1);
		assert(extent[0] >= 0 ? extent[1] + extent[2] <= MANIFEST_PACK_DATA
							  : extent[1] == 0);
		total += (uint64_t) extent[2];
	}
	if (file->nmaps > 0)
		assert(file->nextents == 0);
	else
		assert(total == file->size);
	check_ranges(file->maps, file->nmaps);
	check_ranges(file->pages, file->npages);
	return ST_OK;
}

static enum status
take_config(void *arg, const struct manifest_entry *file, struct err *err)
{
	(void) arg;
	(void) err;
	assert(file->path[0] == '/' && manifest_path_valid(file->path + 1));
	return check_file(file);
}

static enum status
take_file(void *arg, const struct manifest_entry *file, struct err *err)
{
	(void) arg;
	(void) err;
	assert(manifest_path_valid(file->path) && file->mode <= 0777);
	return check_file(file);
}

static enum status
take_dir(void *arg, const char *path, mode_t mode, struct err *err)
{
	(void) arg;
	(void) err;
	assert(manifest_path_valid(path) && mode <= 0777);
	return ST_OK;
}

static enum status
take_pack(void *arg, const struct manifest_pack *pack, struct err *err)
{
	(void) arg;
	(void) err;
	assert(backup_id_parse(pack->backup, NULL));
	assert(pack->header_len <= OBJECT_HEADER_MAX);
	assert(pack->nframes >= 2 && pack->nframes <= MANIFEST_FRAMES_MAX);
	assert(pack->data_used <= MANIFEST_PACK_DATA);
	for (size_t i = 0; i < pack->nframes; i++)
		assert(pack->frames[i] > 0 && pack->frames[i] <= INT32_MAX);
	return ST_OK;
}

static const struct manifest_handler handler = {.config = take_config,
												.file = take_file,
												.dir = take_dir,
												.digest = take_pack,
												.pack = take_pack};

/* The first byte says in what pieces the rest is fed. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest_reader *reader;
	struct backup_summary summary;
	struct err err;
	enum status st = ST_OK;
	size_t piece;

	if (size < 1 ||
		manifest_reader_new(&handler, NULL, &reader, &err) != ST_OK)
		return 0;
	piece = (size_t) data[0] * 7 + 1;
	data++;
	size--;
	for (size_t at = 0; st == ST_OK && at < size; at += piece)
		st = manifest_reader_feed(reader, data + at,
								  size - at < piece ? size - at : piece, &err);
	if (st == ST_OK)
		st = manifest_reader_end(reader, &err);
	manifest_reader_free(reader);
	if (st == ST_OK)
		return 0;
	(void) !manifest_summary_parse(data, size, &summary, &err);
	return 0;
}
