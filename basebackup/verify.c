/*
 * verify.c - is everything there that a restore needs, and is it readable?
 */
#include "basebackup/verify.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basebackup/archive.h"
#include "basebackup/catalog.h"
#include "basebackup/choose.h"
#include "basebackup/expect.h"
#include "basebackup/histories.h"
#include "basebackup/verify_doubt.h"
#include "basebackup/verify_read.h"
#include "basebackup/verify_state.h"
#include "basebackup/verify_wal.h"

#define GAPS_REMEMBERED 1000

/* A gap that was told. */
struct told
{
	uint32_t timeline;
	uint64_t first;
};

struct run
{
	struct session *session;
	const struct verify_options *options;
	struct verify_counts *counts;
	struct catalog catalog;
	struct expect *expect;
	struct histories histories;
	struct keep_backup *kept;
	size_t ncomplete;
	struct verify_pool *pool; /* NULL: content is not read */
	struct verify_state state;
	unsigned seed;
	struct told told[GAPS_REMEMBERED];
	size_t ntold;

	pthread_mutex_t lock; /* guards sink, counts->defects and doubts */
	struct doubts doubts;
	verify_sink sink;
	void *arg;
};

/* --- telling ---------------------------------------------------------------
 */

static void
tell(struct run *run, enum verify_grade grade, const char *kind,
	 const char *subject, const char *text)
{
	(void) pthread_mutex_lock(&run->lock);
	if (grade == VERIFY_DEFECT)
		run->counts->defects++;
	run->sink(run->arg, grade, kind, subject, text);
	(void) pthread_mutex_unlock(&run->lock);
}

/* Those in doubt included: what is read is not read again. */
static uint64_t
read_defects(void *arg)
{
	struct run *run = arg;
	uint64_t n;

	(void) pthread_mutex_lock(&run->lock);
	n = run->counts->read_defects;
	for (size_t i = 0; i < run->doubts.count; i++)
		n += run->doubts.list[i].of_content;
	(void) pthread_mutex_unlock(&run->lock);
	return n;
}

static void
tell_unreadable(void *arg, const struct verify_object *object,
				const struct err *why)
{
	struct run *run = arg;
	const char *name = strchr(object->key, '/') + 1;
	const char *kind = why->status == ST_MISSING ? "missing"
					   : why->status == ST_AUTH  ? "key-needed"
												 : "unreadable";
	bool doubted = false;
	struct err ignored;

	(void) pthread_mutex_lock(&run->lock);
	if (why->status == ST_MISSING)
		doubted = doubts_add_object(&run->doubts, name, why->message, true,
									&ignored) == ST_OK;
	if (!doubted)
		run->counts->read_defects++;
	(void) pthread_mutex_unlock(&run->lock);
	if (!doubted)
		tell(run, VERIFY_DEFECT, kind, name, why->message);
}

static void
tell_certain(void *arg, const struct doubt *doubt)
{
	struct run *run = arg;

	if (doubt->of_content)
		run->counts->read_defects++;
	run->counts->defects++;
	run->sink(run->arg, VERIFY_DEFECT, doubt->kind, doubt->subject,
			  doubt->text);
}

/* By the session's thread. */
static enum status
settle(struct run *run, struct err *err)
{
	const struct doubts_view view = {run->session, &run->options->rules,
									 &run->histories, run->kept,
									 run->ncomplete};
	enum status status;

	(void) pthread_mutex_lock(&run->lock);
	status = doubts_settle(&run->doubts, &view, tell_certain, run, err);
	(void) pthread_mutex_unlock(&run->lock);
	return status;
}

/* --- backups ---------------------------------------------------------------
 */

/* Reads every manifest to its end; the complete ones as the rules see them. */
static enum status
read_manifests(struct run *run, struct err *err)
{
	for (size_t i = 0; i < run->catalog.nbackups; i++)
	{
		const struct catalog_backup *b = &run->catalog.backups[i];
		enum status status;

		if (b->state == BACKUP_UNREADABLE)
			tell(run, VERIFY_DEFECT, "manifest-unreadable", b->id,
				 b->why->message);
		if (b->state != BACKUP_COMPLETE)
			continue;
		status =
			expect_add_manifest(run->expect, &run->session->repo, b->id, err);
		if (status == ST_MISSING)
			continue; /* expired meanwhile */
		if (status == ST_CORRUPT || status == ST_CONFIG)
		{
			tell(run, VERIFY_DEFECT, "manifest-unreadable", b->id,
				 err->message);
			continue;
		}
		if (status != ST_OK)
			return status;
		run->counts->backups++;
		run->kept[run->ncomplete++] = (struct keep_backup){
			.summary = &b->summary, .pinned = b->keep, .good = true};
	}
	return ST_OK;
}

