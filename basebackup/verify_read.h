/*
 * verify_read.h - threads that fetch and authenticate stored objects
 *
 * Objects are handed over in the order of their keys, and the pool knows up to
 * which key all are done, so that an interrupted run can be resumed.  Memory:
 * one object reader for each thread, and a queue of fixed length.
 */
#ifndef BASEBACKUP_VERIFY_READ_H
#define BASEBACKUP_VERIFY_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/expect.h"
#include "common/err.h"
#include "common/session.h"
#include "common/store.h"

/* Is that key drawn, where so many of 10000 shall be? */
extern bool verify_drawn(const char *key, unsigned seed, uint32_t sample_bp);

struct verify_object
{
	enum object_kind kind;
	char key[STORE_KEY_MAX];
	uint64_t size_bytes;
	bool has_sum;
	uint8_t sum[EXPECT_SUM_BYTES]; /* of a pack or digest object */
};

/* Called by the pool's threads, one at a time, for what cannot be read. */
typedef void (*verify_failed)(void *arg, const struct verify_object *object,
							  const struct err *why);

struct verify_pool;

/* The session is borrowed, its repository's cluster known. */
extern enum status
verify_pool_new(const struct session *session, verify_failed failed, void *arg,
				struct verify_pool **out, struct err *err) ERR_CHECK;
extern void verify_pool_free(struct verify_pool *pool);

/*
 * Waits for room and takes a copy.  Fails if a thread had to give up: the
 * store does not answer, or a signal came.
 */
extern enum status
verify_pool_add(struct verify_pool *pool, const struct verify_object *object,
				struct err *err) ERR_CHECK;

/* Waits until all are done. */
extern enum status
verify_pool_drain(struct verify_pool *pool, struct err *err) ERR_CHECK;

/* All objects up to this key are done; empty: none yet. */
extern void
verify_pool_mark(struct verify_pool *pool, char key[STORE_KEY_MAX]);

extern void verify_pool_count(struct verify_pool *pool, uint64_t *objects,
							  uint64_t *bytes);

#endif
