/*
 * repo.c - the repository: a store, its keys, and the names in it
 */
#include "common/repo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cli.h"

enum status
repo_open(struct repo *repo, const struct config *cfg,
		  const struct keyring *ring, uint64_t system_identifier,
		  struct err *err)
{
	struct store *store;
	enum status rc = store_open(cfg, &store, err);

	if (rc != ST_OK)
		return rc;
	repo->cfg = cfg;
	repo->ring = ring;
	repo->store = store;
	repo->system_identifier = system_identifier;
	return ST_OK;
}

void
repo_close(struct repo *repo)
{
	store_free(repo->store);
	repo->store = NULL;
}

int64_t
repo_now_s(const struct repo *repo)
{
	int64_t ours = (int64_t) time(NULL);
	int64_t theirs = repo->store->answered_s;

	return theirs > 0 && theirs < ours ? theirs : ours;
}

struct cluster_lister
{
	void (*visit)(void *arg, uint64_t system_identifier);
	void *arg;
};

static enum status
list_cluster(void *arg, const struct store_entry *entry, struct err *err)
{
	const struct cluster_lister *lister = arg;
	char text[24];
	size_t len = strlen(entry->key);
	uint64_t sysid;

	(void) err;
	if (!entry->is_prefix || len < 2 || len > sizeof(text))
		return ST_OK;
	memcpy(text, entry->key, len - 1);
	text[len - 1] = '\0';
	if (parse_system_identifier(text, &sysid))
		lister->visit(lister->arg, sysid);
	return ST_OK;
}

enum status
repo_list_clusters(struct repo *repo, void (*visit)(void *arg, uint64_t sysid),
				   void *arg, struct err *err)
{
	struct cluster_lister lister = {.visit = visit, .arg = arg};

	return store_list(repo->store, "", NULL, true, list_cluster, &lister, err);
}

/* The clusters found, as many as an error can show. */
struct found
{
	unsigned count;
	uint64_t first;
	char text[ERR_DETAIL_MAX - 64];
	size_t used;
};

static void
note_cluster(void *arg, uint64_t sysid)
{
	struct found *found = arg;
	size_t left = sizeof(found->text) - found->used;
	int len;

	if (found->count++ == 0)
		found->first = sysid;
	len = snprintf(found->text + found->used, left, "%s%" PRIu64,
				   found->used > 0 ? ", " : "", sysid);
	if (len > 0 && (size_t) len < left)
		found->used += (size_t) len;
	else
		found->text[found->used] = '\0';
}

enum status
repo_resolve_cluster(struct repo *repo, struct err *err)
{
	struct found found = {.count = 0};
	enum status rc;

	if (repo->system_identifier == 0)
		repo->system_identifier = repo->cfg->cluster;
	if (repo->system_identifier != 0)
		return ST_OK;
	rc = repo_list_clusters(repo, note_cluster, &found, err);
	if (rc != ST_OK)
		return rc;
	if (found.count == 0)
		return err_set(err, ST_MISSING, "no cluster in repository \"%s\"",
					   repo->cfg->repository);
	if (found.count > 1)
	{
		err_set(err, ST_CONFIG, "repository \"%s\" holds %u clusters",
				repo->cfg->repository, found.count);
		err_detail(err, "Their system identifiers are %s.", found.text);
		return err_hint(err, "Name one with --cluster.");
	}
	repo->system_identifier = found.first;
	return ST_OK;
}

/* The first that is there is enough. */
static enum status
stop_at_first(void *arg, const struct store_entry *entry, struct err *err)
{
	bool *found = arg;

	(void) entry;
	*found = true;
	return err_set(err, ST_EXISTS, "seen enough");
}

enum status
repo_holds_cluster(struct repo *repo, bool *out, struct err *err)
{
	char prefix[STORE_KEY_MAX];
	bool found = false;
	enum status rc;

	repo_key(prefix, repo->system_identifier, "");
	rc = store_list(repo->store, prefix, NULL, true, stop_at_first, &found,
					err);
	if (rc != ST_OK && !found)
		return rc;
	*out = found;
	return ST_OK;
}

enum status
repo_require_cluster(struct repo *repo, struct err *err)
{
	bool held = false;
	enum status rc = repo_resolve_cluster(repo, err);

	if (rc == ST_OK)
		rc = repo_holds_cluster(repo, &held, err);
	if (rc != ST_OK || held)
		return rc;
	return err_set(err, ST_MISSING,
				   "repository \"%s\" holds nothing of cluster %" PRIu64,
				   repo->cfg->repository, repo->system_identifier);
}

