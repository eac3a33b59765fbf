/*
 * status_usage.c - what the backups take in the store
 *
 * A complete backup's objects do not change until it expires, so what was
 * counted once is remembered for a day (by then a lifecycle rule may have
 * moved some to another class).
 */
#include "basebackup/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct lister
{
	size_t prefix_len;
	struct usage usage;
};

static enum usage_kind
kind_of(const char *part)
{
	if (strncmp(part, "pack/", 5) == 0)
		return USAGE_PACK;
	if (strncmp(part, "digest/", 7) == 0)
		return USAGE_DIGEST;
	return strcmp(part, "manifest") == 0 ? USAGE_MANIFEST : USAGE_MARK;
}

static enum status
add_part(void *arg, const struct store_entry *entry, struct err *err)
{
	struct lister *l = arg;
	struct usage_row row = {.kind = kind_of(entry->key + l->prefix_len),
							.objects = 1,
							.bytes = entry->stat.size_bytes};

	(void) err;
	(void) snprintf(row.storage_class, sizeof(row.storage_class), "%s",
					entry->stat.storage_class);
	usage_add(&l->usage, &row);
	return ST_OK;
}

static bool
plain(const struct usage *usage)
{
	for (size_t i = 0; i < usage->nrows; i++)
		if (!memory_takes_class(usage->rows[i].storage_class))
			return false;
	return true;
}

static bool
recall(struct overview *s, const char *id, const struct memory *memory,
	   struct memory *found, enum status *status, struct err *err)
{
	bool any = false;

	*status = ST_OK;
	for (size_t i = 0; i < memory->nusages && *status == ST_OK; i++)
		if (strcmp(memory->usages[i].backup_id, id) == 0)
		{
			any = true;
			usage_add(&s->usage, &memory->usages[i].usage);
			*status = memory_add_usage(found, &memory->usages[i], err);
		}
	return any;
}

static enum status
count(struct overview *s, const char *id, bool remember, struct memory *found,
	  struct err *err)
{
	struct repo *repo = &s->session.repo;
	struct memory_usage row = {.seen_s = s->now_s};
	struct lister l = {.prefix_len = 0};
	char prefix[STORE_KEY_MAX];
	enum status status;

	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/backup/%s/",
					repo->system_identifier, id);
	l.prefix_len = strlen(prefix);
	status = store_list(repo->store, prefix, NULL, false, add_part, &l, err);
	if (status != ST_OK)
		return status;
	usage_join(&s->usage, &l.usage);
	(void) snprintf(row.backup_id, sizeof(row.backup_id), "%s", id);
	for (size_t i = 0; remember && plain(&l.usage) && i < l.usage.nrows; i++)
	{
		row.usage = l.usage.rows[i];
		if (memory_add_usage(found, &row, err) != ST_OK)
			return err->status;
	}
	return ST_OK;
}

enum status
status_usage_load(struct overview *s, const struct memory *memory,
				  struct memory *found, struct err *err)
{
	for (size_t i = 0; i < s->catalog.nbackups; i++)
	{
		const struct catalog_backup *b = &s->catalog.backups[i];
		bool settled = b->state == BACKUP_COMPLETE;
		enum status status;

		if (settled && recall(s, b->id, memory, found, &status, err))
		{
			if (status != ST_OK)
				return status;
			continue;
		}
		status = count(s, b->id, settled, found, err);
		if (status != ST_OK)
			return err_context(err, "could not see what backup %s takes",
							   b->id);
	}
	return ST_OK;
}
