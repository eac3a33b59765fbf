/*
 * The rule by which packs retire, on simulated chains of backups: pages are
 * changed at random, each backup stores what has changed and what retires, and
 * a restore's cost is compared with that of a fresh full backup.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/pack_pool.h"
#include "basebackup/reclaim.h"

#define PAGE        8192
#define FRAME_PAGES (OBJECT_FRAME_SIZE / PAGE)
#define PACK_PAGES  (PACK_DATA_MAX / PAGE)

/* A database whose pages all compress to a half. */
struct world
{
	size_t npages;
	uint32_t *home;   /* of each page: its place in all packs */
	uint32_t *live;   /* by frame of all packs */
	uint32_t *filled; /* pages laid into it */
	bool *retired;    /* by pack */
	size_t npacks;
	size_t room; /* in packs */
	size_t next; /* the place of the next page */
	uint64_t written, rewritten;
};

static void
new_pack(struct world *w)
{
	size_t frames = PACK_PAGES / FRAME_PAGES;

	if (w->npacks == w->room)
	{
		w->room = w->room == 0 ? 64 : 2 * w->room;
		w->live = reallocarray(w->live, w->room, frames * sizeof(*w->live));
		w->filled =
			reallocarray(w->filled, w->room, frames * sizeof(*w->filled));
		w->retired = reallocarray(w->retired, w->room, sizeof(*w->retired));
		if (w->live == NULL || w->filled == NULL || w->retired == NULL)
			abort();
	}
	memset(w->live + w->npacks * frames, 0, frames * sizeof(*w->live));
	memset(w->filled + w->npacks * frames, 0, frames * sizeof(*w->filled));
	w->retired[w->npacks] = false;
	w->next = w->npacks * PACK_PAGES;
	w->npacks++;
}

static void
store(struct world *w, size_t page)
{
	if (w->next == w->npacks * PACK_PAGES)
		new_pack(w);
	w->home[page] = (uint32_t) w->next++;
	w->live[w->home[page] / FRAME_PAGES]++;
	w->filled[w->home[page] / FRAME_PAGES]++;
}

/* As reclaim_measure sees it. */
static struct reclaim_pack
measure(const struct world *w, size_t pack)
{
	struct reclaim_pack out = {0};
	size_t frames = PACK_PAGES / FRAME_PAGES;

	for (size_t i = pack * frames; i < (pack + 1) * frames; i++)
	{
		if (w->live[i] == 0)
			continue;
		out.fetched += (uint64_t) w->filled[i] * PAGE / 2;
		out.live += (uint64_t) w->live[i] * PAGE / 2;
		out.content += (uint64_t) w->live[i] * PAGE;
	}
	return out;
}

static struct reclaim_pack *
measure_all(const struct world *w)
{
	struct reclaim_pack *packs = calloc(w->npacks, sizeof(*packs));

	assert_non_null(packs);
	for (size_t i = 0; i < w->npacks; i++)
		packs[i] = measure(w, i);
	return packs;
}

static void
begin_backup(struct world *w)
{
	struct reclaim_pack *packs = measure_all(w);
	size_t *order = calloc(w->npacks, sizeof(*order));

	assert_non_null(order);
	memset(w->retired, 0, w->npacks * sizeof(*w->retired));
	(void) reclaim_choose(packs, w->npacks, order, w->retired);
	free(packs);
	free(order);
	/* Each backup has packs of its own. */
	new_pack(w);
}

/* One backup in file order: page i has changed with that chance. */
static void
backup(struct world *w, bool (*changed)(size_t page, size_t npages, int turn),
	   int turn)
{
	size_t before = w->npacks;

	begin_backup(w);
	for (size_t i = 0; i < w->npages; i++)
	{
		bool is_new = changed(i, w->npages, turn);
		size_t pack = w->home[i] / PACK_PAGES;

		if (!is_new && !(pack < before && w->retired[pack]))
			continue;
		w->live[w->home[i] / FRAME_PAGES]--;
		store(w, i);
		*(is_new ? &w->written : &w->rewritten) += 1;
	}
}

static void
make_world(struct world *w, size_t npages)
{
	*w = (struct world){.npages = npages,
						.home = calloc(npages, sizeof(*w->home))};
	assert_non_null(w->home);
	for (size_t i = 0; i < npages; i++)
		store(w, i);
}

static void
free_world(struct world *w)
{
	free(w->home);
	free(w->live);
	free(w->filled);
	free(w->retired);
}

/* Percent of what a fresh full backup costs: bytes, and requests. */
static void
cost(const struct world *w, uint64_t *bytes, uint64_t *requests)
{
	struct reclaim_pack *packs = measure_all(w);
	uint64_t fetched = 0, used = 0;

	for (size_t i = 0; i < w->npacks; i++)
	{
		fetched += packs[i].fetched;
		used += packs[i].fetched > 0 ? 1 : 0;
	}
	*bytes = fetched * 100 / ((uint64_t) w->npages * PAGE / 2);
	*requests = used * 100 / ((w->npages + PACK_PAGES - 1) / PACK_PAGES);
	free(packs);
}

