/*
 * begin.c - a backup's first steps: its base, its name, its start
 */
#include "basebackup/begin.h"

#include <inttypes.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "basebackup/json.h"
#include "basebackup/publish.h"
#include "common/cli.h"
#include "common/log.h"
#include "walship_build.h"

#define START_TRIES 5
#define BASE_TRIES  5

/* Backups that there are, newest first. */
struct candidates
{
	size_t prefix_len;
	size_t count, room;
	char (*ids)[BACKUP_ID_MAX];
};

static enum status
add_candidate(void *arg, const struct store_entry *entry, struct err *err)
{
	struct candidates *c = arg;
	char id[BACKUP_ID_MAX];

	if (!entry->is_prefix ||
		strlen(entry->key + c->prefix_len) != BACKUP_ID_MAX)
		return ST_OK;
	(void) snprintf(id, sizeof(id), "%.*s", BACKUP_ID_MAX - 1,
					entry->key + c->prefix_len);
	if (!backup_id_parse(id, NULL))
		return ST_OK;
	if (c->count == c->room)
	{
		size_t room = c->room == 0 ? 64 : 2 * c->room;
		char(*grown)[BACKUP_ID_MAX] =
			reallocarray(c->ids, room, sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		c->ids = grown;
		c->room = room;
	}
	memcpy(c->ids[c->count++], id, sizeof(id));
	return ST_OK;
}

/*
 * By the time in the name, not by LSN: after a recovery to an earlier point
 * the server's present is what was backed up last.
 */
static int
newest_first(const void *a, const void *b)
{
	int order = strcmp((const char *) b + 26, (const char *) a + 26);

	return order != 0 ? order : strcmp(b, a);
}

static enum status
list_candidates(struct repo *repo, struct candidates *out, struct err *err)
{
	char prefix[STORE_KEY_MAX];
	enum status st;

	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/backup/",
					repo->system_identifier);
	out->prefix_len = strlen(prefix);
	st = store_list(repo->store, prefix, NULL, true, add_candidate, out, err);
	if (st == ST_OK && out->count > 0)
		qsort(out->ids, out->count, sizeof(*out->ids), newest_first);
	return st;
}

/* What lies directly below a backup. */
struct marks
{
	size_t prefix_len;
	bool manifest;
	bool expired;
};

static enum status
see_mark(void *arg, const struct store_entry *entry, struct err *err)
{
	struct marks *m = arg;
	const char *name = entry->key + m->prefix_len;

	(void) err;
	if (strcmp(name, "manifest") == 0)
		m->manifest = true;
	else if (strcmp(name, "expired") == 0)
		m->expired = true;
	return ST_OK;
}

static enum status
list_marks(struct repo *repo, const char *id, struct marks *out,
		   struct err *err)
{
	char prefix[STORE_KEY_MAX];

	*out = (struct marks){0};
	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/backup/%s/",
					repo->system_identifier, id);
	out->prefix_len = strlen(prefix);
	return store_list(repo->store, prefix, NULL, true, see_mark, out, err);
}

/* Does trouble with one backup say nothing of others, or of the store? */
static bool
may_do_without(enum status st)
{
	return st == ST_CORRUPT || st == ST_AUTH || st == ST_CONFIG ||
		   st == ST_MISSING;
}

/* Reads the newest backup that can be a base; none is no error. */
static enum status
load_newest(struct repo *repo, const char *excluded, struct base **out,
			struct err *err)
{
	struct candidates c = {0};
	int tries = 0;
	enum status st = list_candidates(repo, &c, err);

	for (size_t i = 0; st == ST_OK && i < c.count && *out == NULL; i++)
	{
		struct marks marks;
		struct err why;

		if (strcmp(c.ids[i], excluded) == 0)
			continue;
		st = list_marks(repo, c.ids[i], &marks, err);
		if (st != ST_OK || !marks.manifest || marks.expired)
			continue;
		st = base_load(repo, c.ids[i], out, &why);
		if (may_do_without(st) && ++tries < BASE_TRIES)
		{
			(void) err_context(&why, "cannot build on backup %s", c.ids[i]);
			log_err_warning(&why);
			st = ST_OK;
		}
		else if (st != ST_OK)
			*err = why;
	}
	free(c.ids);
	return st;
}

static void
drop_base(struct begun *b, const char *why)
{
	base_free(b->base);
	b->base = NULL;
	b->why_full = why;
}

static bool
chain_is_old(const struct begin_request *r, const struct backup_summary *base)
{
	struct backup_id full;

	return r->repo->cfg->full_every_ms > 0 &&
		   backup_id_parse(base->full, &full) &&
		   ((int64_t) time(NULL) - full.time_s) * 1000 >=
			   r->repo->cfg->full_every_ms;
}

/* Step 1: which base? */
static enum status
choose(const struct begin_request *r, const char *excluded, struct begun *b,
	   struct err *err)
{
	const struct backup_summary *s;
	enum status st;

