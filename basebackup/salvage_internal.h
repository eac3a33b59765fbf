/*
 * salvage_internal.h - what the two files of salvage share
 */
#ifndef BASEBACKUP_SALVAGE_INTERNAL_H
#define BASEBACKUP_SALVAGE_INTERNAL_H

#include <stdio.h>

#include "basebackup/salvage.h"

/* Chunks of one file in one pack, in the order of their positions. */
struct salvage_run
{
	uint64_t path;   /* its hash */
	uint64_t at;     /* where they lie in the temporary file */
	uint32_t len;    /* and how long they are there */
	uint32_t number; /* the pack's, in the base's list */
};

/* Before each chunk's entries. */
struct salvage_chunk
{
	uint64_t at; /* in the file */
	uint32_t position;
	uint32_t length;
};

/* Grows with what is read. */
struct salvage_index
{
	FILE *chunks;
	uint64_t chunks_len;
	struct salvage_run *runs;
	size_t nruns, runs_room;
	uint32_t npacks;
};

/* Reads the tables of all packs of a backup. */
extern enum status
salvage_read_backup(const struct salvage_source *source, const char *backup_id,
					struct salvage_index *index, struct err *err) ERR_CHECK;

#endif
