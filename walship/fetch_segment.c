/*
 * fetch_segment.c - a segment out of the repository into a file
 */
#include "walship/fetch_segment.h"

#include <inttypes.h>

#include "common/deadline.h"
#include "common/wal_history.h"
#include "walship/fetch_target.h"

/* One transfer: bytes that arrive are progress, and renew the deadline. */
struct transfer
{
	const struct fetch_segment *get;
	struct fetch_target target;
};

void
fetch_segment_allow(struct repo *repo, int64_t allowance_ms,
					const volatile sig_atomic_t *cancel)
{
	store_set_deadline(repo->store, deadline_in(allowance_ms, cancel));
}

static enum status
receive(void *arg, const void *data, size_t len, struct err *err)
{
	struct transfer *t = arg;

	fetch_segment_allow(t->get->repo, t->get->allowance_ms, t->get->cancel);
	return fetch_target_write(&t->target, data, len, err);
}

/* A history that must be there, since WAL of its timeline is. */
static enum status
get_needed_history(struct repo *repo, uint32_t timeline,
				   struct timeline_history *out, struct err *err)
{
	enum status status = wal_history_get(repo, timeline, out, err);

	if (status != ST_MISSING)
		return status;
	return err_set(err, ST_CORRUPT,
				   "the first page is of an older timeline, and the history "
				   "file of timeline %" PRIu32 " is not archived",
				   timeline);
}

/* Is what was received the segment that was asked for? */
static enum status
verify(const struct transfer *t, uint32_t *segment_size, struct err *err)
{
	const struct fetch_target *target = &t->target;
	const struct wal_name *name = t->get->name;
	struct repo *repo = t->get->repo;
	size_t head = target->len_bytes < sizeof(target->head)
					  ? (size_t) target->len_bytes
					  : sizeof(target->head);
	struct timeline_history history = {0};
	struct wal_page page;
	bool ancestor;
	enum status status = wal_page_parse(&page, target->head, head, err);

	if (status != ST_OK)
		return status;
	ancestor = page.timeline < name->timeline;
	if (ancestor)
		status = get_needed_history(repo, name->timeline, &history, err);
	if (status == ST_OK)
		status = wal_page_check(&page, name, target->len_bytes,
								repo->system_identifier,
								ancestor ? &history : NULL, err);
	timeline_history_free(&history);
	if (status == ST_OK && segment_size != NULL)
		*segment_size = page.segment_size;
	return status;
}

enum status
fetch_segment_get(const struct fetch_segment *get, uint32_t *segment_size,
				  struct err *err)
{
	struct transfer transfer = {.get = get};
	char object[OBJECT_NAME_MAX + 1];
	enum status status = fetch_target_open(&transfer.target, get->path, err);

	if (status != ST_OK)
		return status;
	repo_wal_name(object, get->name);
	fetch_segment_allow(get->repo, get->allowance_ms, get->cancel);
	status = repo_get(get->repo, OBJECT_WAL, object, receive, &transfer, err);
	if (status == ST_OK)
		status = verify(&transfer, segment_size, err);
	if (status == ST_OK)
		status = fetch_target_publish(&transfer.target, err);
	fetch_target_abort(&transfer.target);
	return status;
}