static bool
one_percent(size_t page, size_t npages, int turn)
{
	(void) page;
	(void) npages;
	(void) turn;
	return random() % 100 == 0;
}

/* Nine changes of ten go to a tenth of the pages. */
static bool
skewed(size_t page, size_t npages, int turn)
{
	(void) turn;
	return random() % 10000 < (page < npages / 10 ? 900 : 11);
}

/* A queue: another hundredth is written over each time. */
static bool
moving(size_t page, size_t npages, int turn)
{
	return page * 100 / npages == (size_t) turn % 100;
}

static bool
ten_percent(size_t page, size_t npages, int turn)
{
	(void) page;
	(void) npages;
	(void) turn;
	return random() % 10 == 0;
}

static bool
hardly(size_t page, size_t npages, int turn)
{
	(void) turn;
	return (size_t) random() % npages < 10 && page % 2 == 0;
}

struct chain
{
	const char *what;
	size_t npages;
	bool (*changed)(size_t page, size_t npages, int turn);
	uint64_t bytes_max;    /* percent of a full one's, after any backup */
	uint64_t requests_max; /* likewise */
	uint64_t added_max;    /* percent of what changed */
};

static void
run_chain(const struct chain *c)
{
	uint64_t worst_bytes = 0, worst_requests = 0, added;
	struct world w;

	make_world(&w, c->npages);
	for (int turn = 0; turn < 200; turn++)
	{
		uint64_t bytes, requests;

		backup(&w, c->changed, turn);
		cost(&w, &bytes, &requests);
		worst_bytes = bytes > worst_bytes ? bytes : worst_bytes;
		worst_requests = requests > worst_requests ? requests : worst_requests;
	}
	added = w.written == 0 ? 0 : w.rewritten * 100 / w.written;
	print_message("%s: bytes %llu %%, requests %llu %%, stored again %llu %% "
				  "of what changed\n",
				  c->what, (unsigned long long) worst_bytes,
				  (unsigned long long) worst_requests,
				  (unsigned long long) added);
	assert_in_range(worst_bytes, 100, c->bytes_max);
	assert_in_range(worst_requests, 100, c->requests_max);
	assert_in_range(added, 0, c->added_max);
	free_world(&w);
}

static void
test_chains(void **state)
{
	static const struct chain chains[] = {
		{"1 % at random, 4 GB", 524288, one_percent, 150, 200, 100},
		{"1 % at random, 256 MB", 32768, one_percent, 150, 250, 200},
		{"1 % at random, 32 MB", 4096, one_percent, 150, 300, 800},
		{"1 %, most in a tenth, 2 GB", 262144, skewed, 150, 250, 30},
		{"another 1 % each time, 1 GB", 131072, moving, 110, 200, 5},
		{"10 % at random, 1 GB", 131072, ten_percent, 155, 200, 80},
		{"five pages, 1 GB", 131072, hardly, 110, 250, 100},
	};

	(void) state;
	srandom(7);
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++)
		run_chain(&chains[i]);
}

/* Packs that must retire do so whatever they hold, and nothing else need. */
static void
test_forced(void **state)
{
	struct reclaim_pack packs[3] = {{100 << 10, 100 << 10, 200 << 10},
									{8 << 20, 8 << 20, 16 << 20},
									{8 << 20, 8 << 20, 16 << 20}};
	bool retired[3] = {false, true, false};
	size_t order[3];

	(void) state;
	assert_int_equal(reclaim_choose(packs, 3, order, retired), 8 << 20);
	assert_false(retired[0]);
	assert_true(retired[1]);
	assert_false(retired[2]);
}

static void
test_nothing(void **state)
{
	bool retired[1] = {false};
	size_t order[1];

	(void) state;
	assert_int_equal(reclaim_choose(NULL, 0, order, retired), 0);
	assert_int_equal(reclaim_ideal(0, 0), 0);
}

static void
test_measure(void **state)
{
	struct stored_object *o = calloc(1, sizeof(*o));
	struct reclaim_pack p;

	(void) state;
	assert_non_null(o);
	o->nframes = 4;
	o->frames[0] = 7;
	o->frames[1] = 1000;
	o->frames[2] = 2000;
	o->frames[3] = 300;
	o->data_len = 2500;
	p = reclaim_measure(o, 1000);
	assert_int_equal(p.fetched, 3300);
	assert_int_equal(p.live, 3300);
	assert_int_equal(p.content, 2500);
	o->has_live = true;
	o->live[0] = 0;
	o->live[1] = 500;
	o->live[2] = 250;
	p = reclaim_measure(o, 1000);
	assert_int_equal(p.fetched, 2300);
	assert_int_equal(p.live, 1000 + 150);
	assert_int_equal(p.content, 750);
	free(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_forced),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_measure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
