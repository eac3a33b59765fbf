/*
 * reach.c - what of expired backups other backups still need
 */
#include "basebackup/reach.h"

#include <stdlib.h>
#include <string.h>

#include "basebackup/manifest_stored.h"

struct bits
{
	uint8_t *bytes;
	size_t len;
};

struct needed
{
	bool all;
	struct bits packs;
	struct bits digests;
};

struct reach
{
	const char *const *expired;
	size_t nexpired;
	struct needed *needed; /* one for each */
};

enum status
reach_new(const char *const *expired, size_t nexpired, struct reach **out,
		  struct err *err)
{
	struct reach *reach = calloc(1, sizeof(*reach));

	if (reach != NULL)
		reach->needed = calloc(nexpired + 1, sizeof(*reach->needed));
	if (reach == NULL || reach->needed == NULL)
	{
		free(reach);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	reach->expired = expired;
	reach->nexpired = nexpired;
	*out = reach;
	return ST_OK;
}

void
reach_free(struct reach *reach)
{
	if (reach == NULL)
		return;
	for (size_t i = 0; i < reach->nexpired; i++)
	{
		free(reach->needed[i].packs.bytes);
		free(reach->needed[i].digests.bytes);
	}
	free(reach->needed);
	free(reach);
}

static int
compare_id(const void *key, const void *element)
{
	return strcmp(key, *(const char *const *) element);
}

/* NULL if that backup is not expired. */
static struct needed *
find(const struct reach *reach, const char *backup_id)
{
	const char *const *found;

	if (reach->nexpired == 0)
		return NULL;
	found = bsearch(backup_id, reach->expired, reach->nexpired,
					sizeof(*reach->expired), compare_id);
	return found != NULL ? &reach->needed[found - reach->expired] : NULL;
}

static enum status
set_bit(struct bits *bits, uint32_t n, struct err *err)
{
	size_t at = n / 8;

	if (at >= bits->len)
	{
		size_t len = at < 64 ? 128 : at * 2;
		uint8_t *grown = realloc(bits->bytes, len);

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		memset(grown + bits->len, 0, len - bits->len);
		bits->bytes = grown;
		bits->len = len;
	}
	bits->bytes[at] |= (uint8_t) (1U << (n % 8));
	return ST_OK;
}

static bool
has_bit(const struct bits *bits, uint32_t n)
{
	return n / 8 < bits->len && (bits->bytes[n / 8] & (1U << (n % 8))) != 0;
}

static enum status
take_pack(void *arg, const struct manifest_pack *pack, struct err *err)
{
	struct needed *needed = find(arg, pack->backup);

	return needed != NULL ? set_bit(&needed->packs, pack->n, err) : ST_OK;
}

static enum status
take_digest(void *arg, const struct manifest_pack *digest, struct err *err)
{
	struct needed *needed = find(arg, digest->backup);

	return needed != NULL ? set_bit(&needed->digests, digest->n, err) : ST_OK;
}

enum status
reach_add_manifest(struct reach *reach, struct repo *repo,
				   const char *backup_id, struct err *err)
{
	static const struct manifest_handler handler = {.pack = take_pack,
													.digest = take_digest};

	return manifest_read_stored(repo, backup_id, &handler, reach, err);
}

void
reach_add_owner(struct reach *reach, const char *backup_id)
{
	struct needed *needed = find(reach, backup_id);

	if (needed != NULL)
		needed->all = true;
}

bool
reach_needs(const struct reach *reach, const char *backup_id,
			enum object_kind kind, uint32_t n)
{
	const struct needed *needed = find(reach, backup_id);

	if (needed == NULL)
		return true;
	return needed->all ||
		   has_bit(kind == OBJECT_PACK ? &needed->packs : &needed->digests, n);
}
