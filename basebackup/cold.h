/*
 * cold.h - objects that a restore needs and that lie in archived storage
 *
 * A listing tells an object's class, but not whether a readable copy was
 * brought back for a while: so what is listed as archived is looked up
 * singly, and only there.
 */
#ifndef BASEBACKUP_COLD_H
#define BASEBACKUP_COLD_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/store.h"

struct cold_object
{
	char *key;
	uint64_t size_bytes;
	char storage_class[32];
};

/* All zero is an empty list. */
struct cold_list
{
	size_t nobjects;
	struct cold_object *objects;
	uint64_t bytes;
};

/* Adds what a listing showed, if that is archived. */
extern enum status
cold_add(struct cold_list *list, const struct store_entry *entry,
		 struct err *err) ERR_CHECK;
extern void cold_free(struct cold_list *list);

/* Drops what can be read already. */
extern enum status cold_settle(struct cold_list *list, struct store *store,
							   struct err *err) ERR_CHECK;

/*
 * Has the store bring back all of it for so many days, and waits until it
 * can be read: hours, usually.  ST_CANCELLED; what was asked for goes on.
 */
extern enum status
cold_thaw(struct cold_list *list, struct store *store, int days,
		  const volatile sig_atomic_t *cancel, struct err *err) ERR_CHECK;

/* Why a restore cannot begin; the list is not empty. */
extern enum status cold_refuse(const struct cold_list *list, struct err *err);

#endif
