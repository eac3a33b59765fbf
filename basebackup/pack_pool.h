/*
 * pack_pool.h - threads that seal packs and put them into the store
 *
 * The producer takes an empty pack, fills it, and hands it over.  There are
 * two more packs than workers, one of each kind for the producer, so one that
 * is faster waits: memory is a constant.  A worker gives the pack's memory
 * back as soon as it is sealed, before it is put.  Each worker has a store
 * handle and a codec of its own. The first error of any worker stops all of
 * them, and every later call of the producer returns it.
 *
 * What the manifest tells of each pack is kept in a temporary file.
 */
#ifndef BASEBACKUP_PACK_POOL_H
#define BASEBACKUP_PACK_POOL_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"
#include "common/object.h"

/* common/FORMAT.md, 4.2 */
#define PACK_DATA_MAX   ((size_t) 16 << 20)
#define PACK_FRAMES_MAX (1 + PACK_DATA_MAX / OBJECT_FRAME_SIZE)

/* What the pool adds to a table: a line that tells the frames' lengths. */
#define PACK_TABLE_END ((size_t) 11 + PACK_FRAMES_MAX * 9 + 3)

/* Data, and digest objects, which are laid out in the same way. */
enum pack_kind
{
	PACK_DATA,
	PACK_DIGEST,
	PACK_KINDS
};

/* A pack in the making. */
struct pack
{
	enum pack_kind kind;
	uint32_t n;
	char *table; /* OBJECT_FRAME_SIZE bytes of room, PACK_TABLE_END of them
				  * to be left */
	size_t table_len;
	uint8_t *data; /* PACK_DATA_MAX bytes of room */
	size_t data_len;
	struct pack *next;
};

/* What it takes to read a stored pack. */
struct pack_record
{
	uint16_t header_len;
	uint16_t nframes;
	uint8_t header[OBJECT_HEADER_MAX];
	uint32_t frames[PACK_FRAMES_MAX]; /* stored length of each */
	uint32_t data_len;
	uint64_t stored_bytes;
};

/* All borrowed until pack_pool_free. */
struct pack_target
{
	const struct config *cfg; /* backup_workers, command_timeout_ms */
	const struct keyring *ring;
	uint64_t system_identifier;
	const char *backup_id;
	const volatile sig_atomic_t *cancel;
};

struct pack_pool;

extern enum status
pack_pool_new(const struct pack_target *target, struct pack_pool **out,
			  struct err *err) ERR_CHECK;

/* Stops the workers, whatever they are doing, and frees everything. */
extern void pack_pool_free(struct pack_pool *pool);

/*
 * Waits for an empty pack.  Its number is the one it will have if no other of
 * its kind is handed over before it.  Who holds one of each kind must not take
 * a third.
 */
extern enum status
pack_pool_take(struct pack_pool *pool, enum pack_kind kind, struct pack **out,
			   struct err *err) ERR_CHECK;

/* Hands it over, with at least a table. */
extern enum status pack_pool_put(struct pack_pool *pool, struct pack *pack,
								 struct err *err) ERR_CHECK;

/*
 * Waits until all that was handed over is in the store, and gives back the
 * memory that packs need: there can be no other.
 */
extern enum status
pack_pool_drain(struct pack_pool *pool, struct err *err) ERR_CHECK;

extern const char *pack_pool_backup_id(const struct pack_pool *pool);

/* After a drain. */
extern uint32_t
pack_pool_count(const struct pack_pool *pool, enum pack_kind kind);
extern uint64_t
pack_pool_stored_bytes(const struct pack_pool *pool, enum pack_kind kind);
extern enum status
pack_pool_record(const struct pack_pool *pool, enum pack_kind kind, uint32_t n,
				 struct pack_record *out, struct err *err) ERR_CHECK;

/* ST_OK, or the first worker's error; never waits. */
extern enum status
pack_pool_check(struct pack_pool *pool, struct err *err) ERR_CHECK;

#endif
