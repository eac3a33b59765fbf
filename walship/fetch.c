/*
 * fetch.c - one WAL file out of the repository
 */
#include "walship/fetch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/deadline.h"
#include "common/log.h"
#include "common/wal_history.h"
#include "walship/fetch_gap.h"
#include "walship/fetch_target.h"
#include "walship/outage.h"
#include "walship/wal_file.h"

/* With its patience spent, a call asks once whether the store is back. */
#define PROBE_MS 2000

/* Between two looks at a gap. */
#define GAP_BASE_MS 500
#define GAP_CAP_MS  5000

#define COPY_BYTES ((size_t) 256 << 10)

/* One transfer: bytes that arrive are progress, and renew the deadline. */
struct transfer
{
	const struct fetch *fetch;
	struct fetch_target *target;
	int64_t allowance_ms;
};

static void
renew_deadline(const struct fetch *fetch, int64_t allowance_ms)
{
	store_set_deadline(fetch->repo->store,
					   deadline_in(allowance_ms, fetch->cancel));
}

static enum status
receive(void *arg, const void *data, size_t len, struct err *err)
{
	const struct transfer *t = arg;

	renew_deadline(t->fetch, t->allowance_ms);
	return fetch_target_write(t->target, data, len, err);
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
verify_segment(const struct fetch *fetch, const struct fetch_target *target,
			   struct err *err)
{
	size_t head = target->len_bytes < sizeof(target->head)
					  ? (size_t) target->len_bytes
					  : sizeof(target->head);
	struct timeline_history history = {0};
	struct wal_page page;
	bool ancestor;
	enum status status = wal_page_parse(&page, target->head, head, err);

	if (status != ST_OK)
		return status;
	ancestor = page.timeline < fetch->name->timeline;
	if (ancestor)
		status = get_needed_history(fetch->repo, fetch->name->timeline,
									&history, err);
	if (status == ST_OK)
		status = wal_page_check(&page, fetch->name, target->len_bytes,
								fetch->repo->system_identifier,
								ancestor ? &history : NULL, err);
	timeline_history_free(&history);
	return status;
}

/* A segment or .partial: too large for memory, so it goes to the target. */
static enum status
get_segment(const struct fetch *fetch, const char *object,
			int64_t allowance_ms, struct err *err)
{
	struct fetch_target target;
	struct transfer transfer = {
		.fetch = fetch, .target = &target, .allowance_ms = allowance_ms};
	enum status status = fetch_target_open(&target, fetch->path, err);

	if (status != ST_OK)
		return status;
	status =
		repo_get(fetch->repo, OBJECT_WAL, object, receive, &transfer, err);
	if (status == ST_OK)
		status = verify_segment(fetch, &target, err);
	if (status == ST_OK)
		status = fetch_target_publish(&target, err);
	fetch_target_abort(&target);
	return status;
}

/* A history or backup history file: small, and read as a whole. */
static enum status
get_text(const struct fetch *fetch, const char *object, struct err *err)
{
	struct fetch_target target;
	char *text;
	size_t len;
	enum status status =
		repo_get_bytes(fetch->repo, OBJECT_WAL, object, WAL_HISTORY_BYTES_MAX,
					   &text, &len, err);

	if (status != ST_OK)
		return status;
	if (fetch->name->kind == WAL_HISTORY)
		status = wal_history_check(fetch->name->timeline, text, len, err);
	if (status == ST_OK)
		status = fetch_target_open(&target, fetch->path, err);
	if (status == ST_OK)
	{
		status = fetch_target_write(&target, text, len, err);
		if (status == ST_OK)
			status = fetch_target_publish(&target, err);
		fetch_target_abort(&target);
	}
	free(text);
	return status;
}

static enum status
get_file(const struct fetch *fetch, int64_t allowance_ms, struct err *err)
{
	char object[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];
	enum status status;

	renew_deadline(fetch, allowance_ms);
	repo_wal_name(object, fetch->name);
	if (fetch->name->kind == WAL_SEGMENT || fetch->name->kind == WAL_PARTIAL)
		status = get_segment(fetch, object, allowance_ms, err);
	else
		status = get_text(fetch, object, err);
	if (status == ST_CORRUPT)
	{
		repo_key(key, fetch->repo->system_identifier, object);
		return err_context(err, "object \"%s/%s\" is not usable",
						   fetch->repo->cfg->repository, key);
	}
	return status;
}

/* The directory of the file to make, and a name in it. */
static bool
beside(const char *path, const char *name, char *out, size_t room)
{
	const char *slash = strrchr(path, '/');
	int dir = slash != NULL ? (int) (slash - path + 1) : 0;
	int n = snprintf(out, room, "%.*s%s", dir, path, name);

	return n >= 0 && (size_t) n < room;
}

static enum status
copy_file(struct wal_file *file, const char *path, struct err *err)
{
	uint8_t *chunk = malloc(COPY_BYTES);
	struct fetch_target target;
	enum status status;

	if (chunk == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = fetch_target_open(&target, path, err);
	if (status != ST_OK)
	{
		free(chunk);
		return status;
	}
	while (status == ST_OK && file->offset < file->size_bytes)
	{
		/* A segment's size is a multiple of this. */
		status = wal_file_read(file, chunk, COPY_BYTES, err);
		if (status == ST_OK)
			status = fetch_target_write(&target, chunk, COPY_BYTES, err);
	}
	if (status == ST_OK)
		status = fetch_target_publish(&target, err);
	fetch_target_abort(&target);
	free(chunk);
	return status;
}

/*
 * What the archive does not have, pg_wal may: the salvaged WAL of a server
 * that died before it could archive it.  Only a whole segment will do here;
 * a last, partly filled one the server finds by itself, once it is told that
 * the archive ends.
 */
static bool
salvage(const struct fetch *fetch)
{
	char path[PATH_MAX];
	struct wal_file file;
	struct err err;
	bool complete = false;
	bool done;

	if (!beside(fetch->path, fetch->name->text, path, sizeof(path)) ||
		strcmp(path, fetch->path) == 0 ||
		wal_file_open(&file, path, fetch->repo->system_identifier, &err) !=
			ST_OK)
		return false;
	done = wal_file_complete(&file, &complete, &err) == ST_OK && complete &&
		   copy_file(&file, fetch->path, &err) == ST_OK;
	wal_file_close(&file);
	if (done)
		log_info("\"%s\" is not archived; its copy in pg_wal is used",
				 fetch->name->text);
	return done;
}

/* Settles an absence: *finding, or false to look for the file again. */
static bool
settle_absence(const struct fetch *fetch, struct retry *retry,
			   enum fetch_finding *finding, struct err *err)
{
	char wal_dir[PATH_MAX];
	bool gap = false;
	enum status status;

	*finding = FOUND_NOTHING;
	if (!fetch_policy_looks_for_gap(fetch->mode, fetch->name->kind))
		return true;
	if (salvage(fetch))
	{
		*finding = FOUND;
		return true;
	}
	if (!beside(fetch->path, ".", wal_dir, sizeof(wal_dir)))
		wal_dir[0] = '\0';
	status = fetch_gap_find(fetch->repo, fetch->name,
							fetch_gap_segment_size(wal_dir), &gap, err);
	if (status != ST_OK)
	{
		*finding = fetch_policy_finding(status);
		return true;
	}
	if (!gap)
		return true;
	*finding = FOUND_GAP;
	if (retry_wait(retry, err))
		return false;
	if (fetch->cancel != NULL && *fetch->cancel != 0)
		*finding = FOUND_CANCELLED;
	return true;
}

/* Does the store answer at all?  Absence is an answer too. */
static enum fetch_finding
probe(const struct fetch *fetch, struct err *err)
{
	char object[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];
	struct store_stat stat;
	enum status status;

	repo_wal_name(object, fetch->name);
	repo_key(key, fetch->repo->system_identifier, object);
	renew_deadline(fetch, PROBE_MS);
	status = store_head(fetch->repo->store, key, &stat, err);
	return fetch_policy_finding(status == ST_MISSING ? ST_OK : status);
}

static enum fetch_finding
look(const struct fetch *fetch, int64_t allowance_ms, struct err *err)
{
	enum fetch_finding finding;
	struct retry retry;
	enum status status;

	retry_init(&retry,
			   deadline_in(fetch_policy_gap_ms(fetch->mode, &fetch->patience),
						   fetch->cancel),
			   GAP_BASE_MS, GAP_CAP_MS);
	do
	{
		status = get_file(fetch, allowance_ms, err);
		if (status != ST_MISSING)
			return fetch_policy_finding(status);
		renew_deadline(fetch, allowance_ms);
	} while (!settle_absence(fetch, &retry, &finding, err));
	return finding;
}

enum fetch_finding
fetch_file(const struct fetch *fetch, struct err *err)
{
	int64_t allowance_ms = fetch_policy_outage_ms(
		fetch->mode, fetch->name->kind, &fetch->patience);
	int64_t started_ms = clock_now_ms();
	enum fetch_finding finding = FOUND;
	struct outage outage;

	outage_load(&outage, fetch->spool);
	if (outage.spent_ms < allowance_ms)
		allowance_ms -= outage.spent_ms;
	else
		finding = probe(fetch, err);
	if (finding == FOUND)
		finding = look(fetch, allowance_ms, err);
	if (finding == FOUND_UNREACHABLE)
	{
		/* The store gives up a little early: when no try would fit in. */
		int64_t spent_ms = clock_now_ms() - started_ms;

		outage_note(&outage, fetch->spool,
					spent_ms > allowance_ms ? spent_ms : allowance_ms);
	}
	else if (finding == FOUND || finding == FOUND_NOTHING ||
			 finding == FOUND_GAP)
		outage_clear(&outage, fetch->spool);
	return finding;
}
