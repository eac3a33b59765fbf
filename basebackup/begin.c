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
#include "basebackup/start_read.h"
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
		!backup_id_of_prefix(entry->key + c->prefix_len, id))
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
	bool start;
	bool manifest;
	bool expired;
};

static enum status
see_mark(void *arg, const struct store_entry *entry, struct err *err)
{
	struct marks *m = arg;
	const char *name = entry->key + m->prefix_len;

	(void) err;
	if (strcmp(name, "start") == 0)
		m->start = true;
	else if (strcmp(name, "manifest") == 0)
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

/* Of one that can be done without, only a warning is left. */
static enum status
load(struct repo *repo, const char *id, int *tries, struct base **out,
	 struct err *err)
{
	enum status st = base_load(repo, id, out, err);

	if (!may_do_without(st) || ++*tries >= BASE_TRIES)
		return st;
	(void) err_context(err, "cannot build on backup %s", id);
	log_err_warning(err);
	return ST_OK;
}

/* One that was begun: are its packs of use, as far as its name tells? */
static void
note_dead(const struct begin_request *r, const char *id, struct begun *b)
{
	struct backup_id parsed;
	int64_t max_age_ms = r->repo->cfg->pack_max_age_ms;

	if (b->ndead == BEGIN_DEAD_MAX || !backup_id_parse(id, &parsed) ||
		(max_age_ms > 0 &&
		 ((int64_t) time(NULL) - parsed.time_s) * 1000 >= max_age_ms))
		return;
	memcpy(b->dead[b->ndead++], id, BACKUP_ID_MAX);
}

/*
 * Reads the newest backup that can be a base, and notes those begun since;
 * none is no error.  What an older one that died has stored may be in use by
 * that base, and a full backup is to share nothing.
 */
static enum status
load_newest(const struct begin_request *r, struct begun *b, struct err *err)
{
	struct candidates c = {0};
	bool full = r->full;
	int tries = 0;
	enum status st = list_candidates(r->repo, &c, err);

	for (size_t i = 0; st == ST_OK && i < c.count && b->base == NULL; i++)
	{
		struct marks marks;

		st = list_marks(r->repo, c.ids[i], &marks, err);
		if (st != ST_OK || marks.expired)
			continue;
		if (!marks.manifest && marks.start)
			note_dead(r, c.ids[i], b);
		else if (marks.manifest && full)
			break;
		else if (marks.manifest)
			st = load(r->repo, c.ids[i], &tries, &b->base, err);
	}
	free(c.ids);
	return st;
}

/* Those of another key cannot be used; without base, the newest tells it. */
static enum status
keep_same_key(const struct begin_request *r, struct begun *b, struct err *err)
{
	bool known = b->base != NULL;
	size_t kept = 0;

	for (size_t i = 0; i < b->ndead; i++)
	{
		struct backup_start start;
		enum status st = start_read(r->repo, b->dead[i], &start, err);

		if (may_do_without(st))
			continue;
		if (st != ST_OK)
			return st;
		if (!known && start.has_digest_key)
			memcpy(b->digest_key, start.digest_key, sizeof(b->digest_key));
		known = known || start.has_digest_key;
		if (start.has_digest_key && memcmp(start.digest_key, b->digest_key,
										   sizeof(b->digest_key)) == 0)
			memmove(b->dead[kept++], b->dead[i], BACKUP_ID_MAX);
		sodium_memzero(start.digest_key, sizeof(start.digest_key));
		backup_start_free(&start);
	}
	b->ndead = kept;
	for (size_t i = 0; i < kept / 2; i++)
	{
		char id[BACKUP_ID_MAX];

		memcpy(id, b->dead[i], sizeof(id));
		memcpy(b->dead[i], b->dead[kept - 1 - i], sizeof(id));
		memcpy(b->dead[kept - 1 - i], id, sizeof(id));
	}
	return ST_OK;
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

/* Can it be built on by this backup? */
static void
judge_base(const struct begin_request *r, struct begun *b)
{
	const struct backup_summary *s = base_summary(b->base);

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
}

/* Step 1: which bases? */
static enum status
choose(const struct begin_request *r, struct begun *b, struct err *err)
{
	enum status st;

	b->base = NULL;
	b->ndead = 0;
	b->why_full =
		r->full ? "--full was given" : "there is no backup to build on";
	page_key_new(b->digest_key);
	st = load_newest(r, b, err);
	if (st == ST_OK && b->base != NULL)
		judge_base(r, b);
	return st == ST_OK ? keep_same_key(r, b, err) : st;
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
	for (size_t i = 0; i < b->ndead; i++)
		json_string(json, b->dead[i]);
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

/* Step 2: the first of the bases that expired meanwhile; NULL: none. */
static enum status
look_at_bases(const struct begin_request *r, const struct begun *b,
			  const char **expired, struct err *err)
{
	struct marks marks;
	enum status st = ST_OK;

	*expired = NULL;
	if (b->base != NULL)
	{
		const char *id = base_summary(b->base)->id;

		st = list_marks(r->repo, id, &marks, err);
		if (st == ST_OK && (!marks.manifest || marks.expired))
			*expired = id;
	}
	for (size_t i = 0; st == ST_OK && *expired == NULL && i < b->ndead; i++)
	{
		st = list_marks(r->repo, b->dead[i], &marks, err);
		if (st == ST_OK && (!marks.start || marks.expired))
			*expired = b->dead[i];
	}
	return st;
}

enum status
backup_begin(const struct begin_request *r, struct begun *out, struct err *err)
{
	for (int i = 0; i < START_TRIES; i++)
	{
		const char *expired = NULL;
		enum status st = choose(r, out, err);

		if (st == ST_OK)
			st = put_start(r, out, err);
		if (st == ST_OK && out->base == NULL)
			memcpy(out->full, out->id, sizeof(out->full));
		if (st == ST_OK)
			st = look_at_bases(r, out, &expired, err);
		if (st != ST_OK || expired == NULL)
			return st;
		log_info("backup %s expired meanwhile; beginning again", expired);
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
