/*
 * fetch.c - one WAL file out of the repository
 */
#include "walship/fetch.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/deadline.h"
#include "common/log.h"
#include "common/wal_history.h"
#include "walship/fetch_gap.h"
#include "walship/fetch_local.h"
#include "walship/fetch_segment.h"
#include "walship/fetch_target.h"
#include "walship/outage.h"

/* With its patience spent, a call asks once whether the store is back. */
#define PROBE_MS 2000

/* Between two looks at a gap. */
#define GAP_BASE_MS 500
#define GAP_CAP_MS  5000

/* A history or backup history file: small, and read as a whole. */
static enum status
get_text(const struct fetch *fetch, const char *object, int64_t allowance_ms,
		 struct err *err)
{
	struct fetch_target target;
	char *text;
	size_t len;
	enum status status;

	fetch_segment_allow(fetch->repo, allowance_ms, fetch->cancel);
	status = repo_get_bytes(fetch->repo, OBJECT_WAL, object,
							WAL_HISTORY_BYTES_MAX, &text, &len, err);
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
get_segment(const struct fetch *fetch, const struct wal_name *name,
			int64_t allowance_ms, struct err *err)
{
	struct fetch_segment get = {.repo = fetch->repo,
								.name = name,
								.path = fetch->path,
								.allowance_ms = allowance_ms,
								.cancel = fetch->cancel};

	return fetch_segment_get(&get, NULL, err);
}

static enum status
get_file(const struct fetch *fetch, const struct wal_name *name,
		 int64_t allowance_ms, struct err *err)
{
	char object[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];
	enum status status;

	repo_wal_name(object, name);
	if (name->kind == WAL_SEGMENT || name->kind == WAL_PARTIAL)
		status = get_segment(fetch, name, allowance_ms, err);
	else
		status = get_text(fetch, object, allowance_ms, err);
	if (status == ST_CORRUPT)
	{
		repo_key(key, fetch->repo->system_identifier, object);
		return err_context(err, "object \"%s/%s\" is not usable",
						   fetch->repo->cfg->repository, key);
	}
	return status;
}

/*
 * The last segment of a timeline that ended in it: a server that was promoted
 * there archives what it had of it as .partial.  It is offered to a recovery
 * of that timeline only, which README explains.
 */
static enum status
get_partial(const struct fetch *fetch, int64_t allowance_ms, struct err *err)
{
	struct wal_name partial = *fetch->name;
	enum status status;

	wal_name_partial(&partial);
	status = get_file(fetch, &partial, allowance_ms, err);
	if (status == ST_OK)
		log_warning("\"%s\" is not archived; the part of it that is, \"%s\", "
					"is used",
					fetch->name->text, partial.text);
	return status;
}

/* What an absence means, with nothing of the segment at hand. */
static enum fetch_finding
explain_absence(const struct fetch *fetch, enum fetch_local local,
				int64_t allowance_ms, struct err *err)
{
	struct fetch_behind behind;
	char wal_dir[PATH_MAX];
	enum status status;

	if (!fetch_local_beside(fetch->path, ".", wal_dir, sizeof(wal_dir)))
		wal_dir[0] = '\0';
	fetch_segment_allow(fetch->repo, allowance_ms, fetch->cancel);
	status = fetch_gap_find(fetch->repo, fetch->name,
							fetch_gap_segment_size(wal_dir), &behind, err);
	if (status != ST_OK)
		return fetch_policy_finding(status);
	if (behind.gap)
		return FOUND_GAP;
	if (!behind.partial || !fetch_policy_takes_partial(fetch->mode) ||
		local != LOCAL_NOTHING ||
		fetch_local_knows_newer(fetch->path, fetch->name->timeline))
		return FOUND_NOTHING;
	return fetch_policy_finding(get_partial(fetch, allowance_ms, err));
}

/* Settles an absence: *finding, or false to look for the file again. */
static bool
settle_absence(const struct fetch *fetch, int64_t allowance_ms,
			   struct retry *retry, enum fetch_finding *finding,
			   struct err *err)
{
	enum fetch_local local;

	*finding = FOUND_NOTHING;
	if (!fetch_policy_looks_for_gap(fetch->mode, fetch->name->kind))
		return true;
	local = fetch_local_salvage(fetch->name, fetch->path,
								fetch->repo->system_identifier);
	*finding = local == LOCAL_USED
				   ? FOUND
				   : explain_absence(fetch, local, allowance_ms, err);
	if (*finding != FOUND_GAP)
		return true;
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
	fetch_segment_allow(fetch->repo, PROBE_MS, fetch->cancel);
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
		status = get_file(fetch, fetch->name, allowance_ms, err);
		if (status != ST_MISSING)
			return fetch_policy_finding(status);
	} while (!settle_absence(fetch, allowance_ms, &retry, &finding, err));
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