/* Is this object among those to read? */
static bool
chosen(const struct run *run, const struct store_entry *entry)
{
	return run->pool != NULL &&
		   entry->stat.modified >= run->options->since_s &&
		   !verify_state_done(&run->state, entry->key) &&
		   verify_drawn(entry->key, run->seed, run->options->sample_bp);
}

static enum status
read_content(struct run *run, enum object_kind kind,
			 const struct store_entry *entry, const struct expected *expected,
			 struct err *err)
{
	struct verify_object object = {.kind = kind,
								   .size_bytes = entry->stat.size_bytes,
								   .has_sum = expected != NULL};
	enum status status;

	if (!chosen(run, entry))
		return ST_OK;
	if (entry->stat.archived)
	{
		tell(run, VERIFY_NOTE, "archived", strchr(entry->key, '/') + 1,
			 entry->stat.storage_class);
		return ST_OK;
	}
	(void) snprintf(object.key, sizeof(object.key), "%s", entry->key);
	if (expected != NULL)
		memcpy(object.sum, expected->sum, sizeof(object.sum));
	status = verify_pool_add(run->pool, &object, err);
	if (status == ST_OK)
		verify_state_save(&run->state, run->pool, read_defects, run);
	return status;
}

static enum status
visit_part(void *arg, const struct store_entry *entry, struct err *err)
{
	struct run *run = arg;
	char id[BACKUP_ID_MAX];
	char text[128];
	enum object_kind kind;
	uint32_t n;
	struct expected *expected;

	if (!expect_parse_name(strchr(entry->key, '/') + 1, id, &kind, &n))
		return ST_OK;
	expected = expect_find(run->expect, id, kind, n);
	if (expected == NULL)
		return ST_OK;
	expected->seen = true;
	run->counts->packs++;
	run->counts->pack_bytes += entry->stat.size_bytes;
	if (expected->size_bytes == entry->stat.size_bytes)
		return read_content(run, kind, entry, expected, err);
	(void) snprintf(text, sizeof(text),
					"it has %" PRIu64 " bytes instead of %" PRIu64,
					entry->stat.size_bytes, expected->size_bytes);
	tell(run, VERIFY_DEFECT, "wrong-size", strchr(entry->key, '/') + 1, text);
	return ST_OK;
}

static enum status
doubt_object(void *arg, const char *backup_id, enum object_kind kind,
			 uint32_t n, const struct expected *expected, struct err *err)
{
	struct run *run = arg;
	enum status status;
	char name[OBJECT_NAME_MAX + 1];
	char text[64];

	if (kind == OBJECT_PACK)
		repo_pack_name(name, backup_id, n);
	else
		repo_digest_name(name, backup_id, n);
	(void) snprintf(text, sizeof(text), "%" PRIu32 " backups need it",
					expected->users);
	(void) pthread_mutex_lock(&run->lock);
	status = doubts_add_object(&run->doubts, name, text, false, err);
	(void) pthread_mutex_unlock(&run->lock);
	return status;
}

static enum status
verify_packs(struct run *run, struct err *err)
{
	struct repo *repo = &run->session->repo;
	char prefix[STORE_KEY_MAX];
	enum status status;

	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/backup/",
					repo->system_identifier);
	status =
		store_list(repo->store, prefix, NULL, false, visit_part, run, err);
	if (status == ST_OK)
		status = expect_each_unseen(run->expect, doubt_object, run, err);
	if (status == ST_OK)
		status = settle(run, err);
	return status;
}

/* --- WAL -------------------------------------------------------------------
 */

struct gaps
{
	struct run *run;
	uint32_t segment_size;
	const char *backup_id; /* it lacks this for itself; NULL: recovery does */
	uint64_t found;
};

/* A gap is met by every backup and timeline that it concerns. */
static bool
told_before(struct run *run, uint32_t timeline, uint64_t first)
{
	for (size_t i = 0; i < run->ntold; i++)
		if (run->told[i].timeline == timeline && run->told[i].first == first)
			return true;
	if (run->ntold < GAPS_REMEMBERED)
		run->told[run->ntold++] = (struct told){timeline, first};
	return false;
}

