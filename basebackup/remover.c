/*
 * remover.c - deleting many objects
 */
#include "basebackup/remover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/log.h"
#include "common/s3_settings.h"

#define BATCH      1000 /* what one request of S3's deletes */
#define LOGGED_MAX 10
#define DAY_S      86400

struct item
{
	char key[STORE_KEY_MAX];
	uint64_t size_bytes;
	bool counted;
	bool locked;
	bool failed;
};

struct remover
{
	struct repo repo;
	struct item items[BATCH];
	const char *keys[BATCH];
	size_t nitems;
	uint64_t count;
	uint64_t bytes;
	int64_t now_s;  /* when it began */
	int64_t lock_s; /* how long an object is locked; 0: none is */
	uint64_t locked;
	uint64_t locked_bytes;
	uint64_t failed;
	struct err first; /* if failed */
};

enum status
remover_new(struct session *session, struct remover **out, struct err *err)
{
	const char *setting = session->cfg->s3_object_lock;
	struct remover *remover = calloc(1, sizeof(*remover));
	struct s3_lock lock;
	enum status status;

	if (remover == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = repo_open(&remover->repo, session->cfg, session->ring,
					   session->repo.system_identifier, err);
	if (status != ST_OK)
	{
		free(remover);
		return status;
	}
	store_set_timeout(remover->repo.store, session->cfg->command_timeout_ms,
					  cli_cancel());
	if (setting != NULL && s3_lock_parse(setting, &lock))
		remover->lock_s = (int64_t) lock.days * DAY_S;
	remover->now_s = repo_now_s(&session->repo);
	*out = remover;
	return ST_OK;
}

void
remover_free(struct remover *remover)
{
	if (remover == NULL)
		return;
	repo_close(&remover->repo);
	free(remover);
}

static enum status
add(struct remover *remover, const struct item *item, struct err *err)
{
	if (remover->nitems == BATCH)
	{
		enum status status = remover_flush(remover, err);

		if (status != ST_OK)
			return status;
	}
	remover->items[remover->nitems] = *item;
	remover->keys[remover->nitems] = remover->items[remover->nitems].key;
	remover->nitems++;
	return ST_OK;
}

enum status
remover_add(struct remover *remover, const struct store_entry *entry,
			struct err *err)
{
	struct item item = {.size_bytes = entry->stat.size_bytes,
						.counted = true,
						.locked = entry->stat.modified + remover->lock_s >
								  remover->now_s};

	(void) snprintf(item.key, sizeof(item.key), "%s", entry->key);
	return add(remover, &item, err);
}

enum status
remover_add_part(struct remover *remover, const char *backup_id,
				 const char *part, struct err *err)
{
	struct item item = {.counted = false};
	char name[OBJECT_NAME_MAX + 1];

	repo_backup_name(name, backup_id, part);
	repo_key(item.key, remover->repo.system_identifier, name);
	return add(remover, &item, err);
}

static void
note_failure(void *arg, const char *key, const struct err *outcome)
{
	struct remover *remover = arg;

	if (outcome->status == ST_OK)
		return;
	for (size_t i = 0; i < remover->nitems; i++)
		if (strcmp(remover->items[i].key, key) == 0)
			remover->items[i].failed = true;
	if (remover->failed == 0)
		remover->first = *outcome;
	if (remover->failed++ < LOGGED_MAX)
		log_err_warning(outcome);
}

static void
count(struct remover *remover, const struct item *item)
{
	if (!item->counted || item->failed)
		return;
	remover->count++;
	remover->bytes += item->size_bytes;
	if (remover->lock_s == 0 || !item->locked)
		return;
	remover->locked++;
	remover->locked_bytes += item->size_bytes;
}

enum status
remover_flush(struct remover *remover, struct err *err)
{
	uint64_t failed = remover->failed;
	enum status status;

	if (remover->nitems == 0)
		return ST_OK;
	status = store_remove(remover->repo.store, remover->keys, remover->nitems,
						  note_failure, remover, err);
	/* What was told of single keys is counted, and told at the end. */
	if (status != ST_OK && remover->failed > failed)
		status = ST_OK;
	for (size_t i = 0; i < remover->nitems && status == ST_OK; i++)
		count(remover, &remover->items[i]);
	remover->nitems = 0;
	return status;
}

uint64_t
remover_count(const struct remover *remover)
{
	return remover->count;
}

uint64_t
remover_bytes(const struct remover *remover)
{
	return remover->bytes;
}

uint64_t
remover_locked(const struct remover *remover)
{
	return remover->locked;
}

uint64_t
remover_locked_bytes(const struct remover *remover)
{
	return remover->locked_bytes;
}

uint64_t
remover_failed(const struct remover *remover)
{
	return remover != NULL ? remover->failed : 0;
}

enum status
remover_outcome(const struct remover *remover, struct err *err)
{
	if (remover_failed(remover) == 0)
		return ST_OK;
	*err = remover->first;
	return err_context(err, "could not delete %" PRIu64 " objects",
					   remover->failed);
}
