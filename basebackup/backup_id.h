/*
 * backup_id.h - the names of backups (common/FORMAT.md section 1)
 *
 * Pure.  "<lsn>-<timeline>-<time>", so that ids sort by LSN.
 */
#ifndef BASEBACKUP_BACKUP_ID_H
#define BASEBACKUP_BACKUP_ID_H

#include <stdbool.h>
#include <stdint.h>

#define BACKUP_ID_MAX 43 /* bytes with the terminating zero */

struct backup_id
{
	uint64_t lsn;
	uint32_t timeline;
	int64_t time_s; /* seconds since 1970 */
};

/* out may be NULL: only is it one? */
extern bool backup_id_parse(const char *text, struct backup_id *out);

/* "<id>/", as a listing has it; id has BACKUP_ID_MAX bytes. */
extern bool backup_id_of_prefix(const char *text, char *id);

#endif
