/*
 * s3_deliver.c - from a page that a store listed to the caller
 */
#include "common/s3_deliver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/s3_settings.h"

static int
by_name(const void *a, const void *b)
{
	const struct s3_list_entry *one = a;
	const struct s3_list_entry *two = b;

	return strcmp(one->name, two->name);
}

/* Objects that other tools left there are nobody's business here. */
static bool
is_ours(const char *key, bool is_prefix)
{
	char text[STORE_KEY_MAX];
	size_t len = strlen(key);

	if (!is_prefix)
		return store_key_valid(key);
	if (len < 2 || len >= sizeof text || key[len - 1] != '/')
		return false;
	memcpy(text, key, len - 1);
	text[len - 1] = '\0';
	return store_key_valid(text);
}

static enum status
deliver_entry(struct s3_delivery *d, const struct s3_list_entry *entry,
			  struct err *err)
{
	const char *key = s3_address_relative(d->address, entry->name);
	struct store_entry out = {.key = key, .is_prefix = entry->is_prefix};

	if (key == NULL || strncmp(key, d->prefix, strlen(d->prefix)) != 0)
		return err_set(err, ST_CONFIG,
					   "cannot list what begins with \"%s\": the store "
					   "answers with \"%.256s\"",
					   d->prefix, entry->name);
	if (!is_ours(key, entry->is_prefix))
		return ST_OK;

	/* Where start-after meets a common prefix, stores differ. */
	if (d->start_after != NULL && strcmp(key, d->start_after) <= 0)
		return ST_OK;
	if (d->last[0] != '\0' && strcmp(key, d->last) <= 0)
		return err_set(err, ST_CONFIG,
					   "cannot list what begins with \"%s\": the store lists "
					   "\"%s\" after \"%s\"",
					   d->prefix, key, d->last);
	(void) snprintf(d->last, sizeof d->last, "%s", key);
	if (!entry->is_prefix)
	{
		out.stat.size_bytes = entry->size_bytes;
		out.stat.modified = entry->modified_s;
		memcpy(out.stat.storage_class, entry->storage_class,
			   sizeof out.stat.storage_class);
		out.stat.archived = s3_class_archived(entry->storage_class);
	}
	return d->lister(d->arg, &out, err);
}

/* Keys and common prefixes come in two sequences, each in order. */
enum status
s3_deliver_page(struct s3_delivery *d, struct s3_list_page *page,
				struct err *err)
{
	enum status status = ST_OK;

	if (page->nentries > 1)
		qsort(page->entries, page->nentries, sizeof page->entries[0], by_name);
	for (size_t i = 0; status == ST_OK && i < page->nentries; i++)
		status = deliver_entry(d, &page->entries[i], err);
	return status;
}