	b->base = NULL;
	b->why_full = "--full was given";
	page_key_new(b->digest_key);
	if (r->full)
		return ST_OK;
	b->why_full = "there is no backup to build on";
	st = load_newest(r->repo, excluded, &b->base, err);
	if (st != ST_OK || b->base == NULL)
		return st;
	s = base_summary(b->base);
	if (s->page_size != r->facts->page_size)
		drop_base(b, "the server has pages of another size");
	else if (chain_is_old(r, s))
		drop_base(b, "full_every has passed since the last full backup");
	else
	{
		b->why_full = NULL;
		memcpy(b->digest_key, s->digest_key, sizeof(b->digest_key));
		memcpy(b->full, s->full, sizeof(b->full));
	}
	return ST_OK;
}

static void
make_id(const struct begin_request *r, char *id)
{
	time_t now = time(NULL);
	struct tm tm;
	char when[17]; /* "20261121T010203Z" */

	(void) gmtime_r(&now, &tm);
	(void) strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	(void) snprintf(id, BACKUP_ID_MAX, "%016" PRIX64 "-%08" PRIX32 "-%s",
					r->facts->lsn, r->facts->timeline, when);
}

static enum status
put_start_once(const struct begin_request *r, struct begun *b,
			   struct json *json, struct err *err)
{
	const struct passwd *pw = getpwuid(geteuid());
	char key[2 * PAGE_KEY_BYTES + 1];
	char name[OBJECT_NAME_MAX + 1];
	char text[32];
	const char *line;
	size_t len;
	enum status st;

	json_begin(json);
	json_int(json, "format", 1);
	json_text(json, "id", b->id);
	json_array(json, "bases");
	if (b->base != NULL)
		json_string(json, base_summary(b->base)->id);
	json_array_end(json);
	json_text(json, "digest_key",
			  hex_format(b->digest_key, PAGE_KEY_BYTES, key));
	sodium_memzero(key, sizeof(key));
	json_text(json, "time", time_format((int64_t) time(NULL), text));
	json_text(json, "host", r->host);
	(void) snprintf(text, sizeof(text), "%lu", (unsigned long) geteuid());
	json_text(json, "user", pw != NULL ? pw->pw_name : text);
	json_int(json, "pid", (int64_t) getpid());
	json_text(json, "walship_version", WALSHIP_VERSION);
	st = json_done(json, &line, &len, err);
	if (st != ST_OK)
		return st;
	repo_backup_name(name, b->id, "start");
	b->start_put_ms = publish_clock_ms();
	return repo_put_bytes(r->repo, OBJECT_START, name, line, len, err);
}

/*
 * An id that is taken (by another backup of the same second, or by our own
 * lost answer) is left alone: dead, like any start without packs.
 */
static enum status
put_start(const struct begin_request *r, struct begun *b, struct err *err)
{
	struct deadline d = deadline_in(-1, cli_cancel());
	struct json *json = NULL;
	enum status st = json_new(&json, err);

	for (int i = 0; st == ST_OK; i++)
	{
		make_id(r, b->id);
		st = put_start_once(r, b, json, err);
		if (st != ST_EXISTS || i + 1 == START_TRIES)
			break;
		st = deadline_sleep(&d, 1000, err);
	}
	json_free(json);
	return st;
}

/* Our start is void: nobody need protect what it names. */
static enum status
put_expired(const struct begin_request *r, const char *id, struct err *err)
{
	char name[OBJECT_NAME_MAX + 1];
	struct json *json = NULL;
	const char *line;
	char text[32];
	size_t len;
	enum status st = json_new(&json, err);

	if (st != ST_OK)
		return st;
	json_begin(json);
	json_text(json, "time", time_format((int64_t) time(NULL), text));
	json_text(json, "host", r->host);
	st = json_done(json, &line, &len, err);
	repo_backup_name(name, id, "expired");
	if (st == ST_OK)
		st = repo_put_bytes(r->repo, OBJECT_MARK, name, line, len, err);
	json_free(json);
	return st == ST_EXISTS ? ST_OK : st;
}

enum status
backup_begin(const struct begin_request *r, struct begun *out, struct err *err)
{
	char excluded[BACKUP_ID_MAX] = "";

	for (int i = 0; i < START_TRIES; i++)
	{
		struct marks marks = {0};
		enum status st = choose(r, excluded, out, err);

		if (st == ST_OK)
			st = put_start(r, out, err);
		if (st == ST_OK && out->base == NULL)
			memcpy(out->full, out->id, sizeof(out->full));
		if (st != ST_OK || out->base == NULL)
			return st;
		/* Step 2. */
		st = list_marks(r->repo, base_summary(out->base)->id, &marks, err);
		if (st != ST_OK || (marks.manifest && !marks.expired))
			return st;
		log_info("backup %s expired meanwhile; beginning again",
				 base_summary(out->base)->id);
		memcpy(excluded, base_summary(out->base)->id, sizeof(excluded));
		begun_free(out);
		st = put_expired(r, out->id, err);
		if (st != ST_OK)
			return st;
	}
	return err_set(err, ST_RETRY, "every backup to build on expired at once");
}

void
begun_free(struct begun *begun)
{
	base_free(begun->base);
	begun->base = NULL;
}
