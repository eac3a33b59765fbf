/*
 * ahead_file.h - one file, stored ahead
 */
#ifndef WALSHIP_AHEAD_FILE_H
#define WALSHIP_AHEAD_FILE_H

#include "common/err.h"
#include "common/object.h"
#include "walship/ahead.h"
#include "walship/budget.h"
#include "walship/connections.h"
#include "walship/push.h"

/* What a thread works with. */
struct ahead_hand
{
	const struct ahead *ahead;
	struct budget *budget;
	struct connections *connections;
	struct push_room room;
};

/*
 * Stores a file of pg_wal and leaves its marker.  ST_OK also if there is a
 * valid marker, or if the file is not ready any more.  A marker that cannot
 * be written is ST_IO.
 */
extern enum status ahead_file(struct ahead_hand *hand, const char *name,
							  struct err *err) ERR_CHECK;

/*
 * Does a marker say that the file at path, of that name, is stored?  Then
 * object is as in marker.h.  in_recovery: the server is, so that a file may
 * be set aside; what was set aside before a promotion proves nothing.
 */
extern bool
ahead_stored(const struct ahead *ahead, const char *path, const char *name,
			 bool in_recovery, char object[OBJECT_NAME_MAX + 1]);

#endif
