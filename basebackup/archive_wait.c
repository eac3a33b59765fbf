/*
 * archive_wait.c - is the WAL that a backup needs in the archive?
 */
#include "basebackup/archive_wait.h"

#include <stdio.h>
#include <string.h>

#include "common/deadline.h"
#include "common/log.h"

#define POLL_FIRST_MS 250
#define POLL_LAST_MS  10000

bool
wal_range_segments(const struct wal_range *ranges, size_t nranges, size_t i,
				   uint32_t segment_size, uint64_t *first, uint64_t *last)
{
	*first = wal_segno_of(ranges[i].start_lsn, segment_size);
	if (i + 1 == nranges)
	{
		*last = wal_segno_before(ranges[i].end_lsn, segment_size);
		return true;
	}
	*last = wal_segno_of(ranges[i + 1].start_lsn, segment_size);
	if (*last <= *first)
		return false;
	*last -= 1;
	return true;
}

/* A walk through the archive's listing of one timeline. */
struct walk
{
	uint32_t timeline;
	uint32_t segment_size;
	uint64_t next; /* the segment that must come now */
	uint64_t last;
	char expected[WAL_NAME_MAX + 1];
	char instead[WAL_NAME_MAX + 1]; /* of that segment, but not it */
};

static void
expect(struct walk *walk)
{
	struct wal_name name;

	wal_name_segment(&name, walk->timeline, walk->next, walk->segment_size);
	memcpy(walk->expected, name.text, sizeof(walk->expected));
	walk->instead[0] = '\0';
}

/* Ends the listing with ST_MISSING at a gap, with ST_EXISTS behind the last.
 */
static enum status
take_entry(void *arg, const struct store_entry *entry, struct err *err)
{
	struct walk *walk = arg;
	const char *slash = strrchr(entry->key, '/');
	const char *name = slash == NULL ? entry->key : slash + 1;
	size_t len = strlen(walk->expected);

	if (strcmp(name, walk->expected) == 0)
	{
		if (walk->next == walk->last)
			return err_set(err, ST_EXISTS, "all there");
		walk->next++;
		expect(walk);
		return ST_OK;
	}
	if (strncmp(name, walk->expected, len) == 0)
		(void) snprintf(walk->instead, sizeof(walk->instead), "%s", name);
	else if (strcmp(name, walk->expected) > 0)
		return err_set(err, ST_MISSING, "gap");
	return ST_OK;
}

/* *complete: everything up to walk->last is there. */
static enum status
look(struct repo *repo, struct walk *walk, bool *complete, struct err *err)
{
	struct wal_name before;
	char name[OBJECT_NAME_MAX + 1];
	char prefix[STORE_KEY_MAX];
	char after[STORE_KEY_MAX];
	enum status status;

	expect(walk);
	wal_name_segment(&before, walk->timeline,
					 walk->next > 0 ? walk->next - 1 : 0, walk->segment_size);
	repo_wal_name(name, &before);
	repo_key(after, repo->system_identifier, name);
	(void) snprintf(prefix, sizeof(prefix), "%s", after);
	*(strrchr(prefix, '/') + 1) = '\0';
	status = store_list(repo->store, prefix, walk->next > 0 ? after : NULL,
						false, take_entry, walk, err);
	*complete = status == ST_EXISTS;
	if (status == ST_EXISTS || status == ST_MISSING)
		return ST_OK;
	return status;
}

static enum status
explain(const struct archive_wait *wait, const struct walk *walk,
		struct err *err)
{
	(void) err_set(
		err, ST_DEADLINE,
		"WAL segment %s did not come into the archive within %lld s",
		walk->expected, (long long) (wait->timeout_ms / 1000));
	if (walk->instead[0] != '\0')
		(void) err_detail(err, "The archive only holds %s.", walk->instead);
	else
		(void) err_detail(err, "The backup cannot be restored without it.");
	if (wait->from_standby)
		return err_hint(
			err, "The primary archives a segment when it is full: set "
				 "archive_timeout there, or call pg_switch_wal() on it while "
				 "the backup waits; see that its archive_command works.");
	return err_hint(err, "See that archive_mode is on and that "
						 "archive_command runs wal-push with this repository; "
						 "pg_stat_archiver and the server's log tell its "
						 "failures. If it is only slow, raise archive_wait; "
						 "the next backup stores only what this one has not.");
}

static enum status
wait_for_walk(struct repo *repo, const struct archive_wait *wait,
			  struct walk *walk, struct deadline deadline, struct err *err)
{
	int64_t pause_ms = POLL_FIRST_MS;
	bool told = false;

	for (;;)
	{
		bool complete = false;
		enum status status = look(repo, walk, &complete, err);

		if (status != ST_OK || complete)
			return status;
		if (!told)
			log_info("waiting for WAL segment %s in the archive",
					 walk->expected);
		told = true;
		status = deadline_sleep(&deadline, pause_ms, err);
		if (status == ST_DEADLINE)
			return explain(wait, walk, err);
		if (status != ST_OK)
			return status;
		pause_ms = pause_ms * 2 < POLL_LAST_MS ? pause_ms * 2 : POLL_LAST_MS;
	}
}

enum status
archive_wait(struct repo *repo, const struct archive_wait *wait,
			 struct err *err)
{
	struct deadline deadline = deadline_in(wait->timeout_ms, wait->cancel);
	enum status status = ST_OK;

	for (size_t i = 0; i < wait->nranges && status == ST_OK; i++)
	{
		struct walk walk = {.timeline = wait->ranges[i].timeline,
							.segment_size = wait->segment_size};

		if (wal_range_segments(wait->ranges, wait->nranges, i,
							   wait->segment_size, &walk.next, &walk.last))
			status = wait_for_walk(repo, wait, &walk, deadline, err);
	}
	return status;
}
