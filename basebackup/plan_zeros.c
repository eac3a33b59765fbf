/*
 * plan_zeros.c - zeros that files hold and no pack does
 *
 * A new file reads as zeros by itself; one that is written over does not.
 */
#include "basebackup/plan_files.h"

#include "basebackup/tempfile.h"
#include "common/crc32c.h"

enum status
plan_add_zeros(struct plan *plan, const struct plan_zeros *zeros,
			   uint64_t size, struct err *err)
{
	struct plan_files *files = plan->files;
	enum status st = ST_OK;

	plan_part_done(plan, zeros->entry, size, zeros->at, zeros->length,
				   crc32c_zeros(0, zeros->length));
	if (files->zeros == NULL)
		st = tempfile_open(&files->zeros, err);
	if (st == ST_OK)
		st = tempfile_write(files->zeros, zeros, sizeof(*zeros), err);
	if (st == ST_OK)
		files->nzeros++;
	return st;
}

enum status
plan_each_zeros(const struct plan *plan,
				enum status (*visit)(void *arg, const struct plan_zeros *zeros,
									 struct err *err),
				void *arg, struct err *err)
{
	struct plan_files *files = plan->files;
	enum status st = ST_OK;

	if (files->nzeros > 0)
		st = tempfile_rewind(files->zeros, err);
	for (uint64_t i = 0; st == ST_OK && i < files->nzeros; i++)
	{
		struct plan_zeros zeros;

		st = tempfile_read(files->zeros, &zeros, sizeof(zeros), err);
		if (st == ST_OK)
			st = visit(arg, &zeros, err);
	}
	return st;
}