static void
doubt_gap(void *arg, uint32_t timeline, uint64_t first, uint64_t last)
{
	struct gaps *gaps = arg;
	struct run *run = gaps->run;
	struct wal_name from;
	struct wal_name to;
	struct err ignored;
	char text[256];
	char upto[WAL_NAME_MAX + 16] = "";
	bool doubted;

	gaps->found++;
	if (told_before(run, timeline, first))
		return;
	wal_name_segment(&from, timeline, first, gaps->segment_size);
	wal_name_segment(&to, timeline, last, gaps->segment_size);
	if (first < last)
		(void) snprintf(upto, sizeof(upto), "up to %s: ", to.text);
	if (gaps->backup_id != NULL)
		(void) snprintf(text, sizeof(text),
						"%sbackup %s cannot be restored without it", upto,
						gaps->backup_id);
	else
		(void) snprintf(text, sizeof(text), "%srecovery cannot go past it",
						upto);
	(void) pthread_mutex_lock(&run->lock);
	doubted =
		doubts_add_gap(&run->doubts, &from, &to, text, &ignored) == ST_OK;
	(void) pthread_mutex_unlock(&run->lock);
	if (!doubted)
		tell(run, VERIFY_DEFECT, "wal-gap", from.text, text);
}

/* What makes each backup consistent. */
static enum status
verify_backups_wal(struct run *run, struct err *err)
{
	enum status status = ST_OK;
	uint64_t files = 0;

	for (size_t i = 0; i < run->ncomplete && status == ST_OK; i++)
	{
		const struct backup_summary *s = run->kept[i].summary;
		struct gaps gaps = {run, s->wal_segment_size, s->id, 0};
		const struct wal_span span = {
			s->timeline, wal_segno_of(s->start_lsn, s->wal_segment_size),
			wal_segno_before(s->stop_lsn, s->wal_segment_size)};

		status =
			verify_wal_span(&run->session->repo, &span, s->wal_segment_size,
							doubt_gap, &gaps, &files, err);
		run->kept[i].good = gaps.found == 0;
	}
	return status;
}

/* The oldest good backup that leads along history, in the window. */
static const struct backup_summary *
window_base(const struct run *run, const struct timeline_history *history,
			uint64_t window_lsn)
{
	for (size_t i = 0; i < run->ncomplete; i++)
	{
		const struct backup_summary *s = run->kept[i].summary;

		if (run->kept[i].good && s->start_lsn >= window_lsn &&
			choose_leads_to(s, history))
			return s;
	}
	return NULL;
}

static bool
has_backup_on(const struct run *run, uint32_t timeline)
{
	for (size_t i = 0; i < run->ncomplete; i++)
		if (run->kept[i].summary->timeline == timeline)
			return true;
	return false;
}

/*
 * It may have been left before the window; or what leads to it is lost.  Of
 * one that has expired only the history stays.
 */
static enum status
tell_unreachable(struct run *run, uint32_t timeline, struct err *err)
{
	struct archive_range range;
	char subject[24];

	if (archive_look(&run->session->repo, timeline,
					 run->kept[0].summary->wal_segment_size, 0, ARCHIVE_OPEN,
					 &range, err) != ST_OK)
		return err->status;
	if (!range.any && !range.gap)
		return ST_OK;
	(void) snprintf(subject, sizeof(subject), "timeline %" PRIu32, timeline);
	if (histories_lack(&run->histories, timeline) &&
		!has_backup_on(run, timeline))
		tell(run, VERIFY_DEFECT, "history-missing", subject,
			 "its history is not in the archive, so that no backup leads to "
			 "it");
	else
		tell(run, VERIFY_NOTE, "no-backup", subject,
			 "no backup in the window leads to it");
	return ST_OK;
}

/* Timelines that cannot be followed at all. */
static void
tell_unreadable_histories(struct run *run)
{
	char subject[24];

	for (size_t i = 0; i < run->histories.nflaws; i++)
	{
		const struct history_flaw *flaw = &run->histories.flaws[i];

		if (flaw->why.status == ST_MISSING)
			continue;
		(void) snprintf(subject, sizeof(subject), "timeline %" PRIu32,
						flaw->timeline);
		tell(run, VERIFY_DEFECT, "history-unreadable", subject,
			 flaw->why.message);
	}
}

