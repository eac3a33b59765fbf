/*
 * catalog.c - which backups a repository holds of a cluster
 */
#include "basebackup/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/piece.h"
#include "basebackup/repo_each.h"

/* Room for the header and a summary with a label of usual length. */
#define FIRST_READ ((size_t) 16 << 10)

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

/* "<sysid>/backup/<tail>" */
static void
backup_prefix(char *out, const struct repo *repo, const char *tail)
{
	snprintf(out, STORE_KEY_MAX, "%llu/backup/%s",
			 (unsigned long long) repo->system_identifier, tail);
}

struct lister
{
	struct catalog *catalog;
	size_t size;       /* backups there is room for */
	size_t prefix_len; /* of the listing */
};

static enum status
add_backup(void *arg, const struct store_entry *entry, struct err *err)
{
	struct lister *l = arg;
	char id[BACKUP_ID_MAX];

	/* What is no backup's id was not put by us; nothing depends on it. */
	if (!entry->is_prefix ||
		!backup_id_of_prefix(entry->key + l->prefix_len, id))
		return ST_OK;
	if (l->catalog->nbackups == l->size)
	{
		size_t size = l->size == 0 ? 16 : l->size * 2;
		struct catalog_backup *grown =
			reallocarray(l->catalog->backups, size, sizeof(*grown));

		if (grown == NULL)
			return nomem(err);
		l->catalog->backups = grown;
		l->size = size;
	}
	l->catalog->backups[l->catalog->nbackups] =
		(struct catalog_backup){.state = BACKUP_UNFINISHED};
	memcpy(l->catalog->backups[l->catalog->nbackups].id, id, sizeof(id));
	l->catalog->nbackups++;
	return ST_OK;
}

/* What lies under one backup's prefix. */
struct parts
{
	size_t prefix_len;
	struct catalog_backup *backup;
	bool start, manifest, expired;
};

static enum status
add_part(void *arg, const struct store_entry *entry, struct err *err)
{
	struct parts *parts = arg;
	const char *name = entry->key + parts->prefix_len;

	(void) err;
	if (strcmp(name, "start") == 0)
	{
		parts->start = true;
		parts->backup->started = entry->stat.modified;
	}
	else if (strcmp(name, "manifest") == 0)
	{
		parts->manifest = true;
		parts->backup->manifest_size = entry->stat.size_bytes;
	}
	else if (strcmp(name, "keep") == 0)
		parts->backup->keep = true;
	else if (strcmp(name, "expired") == 0)
		parts->expired = true;
	return ST_OK;
}

static enum status
read_summary(struct repo *repo, struct catalog_backup *backup, struct err *err)
{
	char name[OBJECT_NAME_MAX + 1];
	const struct object_id id = {OBJECT_MANIFEST, repo->system_identifier,
								 name};
	struct first_frame first;
	enum status st;

	repo_backup_name(name, backup->id, "manifest");
	if (repo->ring == NULL)
		return err_set(err, ST_AUTH, "there is no key to read \"%s\" with",
					   name);
	st = first_frame_read(repo, &id, backup->manifest_size, FIRST_READ, &first,
						  err);
	if (st != ST_OK)
		return st;
	st = manifest_summary_parse(first.plain, first.plain_len, &backup->summary,
								err);
	first_frame_free(&first);
	if (st == ST_OK &&
		(strcmp(backup->summary.id, backup->id) != 0 ||
		 backup->summary.system_identifier != repo->system_identifier))
		st = err_set(err, ST_CORRUPT, "\"%s\" is of another backup", name);
	return st;
}

/* What is found out about each of the catalogue's backups. */
struct examined
{
	struct catalog *catalog;
	bool *drop; /* it does not count */
};

/* Learns a backup's state; *drop tells that it does not count. */
static enum status
examine(struct repo *repo, struct catalog_backup *backup, bool *drop,
		struct err *err)
{
	char prefix[STORE_KEY_MAX], tail[BACKUP_ID_MAX + 1];
	struct parts parts = {.backup = backup};
	enum status st;

