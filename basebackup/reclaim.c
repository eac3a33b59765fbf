/*
 * reclaim.c - which packs are to retire, so that restores stay cheap
 */
#include "basebackup/reclaim.h"

#include <stdlib.h>
#include <string.h>

#include "basebackup/pack_pool.h"

uint64_t
reclaim_cost(const struct reclaim_pack *packs, size_t count)
{
	uint64_t cost = 0;

	for (size_t i = 0; i < count; i++)
		if (packs[i].fetched > 0)
			cost += packs[i].fetched + RECLAIM_REQUEST;
	return cost;
}

uint64_t
reclaim_ideal(uint64_t live, uint64_t content)
{
	uint64_t packs = (content + PACK_DATA_MAX - 1) / PACK_DATA_MAX;

	return live + packs * RECLAIM_REQUEST;
}

struct sorting
{
	const struct reclaim_pack *packs;
};

/* Is a's share in use lower than b's? */
static int
compare_shares(const void *a, const void *b, void *arg)
{
	const struct reclaim_pack *packs = ((const struct sorting *) arg)->packs;
	const struct reclaim_pack *x = &packs[*(const size_t *) a];
	const struct reclaim_pack *y = &packs[*(const size_t *) b];
	/* Below 2^25 each, so the products are exact. */
	uint64_t left = x->live * (y->fetched + RECLAIM_REQUEST);
	uint64_t right = y->live * (x->fetched + RECLAIM_REQUEST);

	if (left != right)
		return left < right ? -1 : 1;
	return *(const size_t *) a < *(const size_t *) b ? -1 : 1;
}

uint64_t
reclaim_choose(const struct reclaim_pack *packs, size_t count, size_t *order,
			   bool *retired)
{
	uint64_t cost = 0, live = 0, content = 0, limit;
	uint64_t moved = 0, moved_content = 0;
	struct sorting by = {packs};
	size_t norder = 0;

	for (size_t i = 0; i < count; i++)
	{
		live += packs[i].live;
		content += packs[i].content;
		if (retired[i])
		{
			moved += packs[i].live;
			moved_content += packs[i].content;
		}
		else if (packs[i].fetched > 0)
		{
			cost += packs[i].fetched + RECLAIM_REQUEST;
			order[norder++] = i;
		}
	}
	limit = reclaim_ideal(live, content) / 100 * RECLAIM_PERCENT;
	if (norder > 0)
		qsort_r(order, norder, sizeof(*order), compare_shares, &by);
	for (size_t i = 0;
		 i < norder && cost + reclaim_ideal(moved, moved_content) > limit; i++)
	{
		const struct reclaim_pack *p = &packs[order[i]];

		retired[order[i]] = true;
		cost -= p->fetched + RECLAIM_REQUEST;
		moved += p->live;
		moved_content += p->content;
	}
	return moved;
}

/* Bytes of data in a frame, counted from 0. */
static uint64_t
frame_len(const struct stored_object *pack, uint32_t frame_size, size_t frame)
{
	uint64_t before = (uint64_t) frame * frame_size;

	if (frame + 2 < pack->nframes || pack->data_len <= before)
		return frame_size;
	return pack->data_len - before;
}

struct reclaim_pack
reclaim_measure(const struct stored_object *pack, uint32_t frame_size)
{
	struct reclaim_pack out = {0};

	for (size_t i = 0; i + 1 < pack->nframes; i++)
	{
		uint64_t stored = pack->frames[i + 1];
		uint64_t len = frame_len(pack, frame_size, i);
		uint64_t live =
			pack->has_live && pack->live[i] < len ? pack->live[i] : len;

		if (live == 0)
			continue;
		out.fetched += stored;
		out.live += stored * live / len;
		out.content += live;
	}
	return out;
}

/* Which backups of the list are too old to be referred to? */
static bool
too_old(const char *id, int64_t max_age_s, int64_t now_s)
{
	struct backup_id parsed;

	return max_age_s > 0 && backup_id_parse(id, &parsed) &&
		   now_s - parsed.time_s > max_age_s;
}

static enum status
measure_all(const struct packlist *list, struct reclaim_pack *packs,
			bool *retired, int64_t max_age_s, int64_t now_s, struct err *err)
{
	struct stored_object *o = malloc(sizeof(*o));
	enum status st = ST_OK;

	if (o == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	for (uint32_t i = 0; st == ST_OK && i < packlist_count(list); i++)
	{
		struct packlist_shape shape;

		st = packlist_get(list, i, o, err);
		if (st != ST_OK)
			break;
		packlist_shape(list, i, &shape);
		packs[i] = reclaim_measure(o, shape.frame_size);
		retired[i] = too_old(o->backup, max_age_s, now_s);
	}
	free(o);
	return st;
}

enum status
reclaim_base(const struct base *base, int64_t max_age_s, int64_t now_s,
			 struct reclaim_result *out, struct err *err)
{
	const struct packlist *list = base_packs(base);
	uint32_t count = packlist_count(list);
	struct reclaim_pack *packs = calloc((size_t) count + 1, sizeof(*packs));
	size_t *order = calloc((size_t) count + 1, sizeof(*order));
	bool *retired = calloc((size_t) count + 1, sizeof(*retired));
	enum status st;

	if (packs == NULL || order == NULL || retired == NULL)
	{
		free(packs);
		free(order);
		free(retired);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	st = measure_all(list, packs, retired, max_age_s, now_s, err);
	if (st == ST_OK)
	{
		*out = (struct reclaim_result){.retired = retired, .npacks = count};
		out->live_bytes = reclaim_choose(packs, count, order, retired);
		for (uint32_t i = 0; i < count; i++)
			out->nretired += retired[i] ? 1 : 0;
		retired = NULL;
	}
	free(packs);
	free(order);
	free(retired);
	return st;
}
