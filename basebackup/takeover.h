/*
 * takeover.h - a data directory that is there already
 *
 * A restore takes a directory over: it holds a lock on a marker in it, and
 * removes pg_control first of all, so that no server starts from what is
 * neither the old nor the new.  The marker tells a later attempt whose
 * half-restored directory it is.
 */
#ifndef BASEBACKUP_TAKEOVER_H
#define BASEBACKUP_TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define TAKEOVER_MARKER "walship.incomplete"

/*
 * May the data directory path, which is not empty, be written over?
 * ST_CONFIG: a server runs on it, it belongs to another user, cluster or to
 * nobody known, or holds WAL that was not archived; force permits the last
 * two.  Changes nothing.
 */
extern enum status takeover_check(const char *path, uint64_t system_identifier,
								  bool force, struct err *err) ERR_CHECK;

/* Says so; ST_CONFIG. */
extern enum status takeover_refuse_owner(const char *path, struct err *err);

/*
 * Locks the directory fd, makes its marker durable, and removes pg_control.
 * *lock is to be closed at the end.  ST_CONFIG: another restore has it.
 */
extern enum status
takeover_begin(int fd, const char *path, uint64_t system_identifier,
			   const char *backup_id, int *lock, struct err *err) ERR_CHECK;

/* Removes the marker; all else is in place and pg_control comes next. */
extern enum status
takeover_end(int fd, const char *path, struct err *err) ERR_CHECK;

#endif
