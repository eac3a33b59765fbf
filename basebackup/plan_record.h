/*
 * plan_record.h - how entries and packs lie in a plan's temporary files
 */
#ifndef BASEBACKUP_PLAN_RECORD_H
#define BASEBACKUP_PLAN_RECORD_H

#include <stdint.h>

/* Its path lies behind it. */
struct plan_entry_record
{
	uint64_t size;
	int64_t mtime;
	uint32_t area;
	uint32_t mode;
	uint16_t type;
	uint16_t path_len;
	uint32_t crc32c;
};

/* The header and the frames' lengths lie behind it. */
struct plan_pack_record
{
	uint32_t backup;
	uint32_t n;
	uint32_t header_len;
	uint32_t nframes;
};

#endif
