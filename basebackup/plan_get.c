/*
 * plan_get.c - what is asked of a plan while it is carried out
 */
#include "basebackup/plan_files.h"

#include <string.h>

#include "basebackup/plan_record.h"
#include "basebackup/tempfile.h"
#include "common/crc32c.h"

const char *
plan_setting(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->nrecorded; i++)
		if (strcmp(plan->recorded[i].name, name) == 0)
			return plan->recorded[i].value;
	return NULL;
}

enum status
plan_get_entry(const struct plan *plan, uint32_t number,
			   struct plan_entry *out, struct err *err)
{
	uint64_t at = plan->files->entry_at[number];
	struct plan_entry_record record;
	enum status st = tempfile_read_at(plan->files->entries, at, &record,
									  sizeof(record), err);

	if (st == ST_OK)
		st = tempfile_read_at(plan->files->entries, at + sizeof(record),
							  out->path, record.path_len, err);
	if (st != ST_OK)
		return st;
	out->path[record.path_len] = '\0';
	out->type = (enum plan_type) record.type;
	out->area = record.area;
	out->mode = record.mode;
	out->mtime = record.mtime;
	out->size = record.size;
	out->crc32c = record.crc32c;
	return ST_OK;
}

enum status
plan_get_pack(const struct plan *plan, uint32_t number, struct plan_pack *out,
			  struct err *err)
{
	uint64_t at = plan->files->pack_at[number];
	struct plan_pack_record record;
	enum status st =
		tempfile_read_at(plan->files->packs, at, &record, sizeof(record), err);

	if (st != ST_OK)
		return st;
	at += sizeof(record);
	st = tempfile_read_at(plan->files->packs, at, out->header,
						  record.header_len, err);
	if (st == ST_OK)
		st = tempfile_read_at(plan->files->packs, at + record.header_len,
							  out->frames,
							  record.nframes * sizeof(*out->frames), err);
	out->backup = plan->backups[record.backup];
	out->n = record.n;
	out->header_len = record.header_len;
	out->nframes = record.nframes;
	return st;
}

bool
plan_uses_pack(const struct plan *plan, uint32_t number)
{
	return plan->files->pack_extents[number] > 0;
}

/*
 * CRCs are linear: the CRC of a whole is the sum, without carry, of those of
 * its parts, each moved by what follows it.  So the order does not matter.
 */
void
plan_part_done(struct plan *plan, uint32_t entry, uint64_t size, uint64_t at,
			   uint64_t len, uint32_t crc)
{
	atomic_fetch_xor(&plan->files->crc_left[entry],
					 crc32c_combine(crc, 0, size - at - len));
}

bool
plan_entry_intact(const struct plan *plan, uint32_t number)
{
	return atomic_load(&plan->files->crc_left[number]) == 0;
}

const char *
plan_pending_path(const struct plan_entry *entry)
{
	if (entry->area == PLAN_DATA &&
		strcmp(entry->path, PLAN_CONTROL_FILE) == 0)
		return PLAN_CONTROL_PENDING;
	return entry->path;
}
