/*
 * remover.h - deleting many objects
 *
 * Gathers keys and deletes them in batches over a connection of its own, so
 * that it can be fed from a listing.  What cannot be deleted is logged (the
 * first few), counted, and does not stop the rest.
 */
#ifndef BASEBACKUP_REMOVER_H
#define BASEBACKUP_REMOVER_H

#include <stdint.h>

#include "common/err.h"
#include "common/session.h"
#include "common/store.h"

struct remover;

/* The session is borrowed, its repository's cluster known. */
extern enum status remover_new(struct session *session, struct remover **out,
							   struct err *err) ERR_CHECK;
extern void remover_free(struct remover *remover);

/* The entry is copied.  May delete what has gathered. */
extern enum status
remover_add(struct remover *remover, const struct store_entry *entry,
			struct err *err) ERR_CHECK;

/* A part of a backup, such as "manifest"; not counted. */
extern enum status
remover_add_part(struct remover *remover, const char *backup_id,
				 const char *part, struct err *err) ERR_CHECK;

/*
 * Deletes what has gathered.  ST_OK also if some could not be deleted; other
 * statuses are of the deletion as a whole, after all retries.
 */
extern enum status
remover_flush(struct remover *remover, struct err *err) ERR_CHECK;

/* What was deleted by remover_add, and how often any deletion failed. */
extern uint64_t remover_count(const struct remover *remover);
extern uint64_t remover_bytes(const struct remover *remover);
extern uint64_t remover_failed(const struct remover *remover);

/*
 * Of what was deleted, what s3_object_lock still holds: its bucket keeps
 * versions, so a deletion hides the object, and the lock keeps its bytes.
 */
extern uint64_t remover_locked(const struct remover *remover);
extern uint64_t remover_locked_bytes(const struct remover *remover);

/* ST_OK if nothing failed, else the first failure.  remover may be NULL. */
extern enum status
remover_outcome(const struct remover *remover, struct err *err) ERR_CHECK;

#endif
