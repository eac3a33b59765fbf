/*
 * expect.c - the packs and digest objects that manifests refer to
 */
#include "basebackup/expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/manifest_stored.h"

struct table
{
	struct expected *objects; /* by number */
	size_t len;
};

struct owner
{
	char id[BACKUP_ID_MAX];
	struct table packs;
	struct table digests;
};

struct expect
{
	struct owner *owners; /* by id */
	size_t nowners;
	size_t room;
};

enum status
expect_new(struct expect **out, struct err *err)
{
	*out = calloc(1, sizeof(**out));
	return *out != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory");
}

void
expect_free(struct expect *expect)
{
	if (expect == NULL)
		return;
	for (size_t i = 0; i < expect->nowners; i++)
	{
		free(expect->owners[i].packs.objects);
		free(expect->owners[i].digests.objects);
	}
	free(expect->owners);
	free(expect);
}

/* Where the id is, or would be. */
static size_t
position(const struct expect *expect, const char *id)
{
	size_t low = 0;
	size_t high = expect->nowners;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (strcmp(expect->owners[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct owner *
find_owner(const struct expect *expect, const char *id)
{
	size_t at = position(expect, id);

	return at < expect->nowners && strcmp(expect->owners[at].id, id) == 0
			   ? &expect->owners[at]
			   : NULL;
}

static enum status
make_owner(struct expect *expect, const char *id, struct owner **out,
		   struct err *err)
{
	size_t at = position(expect, id);

	*out = find_owner(expect, id);
	if (*out != NULL)
		return ST_OK;
	if (expect->nowners == expect->room)
	{
		size_t room = expect->room == 0 ? 16 : expect->room * 2;
		struct owner *grown =
			reallocarray(expect->owners, room, sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		expect->owners = grown;
		expect->room = room;
	}
	memmove(expect->owners + at + 1, expect->owners + at,
			(expect->nowners - at) * sizeof(*expect->owners));
	expect->nowners++;
	*out = &expect->owners[at];
	**out = (struct owner){.packs = {NULL, 0}};
	(void) snprintf((*out)->id, sizeof((*out)->id), "%s", id);
	return ST_OK;
}

static enum status
make_object(struct table *table, uint32_t n, struct expected **out,
			struct err *err)
{
	if (n >= table->len)
	{
		size_t len = n < 32 ? 64 : (size_t) n * 2;
		struct expected *grown =
			reallocarray(table->objects, len, sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		memset(grown + table->len, 0, (len - table->len) * sizeof(*grown));
		table->objects = grown;
		table->len = len;
	}
	*out = &table->objects[n];
	return ST_OK;
}

static enum status
take(struct expect *expect, const struct manifest_pack *pack,
	 enum object_kind kind, struct err *err)
{
	struct owner *owner;
	struct expected *object = NULL;
	uint64_t size = pack->header_len;
	const uint8_t *sum;
	enum status status = make_owner(expect, pack->backup, &owner, err);

	if (status == ST_OK)
		status =
			make_object(kind == OBJECT_PACK ? &owner->packs : &owner->digests,
						pack->n, &object, err);
	if (status != ST_OK || object == NULL)
		return status;
	if (pack->header_len < EXPECT_SUM_BYTES)
		return err_set(err, ST_CORRUPT, "the header of a pack is too short");
	sum = pack->header + pack->header_len - EXPECT_SUM_BYTES;
	for (size_t i = 0; i < pack->nframes; i++)
		size += (uint64_t) pack->frames[i];
	if (object->users++ == 0)
	{
		object->size_bytes = size;
		memcpy(object->sum, sum, EXPECT_SUM_BYTES);
	}
	else if (object->size_bytes != size ||
			 memcmp(object->sum, sum, EXPECT_SUM_BYTES) != 0)
		return err_set(err, ST_CORRUPT,
					   "it says of %s %u of backup %s something else than an "
					   "older manifest",
					   kind == OBJECT_PACK ? "pack" : "digest", pack->n,
					   pack->backup);
	return ST_OK;
}

static enum status
take_pack(void *arg, const struct manifest_pack *pack, struct err *err)
{
	return take(arg, pack, OBJECT_PACK, err);
}

static enum status
take_digest(void *arg, const struct manifest_pack *digest, struct err *err)
{
	return take(arg, digest, OBJECT_DIGEST, err);
}

enum status
expect_add_manifest(struct expect *expect, struct repo *repo,
					const char *backup_id, struct err *err)
{
	static const struct manifest_handler handler = {.pack = take_pack,
													.digest = take_digest};

	return manifest_read_stored(repo, backup_id, &handler, expect, err);
}

struct expected *
expect_find(const struct expect *expect, const char *backup_id,
			enum object_kind kind, uint32_t n)
{
	struct owner *owner = find_owner(expect, backup_id);
	struct table *table;

	if (owner == NULL)
		return NULL;
	table = kind == OBJECT_PACK ? &owner->packs : &owner->digests;
	return n < table->len && table->objects[n].users > 0 ? &table->objects[n]
														 : NULL;
}

bool
expect_parse_name(const char *name, char *id, enum object_kind *kind,
				  uint32_t *n)
{
	const char *at = name + strlen("backup/");
	const char *slash;
	char *end;

	if (strncmp(name, "backup/", strlen("backup/")) != 0)
		return false;
	slash = strchr(at, '/');
	if (slash == NULL || slash - at != BACKUP_ID_MAX - 1)
		return false;
	(void) snprintf(id, BACKUP_ID_MAX, "%s", at);
	if (strncmp(slash, "/pack/", 6) == 0)
		*kind = OBJECT_PACK;
	else if (strncmp(slash, "/digest/", 8) == 0)
		*kind = OBJECT_DIGEST;
	else
		return false;
	at = strrchr(slash, '/') + 1;
	*n = (uint32_t) strtoul(at, &end, 16);
	return strlen(at) == 8 && *end == '\0';
}

static enum status
visit_table(const struct owner *owner, enum object_kind kind,
			expect_visit visit, void *arg, struct err *err)
{
	const struct table *table =
		kind == OBJECT_PACK ? &owner->packs : &owner->digests;
	enum status status = ST_OK;

	for (size_t n = 0; n < table->len && status == ST_OK; n++)
		if (table->objects[n].users > 0 && !table->objects[n].seen)
			status = visit(arg, owner->id, kind, (uint32_t) n,
						   &table->objects[n], err);
	return status;
}

enum status
expect_each_unseen(const struct expect *expect, expect_visit visit, void *arg,
				   struct err *err)
{
	enum status status = ST_OK;

	for (size_t i = 0; i < expect->nowners && status == ST_OK; i++)
	{
		status = visit_table(&expect->owners[i], OBJECT_PACK, visit, arg, err);
		if (status == ST_OK)
			status = visit_table(&expect->owners[i], OBJECT_DIGEST, visit, arg,
								 err);
	}
	return status;
}