	snprintf(tail, sizeof(tail), "%s/", backup->id);
	backup_prefix(prefix, repo, tail);
	parts.prefix_len = strlen(prefix);
	st = store_list(repo->store, prefix, NULL, true, add_part, &parts, err);
	if (st != ST_OK)
		return st;
	if (parts.expired)
	{
		backup->state = BACKUP_EXPIRED;
		return ST_OK;
	}
	*drop = !parts.manifest && !parts.start;
	if (*drop || !parts.manifest)
		return ST_OK;
	st = read_summary(repo, backup, err);
	if (st == ST_OK)
		backup->state = BACKUP_COMPLETE;
	else if (st == ST_CORRUPT || st == ST_AUTH || st == ST_CONFIG)
	{
		backup->state = BACKUP_UNREADABLE;
		backup->why = malloc(sizeof(*backup->why));
		if (backup->why == NULL)
			return nomem(err);
		*backup->why = *err;
		return ST_OK;
	}
	else if (st == ST_MISSING)
	{
		/* Expired and deleted between the two requests. */
		*drop = true;
		return ST_OK;
	}
	return st;
}

/* A repo_visitor: the state of backup i; its summary, if it is complete. */
static enum status
examine_item(struct repo *repo, size_t i, void *arg, struct err *err)
{
	struct examined *x = arg;

	return examine(repo, &x->catalog->backups[i], &x->drop[i], err);
}

/* Leaves out those that do not count. */
static void
compact(struct catalog *catalog, const bool *drop, bool expired_too)
{
	size_t kept = 0;

	for (size_t i = 0; i < catalog->nbackups; i++)
	{
		struct catalog_backup *b = &catalog->backups[i];

		if (drop[i] || (b->state == BACKUP_EXPIRED && !expired_too))
			free(b->why);
		else if (kept++ < i)
			catalog->backups[kept - 1] = *b;
	}
	catalog->nbackups = kept;
}

static enum status
load(struct repo *repo, bool expired_too, struct catalog *out, struct err *err)
{
	struct catalog catalog = {0};
	struct lister l = {.catalog = &catalog};
	struct examined x = {.catalog = &catalog};
	char prefix[STORE_KEY_MAX];
	enum status st;

	backup_prefix(prefix, repo, "");
	l.prefix_len = strlen(prefix);
	st = store_list(repo->store, prefix, NULL, true, add_backup, &l, err);
	x.drop = calloc(catalog.nbackups + 1, sizeof(*x.drop));
	if (x.drop == NULL)
	{
		catalog_free(&catalog);
		return nomem(err);
	}
	if (st == ST_OK)
		st = repo_each(repo, catalog.nbackups, examine_item, &x, err);
	if (st == ST_OK)
	{
		compact(&catalog, x.drop, expired_too);
		*out = catalog;
	}
	else
	{
		catalog_free(&catalog);
		err_context(err, "could not read the list of backups");
	}
	free(x.drop);
	return st;
}

enum status
catalog_load(struct repo *repo, struct catalog *out, struct err *err)
{
	return load(repo, false, out, err);
}

enum status
catalog_load_all(struct repo *repo, struct catalog *out, struct err *err)
{
	return load(repo, true, out, err);
}

void
catalog_free(struct catalog *catalog)
{
	for (size_t i = 0; i < catalog->nbackups; i++)
		free(catalog->backups[i].why);
	free(catalog->backups);
	catalog->backups = NULL;
	catalog->nbackups = 0;
}

const struct catalog_backup *
catalog_find(const struct catalog *catalog, const char *id)
{
	for (size_t i = 0; i < catalog->nbackups; i++)
		if (strcmp(catalog->backups[i].id, id) == 0)
			return &catalog->backups[i];
	return NULL;
}