/* From the first backup in the window to the end of one timeline. */
static enum status
verify_timeline(struct run *run, const struct timeline_history *history,
				uint64_t window_lsn, struct err *err)
{
	const struct backup_summary *base = window_base(run, history, window_lsn);
	struct gaps gaps = {.run = run};
	struct wal_span *spans;
	enum status status = ST_OK;
	size_t nspans;

	if (base == NULL)
		return tell_unreachable(run, history->timeline, err);
	spans = calloc(history->nentries, sizeof(*spans));
	if (spans == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	gaps.segment_size = base->wal_segment_size;
	nspans = choose_spans(history, base->timeline, base->start_lsn, UINT64_MAX,
						  base->wal_segment_size, spans);

	/* What it shares with its parent is looked at there. */
	for (size_t i = 0; i < nspans && status == ST_OK; i++)
		if (spans[i].timeline == history->timeline || i + 2 == nspans)
			status = verify_wal_span(&run->session->repo, &spans[i],
									 base->wal_segment_size, doubt_gap, &gaps,
									 &run->counts->wal_files, err);
	free(spans);
	return status;
}

/* Unless that was told already, of each that cannot be read. */
static enum status
tell_no_backup(struct run *run)
{
	char subject[32];

	(void) snprintf(subject, sizeof(subject), "cluster %" PRIu64,
					run->session->repo.system_identifier);
	if (run->counts->defects == 0)
		tell(run, VERIFY_DEFECT, "no-backup", subject,
			 "there is no backup, so that nothing can be restored");
	return ST_OK;
}

static enum status
verify_wal(struct run *run, struct err *err)
{
	const struct keep_timelines timelines = {run->histories.nhistories,
											 run->histories.list};
	uint64_t window_lsn;
	enum status status = verify_backups_wal(run, err);

	if (status != ST_OK)
		return status;
	tell_unreadable_histories(run);
	if (run->ncomplete == 0)
		return tell_no_backup(run);
	(void) keep_backups(&run->options->rules, repo_now_s(&run->session->repo),
						&timelines, run->kept, run->ncomplete);
	window_lsn =
		keep_window_lsn(&run->options->rules, run->kept, run->ncomplete);
	for (size_t i = 0; i < run->histories.nhistories && status == ST_OK; i++)
		status =
			verify_timeline(run, &run->histories.list[i], window_lsn, err);
	return status == ST_OK ? settle(run, err) : status;
}

static enum status
visit_wal(void *arg, const struct store_entry *entry, struct err *err)
{
	struct run *run = arg;
	const char *name = strchr(entry->key, '/') + 1;

	if (verify_is_wal(name))
		return read_content(run, OBJECT_WAL, entry, NULL, err);
	tell(run, VERIFY_NOTE, "foreign", name, "it is no WAL, and not read");
	return ST_OK;
}

static enum status
read_wal(struct run *run, struct err *err)
{
	struct repo *repo = &run->session->repo;
	char prefix[STORE_KEY_MAX];

	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/wal/",
					repo->system_identifier);
	return store_list(repo->store, prefix, NULL, false, visit_wal, run, err);
}

/* --- all -------------------------------------------------------------------
 */

static enum status
prepare(struct run *run, struct err *err)
{
	struct repo *repo = &run->session->repo;
	enum status status = repo_require_cluster(repo, err);

	if (status == ST_OK)
		status = catalog_load(repo, &run->catalog, err);
	if (status == ST_OK)
		status = expect_new(&run->expect, err);
	if (status == ST_OK)
		status = histories_load(repo, &run->histories, err);
	if (status != ST_OK)
		return status;
	run->kept = calloc(run->catalog.nbackups + 1, sizeof(*run->kept));
	if (run->kept == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	if (!run->options->read)
		return ST_OK;
	run->seed = (unsigned) time(NULL);
	verify_state_open(&run->state, run->session, run->options, run->counts);
	return verify_pool_new(run->session, tell_unreadable, run, &run->pool,
						   err);
}

/*
 * An interrupted run leaves a mark, a complete one none.  What is still in
 * doubt is settled in any case.
 */
static enum status
finish_reading(struct run *run, enum status status, struct err *err)
{
	struct err why;

	if (run->pool == NULL)
		return status;
	if (status == ST_OK)
		status = verify_pool_drain(run->pool, err);
	if (settle(run, &why) != ST_OK && status == ST_OK)
	{
		*err = why;
		status = why.status;
	}
	verify_pool_count(run->pool, &run->counts->read_objects,
					  &run->counts->read_bytes);
	verify_state_close(&run->state, run->pool, read_defects, run,
					   status == ST_OK);
	return status;
}

enum status
verify_run(struct session *session, const struct verify_options *options,
		   verify_sink sink, void *arg, struct verify_counts *counts,
		   struct err *err)
{
	struct run run = {.session = session,
					  .options = options,
					  .counts = counts,
					  .sink = sink,
					  .arg = arg};
	enum status status;

	*counts = (struct verify_counts){.backups = 0};
	(void) pthread_mutex_init(&run.lock, NULL);
	status = prepare(&run, err);
	if (status == ST_OK)
		status = read_manifests(&run, err);
	if (status == ST_OK)
		status = verify_packs(&run, err);
	if (status == ST_OK)
		status = verify_wal(&run, err);
	if (status == ST_OK && run.pool != NULL)
		status = read_wal(&run, err);
	status = finish_reading(&run, status, err);
	verify_pool_free(run.pool);
	doubts_free(&run.doubts);
	expect_free(run.expect);
	histories_free(&run.histories);
	free(run.kept);
	catalog_free(&run.catalog);
	(void) pthread_mutex_destroy(&run.lock);
	return status;
}
