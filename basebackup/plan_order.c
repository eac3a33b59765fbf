/*
 * plan_order.c - extents in the order in which they are fetched
 *
 * The manifest lists extents file by file; a restore takes them pack by pack.
 * Neighbouring packs form batches of a size that can be sorted in memory, and
 * one pass distributes the extents over them.  A full backup's extents are
 * nearly in order and form one batch for each half terabyte; what comes from
 * many older backups forms more.
 */
#include "basebackup/plan_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basebackup/tempfile.h"

#define BUFFER_MAX ((size_t) 1024) /* extents */

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

/* Which batch each pack belongs to; *nbatches is how many there are. */
static void
assign_batches(const struct plan *plan, uint64_t batch_max, uint32_t *batch_of,
			   size_t *nbatches)
{
	uint64_t count = 0;
	uint32_t batch = 0;

	for (uint32_t i = 0; i < plan->npacks; i++)
	{
		uint64_t more = plan->files->pack_extents[i];

		if (count > 0 && count + more > batch_max)
		{
			batch++;
			count = 0;
		}
		count += more;
		batch_of[i] = batch;
	}
	*nbatches = (size_t) batch + 1;
}

static enum status
write_at(FILE *file, uint64_t at, const struct plan_extent *extents,
		 size_t count, struct err *err)
{
	const char *data = (const char *) extents;
	size_t len = count * sizeof(*extents);

	at *= sizeof(*extents);
	while (len > 0)
	{
		ssize_t n = pwrite(fileno(file), data, len, (off_t) at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return tempfile_failed("write", n < 0 ? errno : ENOSPC, err);
		data += n;
		at += (uint64_t) n;
		len -= (size_t) n;
	}
	return ST_OK;
}

/* One pass over the extents, through a small buffer for each batch. */
static enum status
distribute(struct plan *plan, const uint32_t *batch_of,
		   struct plan_extent *buffers, size_t *used, struct err *err)
{
	struct plan_files *files = plan->files;
	enum status st = tempfile_rewind(files->extents, err);

	for (uint64_t i = 0; st == ST_OK && i < files->nextents; i++)
	{
		struct plan_extent extent;
		uint32_t batch;
		struct plan_extent *buffer;

		st = tempfile_read(files->extents, &extent, sizeof(extent), err);
		if (st != ST_OK)
			break;
		batch = batch_of[extent.pack];
		buffer = buffers + batch * BUFFER_MAX;
		buffer[used[batch]++] = extent;
		if (used[batch] < BUFFER_MAX)
			continue;
		st =
			write_at(files->sorted,
					 files->batches[batch].first + files->batches[batch].count,
					 buffer, BUFFER_MAX, err);
		files->batches[batch].count += BUFFER_MAX;
		used[batch] = 0;
	}
	for (size_t i = 0; st == ST_OK && i < plan->nbatches; i++)
	{
		st = write_at(files->sorted,
					  files->batches[i].first + files->batches[i].count,
					  buffers + i * BUFFER_MAX, used[i], err);
		files->batches[i].count += used[i];
	}
	return st;
}

static enum status
order_many(struct plan *plan, const uint32_t *batch_of, struct err *err)
{
	struct plan_files *files = plan->files;
	struct plan_extent *buffers = NULL;
	size_t *used = NULL;
	enum status st;

	/* Where each batch begins: its size is known before it is filled. */
	for (uint32_t i = 0; i < plan->npacks; i++)
		files->batches[batch_of[i]].count += files->pack_extents[i];
	for (size_t i = 1; i < plan->nbatches; i++)
		files->batches[i].first =
			files->batches[i - 1].first + files->batches[i - 1].count;
	for (size_t i = 0; i < plan->nbatches; i++)
		files->batches[i].count = 0;

	buffers = calloc(plan->nbatches, BUFFER_MAX * sizeof(*buffers));
	used = calloc(plan->nbatches, sizeof(*used));
	if (buffers == NULL || used == NULL)
		st = nomem(err);
	else if ((st = tempfile_open(&files->sorted, err)) == ST_OK)
		st = distribute(plan, batch_of, buffers, used, err);
	free(buffers);
	free(used);
	return st;
}

enum status
plan_order(struct plan *plan, uint64_t batch_max, struct err *err)
{
	struct plan_files *files = plan->files;
	uint32_t *batch_of;
	enum status st;

	if (files->nextents == 0)
		return ST_OK;
	batch_of = calloc(plan->npacks, sizeof(*batch_of));
	if (batch_of == NULL)
		return nomem(err);
	assign_batches(plan, batch_max, batch_of, &plan->nbatches);
	files->batches = calloc(plan->nbatches, sizeof(*files->batches));
	if (files->batches == NULL)
		st = nomem(err);
	else if (plan->nbatches > 1)
		st = order_many(plan, batch_of, err);
	else
	{
		files->sorted = files->extents;
		files->batches[0].count = files->nextents;
		st = tempfile_rewind(files->sorted, err);
	}
	free(batch_of);
	return st;
}

static int
compare_extents(const void *a, const void *b)
{
	const struct plan_extent *x = a, *y = b;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	if (x->position != y->position)
		return x->position < y->position ? -1 : 1;
	return 0;
}

static void
sort_extents(struct plan_extent *extents, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (compare_extents(&extents[i - 1], &extents[i]) > 0)
		{
			qsort(extents, count, sizeof(*extents), compare_extents);
			return;
		}
}

enum status
plan_get_batch(const struct plan *plan, size_t number,
			   struct plan_extent **out, size_t *out_len, struct err *err)
{
	const struct plan_batch *batch = &plan->files->batches[number];
	size_t count = (size_t) batch->count;
	struct plan_extent *extents = calloc(count + 1, sizeof(*extents));
	enum status st;

	if (extents == NULL)
		return nomem(err);
	st = tempfile_read_at(plan->files->sorted, batch->first * sizeof(*extents),
						  extents, count * sizeof(*extents), err);
	if (st != ST_OK)
	{
		free(extents);
		return st;
	}
	sort_extents(extents, count);
	*out = extents;
	*out_len = count;
	return ST_OK;
}
