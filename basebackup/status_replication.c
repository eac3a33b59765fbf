/*
 * status_replication.c - has the store copied the archive to where it should?
 *
 * Some stores tell it of each object.  The newest segment answers first;
 * where it is not yet copied, the oldest segment that is not either is looked
 * for in leaps that double, and then between the last two.
 */
#include "basebackup/status.h"

#include <stdio.h>
#include <string.h>

static enum status
look(struct overview *s, const struct wal_line *line, uint64_t segno,
	 struct store_stat *out, struct err *err)
{
	struct repo *repo = &s->session.repo;
	char object[OBJECT_NAME_MAX + 1], key[STORE_KEY_MAX];
	struct wal_name name;

	wal_name_segment(&name, line->timeline, segno, s->map.segment_size);
	repo_wal_name(object, &name);
	repo_key(key, repo->system_identifier, object);
	return store_head(repo->store, key, out, err);
}

static bool
waits(const struct store_stat *stat)
{
	return strcmp(stat->replication, "PENDING") == 0 ||
		   strcmp(stat->replication, "FAILED") == 0;
}

/* The line to which a segment was added last. */
static const struct wal_line *
newest_line(const struct overview *s)
{
	const struct wal_line *newest = NULL;

	for (size_t i = 0; i < s->map.nlines; i++)
	{
		const struct wal_line *line = &s->map.lines[i];

		if (line->nstretches > 0 &&
			(newest == NULL ||
			 line->last_modified_s >= newest->last_modified_s))
			newest = line;
	}
	return newest;
}

/* The oldest segment of the last stretch that waits, last being one. */
static enum status
find_oldest(struct overview *s, const struct wal_line *line,
			struct store_stat *oldest, struct err *err)
{
	const struct wal_stretch *end = &line->stretches[line->nstretches - 1];
	uint64_t waiting = end->last; /* waits */
	uint64_t done;                /* the segment behind which all waits */
	struct store_stat stat;
	enum status status;

	for (uint64_t leap = 1;; leap *= 2)
	{
		if (end->last - end->first < leap)
		{
			done = end->first; /* or it is the first of all */
			break;
		}
		done = end->last - leap;
		status = look(s, line, done, &stat, err);
		if (status != ST_OK)
			return status;
		if (!waits(&stat))
			break;
		waiting = done;
		*oldest = stat;
	}
	while (waiting - done > 1)
	{
		uint64_t middle = done + (waiting - done) / 2;

		status = look(s, line, middle, &stat, err);
		if (status != ST_OK)
			return status;
		if (waits(&stat))
		{
			waiting = middle;
			*oldest = stat;
		}
		else
			done = middle;
	}
	return ST_OK;
}

enum status
status_replication_look(struct overview *s, struct err *err)
{
	const struct wal_line *line = newest_line(s);
	struct status_replication *r = &s->replication;
	struct store_stat stat;
	enum status status;

	if (line == NULL)
		return ST_OK;
	status =
		look(s, line, line->stretches[line->nstretches - 1].last, &stat, err);
	if (status == ST_MISSING)
		return ST_OK; /* expired meanwhile, with a server that is idle */
	if (status != ST_OK || stat.replication[0] == '\0')
		return status;
	r->known = true;
	(void) snprintf(r->state, sizeof(r->state), "%s", stat.replication);
	if (!waits(&stat))
		return ST_OK;
	status = find_oldest(s, line, &stat, err);
	if (status == ST_OK && s->now_s > stat.modified)
		r->lag_s = s->now_s - stat.modified;
	return status == ST_MISSING ? ST_OK : status;
}
