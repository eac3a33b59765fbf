/*
 * store_put_same.h - a put that recognises its own object
 */
#ifndef BASEBACKUP_STORE_PUT_SAME_H
#define BASEBACKUP_STORE_PUT_SAME_H

#include <stddef.h>

#include "common/err.h"
#include "common/store.h"

/*
 * As store_put; but an object that is there already and holds exactly these
 * bytes is success: a put whose answer was lost has met itself.  ST_DIFFERS
 * if it holds others.
 */
extern enum status
store_put_same(struct store *store, const char *key, const void *data,
			   size_t len, struct err *err) ERR_CHECK;

#endif
