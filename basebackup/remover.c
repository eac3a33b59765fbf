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

#define BATCH      1000 /* what one request of S3's deletes */
#define LOGGED_MAX 10

struct item
{
	char key[STORE_KEY_MAX];
	uint64_t size_bytes;
	bool counted;
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
	uint64_t failed;
	struct err first; /* if failed */
};

enum status
remover_new(struct session *session, struct remover **out, struct err *err)
{
	struct remover *remover = calloc(1, sizeof(*remover));
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
add(struct remover *remover, const char *key, uint64_t size_bytes,
	bool counted, struct err *err)
{
	struct item *item;

	if (remover->nitems == BATCH)
	{
		enum status status = remover_flush(remover, err);

		if (status != ST_OK)
			return status;
	}
	item = &remover->items[remover->nitems];
	(void) snprintf(item->key, sizeof(item->key), "%s", key);
	item->size_bytes = size_bytes;
	item->counted = counted;
	item->failed = false;
	remover->keys[remover->nitems++] = item->key;
	return ST_OK;
}

enum status
remover_add(struct remover *remover, const char *key, uint64_t size_bytes,
			struct err *err)
{
	return add(remover, key, size_bytes, true, err);
}

enum status
remover_add_part(struct remover *remover, const char *backup_id,
				 const char *part, struct err *err)
{
	char name[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];

	repo_backup_name(name, backup_id, part);
	repo_key(key, remover->repo.system_identifier, name);
	return add(remover, key, 0, false, err);
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
		if (remover->items[i].counted && !remover->items[i].failed)
		{
			remover->count++;
			remover->bytes += remover->items[i].size_bytes;
		}
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
