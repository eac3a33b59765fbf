/*
 * pack_reader.h - parts of packs and digest objects, wherever they lie
 *
 * Reads whole frames by range, authenticates them, and keeps the last few, so
 * that who goes through several objects at once, each in its order, fetches
 * each frame once.  Belongs to one thread.
 */
#ifndef BASEBACKUP_PACK_READER_H
#define BASEBACKUP_PACK_READER_H

#include <stddef.h>
#include <stdint.h>

#include "basebackup/packlist.h"
#include "common/err.h"
#include "common/repo.h"

struct pack_reader;

/* Keeps nframes frames of up to 1 MiB.  repo and list are borrowed. */
extern enum status
pack_reader_new(struct repo *repo, const struct packlist *list, size_t nframes,
				struct pack_reader **out, struct err *err) ERR_CHECK;
extern void pack_reader_free(struct pack_reader *reader);

/*
 * Reads len bytes from position on of the number-th object's data.
 * ST_CORRUPT, or what the store says; ST_MISSING if the object is gone.
 */
extern enum status
pack_reader_read(struct pack_reader *reader, uint32_t number,
				 uint64_t position, void *out, size_t len,
				 struct err *err) ERR_CHECK;

/* How many stored bytes have been fetched so far. */
extern uint64_t pack_reader_fetched(const struct pack_reader *reader);

#endif