void
repo_wal_name(char *name, const struct wal_name *wal)
{
	snprintf(name, OBJECT_NAME_MAX + 1, "wal/%08" PRIX32 "/%s", wal->timeline,
			 wal->text);
}

void
repo_backup_name(char *name, const char *backup_id, const char *part)
{
	snprintf(name, OBJECT_NAME_MAX + 1, "backup/%s/%s", backup_id, part);
}

void
repo_pack_name(char *name, const char *backup_id, uint32_t n)
{
	snprintf(name, OBJECT_NAME_MAX + 1, "backup/%s/pack/%08" PRIx32, backup_id,
			 n);
}

void
repo_digest_name(char *name, const char *backup_id, uint32_t n)
{
	snprintf(name, OBJECT_NAME_MAX + 1, "backup/%s/digest/%08" PRIx32,
			 backup_id, n);
}

bool
repo_parse_number(const char *text, uint32_t *n)
{
	if (strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8)
		return false;
	*n = (uint32_t) strtoul(text, NULL, 16);
	return true;
}

void
repo_report_name(char *name, int64_t time_s, const char *kind)
{
	time_t time = (time_t) time_s;
	char text[sizeof("YYYYMMDDTHHMMSSZ") + 8];
	struct tm utc;

	if (gmtime_r(&time, &utc) == NULL ||
		strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &utc) == 0)
		text[0] = '\0';
	snprintf(name, OBJECT_NAME_MAX + 1, "report/%s-%s", text, kind);
}

void
repo_key(char *key, uint64_t system_identifier, const char *name)
{
	snprintf(key, STORE_KEY_MAX, "%" PRIu64 "/%s", system_identifier, name);
}

enum status
repo_put_bytes(struct repo *repo, enum object_kind kind, const char *name,
			   const void *plain, size_t len, struct err *err)
{
	struct object_id id = {.kind = kind,
						   .system_identifier = repo->system_identifier,
						   .name = name};
	struct object_buffer buf;
	char key[STORE_KEY_MAX];
	enum status rc;

	rc = object_seal_bytes(&id, plain, len, repo->ring, &buf, err);
	if (rc != ST_OK)
		return rc;
	repo_key(key, repo->system_identifier, name);
	rc = store_put(repo->store, key, buf.data, buf.len, err);
	object_buffer_free(&buf);
	return rc;
}

enum status
repo_get(struct repo *repo, enum object_kind kind, const char *name,
		 store_sink sink, void *arg, struct err *err)
{
	struct object_id id = {.kind = kind,
						   .system_identifier = repo->system_identifier,
						   .name = name};
	struct object_reader *reader;
	char key[STORE_KEY_MAX];
	enum status rc;

	rc = object_reader_new(&id, repo->ring, sink, arg, &reader, err);
	if (rc != ST_OK)
		return rc;
	repo_key(key, repo->system_identifier, name);
	rc = store_get(repo->store, key, 0, 0, object_reader_feed, reader, err);
	if (rc == ST_OK)
		rc = object_reader_end(reader, err);
	object_reader_free(reader);
	return rc;
}

struct content
{
	const char *name;
	char *data;
	size_t len;
	size_t room;
	size_t max;
};

/* Keeps room for one byte more than there is: the zero behind it. */
static enum status
append_content(void *arg, const void *data, size_t len, struct err *err)
{
	struct content *c = arg;

	if (len > c->max - c->len)
		return err_set(err, ST_CORRUPT,
					   "object \"%s\" holds more than %zu bytes", c->name,
					   c->max);
	if (len >= c->room - c->len)
	{
		size_t needed = c->len + len + 1;
		size_t room = needed < c->room * 2 ? c->room * 2 : needed;
		char *grown = realloc(c->data, room);

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		c->data = grown;
		c->room = room;
	}
	memcpy(c->data + c->len, data, len);
	c->len += len;
	return ST_OK;
}

enum status
repo_get_bytes(struct repo *repo, enum object_kind kind, const char *name,
			   size_t max, char **out, size_t *out_len, struct err *err)
{
	struct content c = {.name = name, .max = max, .room = 256};
	enum status rc;

	c.data = malloc(c.room);
	if (c.data == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	rc = repo_get(repo, kind, name, append_content, &c, err);
	if (rc != ST_OK)
	{
		free(c.data);
		return rc;
	}
	c.data[c.len] = '\0';
	*out = c.data;
	*out_len = c.len;
	return ST_OK;
}
