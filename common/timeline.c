/*
 * timeline.c - timeline history files
 */
#include "common/timeline.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A position in the text of one line. */
struct cursor
{
	const char *at;
	const char *end;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static size_t
skip_space(struct cursor *c)
{
	const char *start = c->at;

	while (c->at < c->end && is_space(*c->at))
		c->at++;
	return (size_t) (c->at - start);
}

/* A number of the given base that fits 32 bits. */
static bool
take_number(struct cursor *c, unsigned base, uint32_t *out)
{
	const char *start = c->at;
	uint64_t value = 0;

	for (; c->at < c->end; c->at++)
	{
		char ch = *c->at;
		unsigned digit;

		if (ch >= '0' && ch <= '9')
			digit = (unsigned) (ch - '0');
		else if (base == 16 && ch >= 'A' && ch <= 'F')
			digit = (unsigned) (ch - 'A' + 10);
		else if (base == 16 && ch >= 'a' && ch <= 'f')
			digit = (unsigned) (ch - 'a' + 10);
		else
			break;
		value = value * base + digit;
		if (value > UINT32_MAX)
			return false;
	}
	*out = (uint32_t) value;
	return c->at > start;
}

/* "<tli> <X/X>", the rest of the line being free text. */
static bool
parse_line(struct cursor c, uint32_t *timeline, uint64_t *switch_lsn)
{
	uint32_t high;
	uint32_t low;

	if (!take_number(&c, 10, timeline) || skip_space(&c) == 0 ||
		!take_number(&c, 16, &high) || c.at == c.end || *c.at++ != '/' ||
		!take_number(&c, 16, &low) || (c.at < c.end && !is_space(*c.at)))
		return false;
	*switch_lsn = (uint64_t) high << 32 | low;
	return true;
}

/* Makes room for one more entry; the array grows by doubling. */
static enum status
append(struct timeline_history *h, uint32_t timeline, uint64_t end,
	   struct err *err)
{
	size_t n = h->nentries;

	if ((n & (n - 1)) == 0)
	{
		struct timeline_entry *grown =
			realloc(h->entries, (n == 0 ? 1 : 2 * n) * sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		h->entries = grown;
	}
	h->entries[n] =
		(struct timeline_entry){.timeline = timeline, .begin = 0, .end = end};
	h->nentries = n + 1;
	return ST_OK;
}

/* Gives every entry its begin; see the header about switch points. */
static void
settle_bounds(struct timeline_history *h)
{
	struct timeline_entry *e = h->entries + h->nentries - 1;

	for (; e > h->entries; e--)
	{
		if (e[-1].end > e->end)
			e[-1].end = e->end;
		e->begin = e[-1].end;
	}
}

enum status
timeline_history_root(uint32_t timeline, struct timeline_history *out,
					  struct err *err)
{
	return timeline_history_parse(timeline, "", 0, out, err);
}

static enum status
take_line(struct timeline_history *h, struct cursor line, unsigned number,
		  struct err *err)
{
	uint32_t timeline;
	uint64_t switch_lsn;

	(void) skip_space(&line);
	if (line.at == line.end || *line.at == '#')
		return ST_OK;
	if (!parse_line(line, &timeline, &switch_lsn))
		return err_set(err, ST_CORRUPT,
					   "history of timeline %" PRIu32 ", line %u: expected a "
					   "timeline and its switch point",
					   h->timeline, number);
	if (timeline == 0 || timeline >= h->timeline ||
		(h->nentries > 0 && timeline <= h->entries[h->nentries - 1].timeline))
		return err_set(err, ST_CORRUPT,
					   "history of timeline %" PRIu32 ", line %u: timeline "
					   "%" PRIu32 " is out of order",
					   h->timeline, number, timeline);
	if (h->nentries == TIMELINES_MAX)
		return err_set(err, ST_CORRUPT,
					   "history of timeline %" PRIu32 " has more than %d "
					   "ancestors",
					   h->timeline, TIMELINES_MAX);
	return append(h, timeline, switch_lsn, err);
}

enum status
timeline_history_parse(uint32_t timeline, const char *text, size_t len,
					   struct timeline_history *out, struct err *err)
{
	struct timeline_history h = {.timeline = timeline};
	struct cursor rest = {text, text + len};
	unsigned number = 0;
	enum status status = ST_OK;

	while (rest.at < rest.end && status == ST_OK)
	{
		const char *newline =
			memchr(rest.at, '\n', (size_t) (rest.end - rest.at));
		struct cursor line = {rest.at, newline != NULL ? newline : rest.end};

		status = take_line(&h, line, ++number, err);
		rest.at = newline != NULL ? newline + 1 : rest.end;
	}
	if (status == ST_OK)
		status = append(&h, timeline, UINT64_MAX, err);
	if (status != ST_OK)
	{
		timeline_history_free(&h);
		return status;
	}
	settle_bounds(&h);
	*out = h;
	return ST_OK;
}

void
timeline_history_free(struct timeline_history *h)
{
	free(h->entries);
	h->entries = NULL;
	h->nentries = 0;
}

const struct timeline_entry *
timeline_history_find(const struct timeline_history *h, uint32_t timeline)
{
	for (size_t i = 0; i < h->nentries; i++)
		if (h->entries[i].timeline == timeline)
			return &h->entries[i];
	return NULL;
}

const struct timeline_entry *
timeline_history_at(const struct timeline_history *h, uint64_t lsn)
{
	for (size_t i = h->nentries; i > 0; i--)
		if (lsn >= h->entries[i - 1].begin && lsn < h->entries[i - 1].end)
			return &h->entries[i - 1];
	return NULL;
}
