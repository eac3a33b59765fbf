/*
 * path_set.c - which paths a plan has
 */
#include "basebackup/path_set.h"

#include <stdlib.h>

#include "basebackup/path_hash.h"

struct path_set
{
	size_t count;
	uint64_t hashes[];
};

static uint64_t
hash_of(uint32_t area, enum plan_type type, const char *path)
{
	return path_hash(PATH_HASH_SEED + 2 * (uint64_t) area + (uint64_t) type,
					 path);
}

static int
compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

enum status
path_set_new(const struct plan *plan, struct path_set **out, struct err *err)
{
	struct path_set *set =
		malloc(sizeof(*set) + plan->nentries * sizeof(set->hashes[0]));
	struct plan_entry entry;

	if (set == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	set->count = plan->nentries;
	for (uint32_t i = 0; i < plan->nentries; i++)
	{
		enum status st = plan_get_entry(plan, i, &entry, err);

		if (st != ST_OK)
		{
			free(set);
			return st;
		}
		set->hashes[i] = hash_of(entry.area, entry.type, entry.path);
	}
	qsort(set->hashes, set->count, sizeof(set->hashes[0]), compare);
	*out = set;
	return ST_OK;
}

void
path_set_free(struct path_set *set)
{
	free(set);
}

bool
path_set_has(const struct path_set *set, uint32_t area, enum plan_type type,
			 const char *path)
{
	uint64_t hash = hash_of(area, type, path);

	return bsearch(&hash, set->hashes, set->count, sizeof(hash), compare) !=
		   NULL;
}
