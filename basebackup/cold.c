/*
 * cold.c - objects that a restore needs and that lie in archived storage
 */
#include "basebackup/cold.h"

#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "common/log.h"

/* A store needs minutes to hours. */
#define POLL_FIRST_MS 2000
#define POLL_LAST_MS  300000

enum status
cold_add(struct cold_list *list, const struct store_entry *entry,
		 struct err *err)
{
	struct cold_object *grown;

	if (!entry->stat.archived)
		return ST_OK;
	if ((list->nobjects & (list->nobjects + 1)) == 0)
	{
		grown = reallocarray(list->objects, 2 * (list->nobjects + 1),
							 sizeof(*grown));
		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		list->objects = grown;
	}
	grown = &list->objects[list->nobjects];
	*grown = (struct cold_object){.key = strdup(entry->key),
								  .size_bytes = entry->stat.size_bytes};
	if (grown->key == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	memcpy(grown->storage_class, entry->stat.storage_class,
		   sizeof(grown->storage_class));
	list->nobjects++;
	list->bytes += grown->size_bytes;
	return ST_OK;
}

void
cold_free(struct cold_list *list)
{
	for (size_t i = 0; i < list->nobjects; i++)
		free(list->objects[i].key);
	free(list->objects);
	*list = (struct cold_list){.nobjects = 0};
}

enum status
cold_settle(struct cold_list *list, struct store *store, struct err *err)
{
	size_t kept = 0;
	enum status st = ST_OK;

	for (size_t i = 0; i < list->nobjects; i++)
	{
		struct cold_object *o = &list->objects[i];
		struct store_stat stat = {.archived = true};

		if (st == ST_OK)
			st = store_head(store, o->key, &stat, err);
		if (st == ST_OK && !stat.archived)
		{
			list->bytes -= o->size_bytes;
			free(o->key);
		}
		else
			list->objects[kept++] = *o;
	}
	list->nobjects = kept;
	return st;
}

enum status
cold_thaw(struct cold_list *list, struct store *store, int days,
		  const volatile sig_atomic_t *cancel, struct err *err)
{
	const struct deadline forever = deadline_in(-1, cancel);
	int64_t wait_ms = POLL_FIRST_MS;
	size_t before;
	enum status st = ST_OK;
	char size[16];

	for (size_t i = 0; st == ST_OK && i < list->nobjects; i++)
	{
		st = deadline_check(&forever, err);
		if (st == ST_OK)
			st = store_thaw(store, list->objects[i].key, days, err);
	}
	if (st != ST_OK)
		return st;
	log_info("the store was asked to bring back %zu objects, %s, for %d days; "
			 "waiting until they can be read",
			 list->nobjects, size_format(list->bytes, size), days);
	before = list->nobjects;
	while ((st = cold_settle(list, store, err)) == ST_OK && list->nobjects > 0)
	{
		if (list->nobjects < before)
			log_info("%zu objects, %s, cannot be read yet", list->nobjects,
					 size_format(list->bytes, size));
		before = list->nobjects;
		st = deadline_sleep(&forever, wait_ms, err);
		if (st != ST_OK)
			break;
		wait_ms = 2 * wait_ms < POLL_LAST_MS ? 2 * wait_ms : POLL_LAST_MS;
	}
	if (st == ST_CANCELLED)
		err_hint(err, "The store goes on; repeat this when it is done.");
	return st;
}

enum status
cold_refuse(const struct cold_list *list, struct err *err)
{
	const struct cold_object *first = &list->objects[0];
	char size[16];

	err_set(err, ST_CONFIG,
			"object \"%s\" lies in storage class %s and cannot be read now",
			first->key, first->storage_class);
	if (list->nobjects > 1)
		err_detail(err, "There are %zu such objects, %s.", list->nobjects,
				   size_format(list->bytes, size));
	return err_hint(err, "Have the store bring it back: --thaw=DAYS asks for "
						 "that and waits.");
}
