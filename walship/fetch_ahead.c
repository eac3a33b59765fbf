/*
 * fetch_ahead.c - what one call of wal-fetch has to do with fetching ahead
 */
#include "walship/fetch_ahead.h"

#include <sys/stat.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "walship/datadir.h"
#include "walship/fetch_spool.h"
#include "walship/prefetch.h"
#include "walship/worker.h"

static const char SPOOL_KIND[] = "fetch";

/* For a segment that the worker is fetching; then the call does it itself. */
#define WAIT_MS 3000
#define STEP_MS 3

/* A standby that follows finds one at a time: nothing lies ahead of it. */
#define STREAK_STANDBY 2

void
fetch_ahead_open(struct fetch_ahead *ahead, const struct config *cfg,
				 const struct spool *outer, uint64_t system_identifier,
				 const char *datadir, enum fetch_mode mode)
{
	*ahead = (struct fetch_ahead){.spool = {.fd = -1}};
	if (cfg->fetch_ahead_bytes == 0 || datadir == NULL ||
		(mode != FETCH_RECOVERY && mode != FETCH_STANDBY) ||
		(!datadir_has(datadir, "recovery.signal") &&
		 !datadir_has(datadir, "standby.signal")))
		return;
	spool_open_below(&ahead->spool, outer, SPOOL_KIND, datadir);
	if (ahead->spool.fd < 0)
		return;
	ahead->cfg = cfg;
	ahead->system_identifier = system_identifier;
	ahead->datadir = datadir;
	ahead->mode = mode;
	fetch_note_load(&ahead->note, &ahead->spool);
}

void
fetch_ahead_close(struct fetch_ahead *ahead)
{
	spool_close(&ahead->spool);
	ahead->cfg = NULL;
}

static void
note(struct fetch_ahead *ahead, const struct wal_name *name,
	 enum fetch_outcome outcome)
{
	struct fetch_note *n = &ahead->note;

	n->named = true;
	n->name = *name;
	n->outcome = outcome;
	if (outcome == NOTE_FOUND && n->streak < FETCH_STREAK_MAX)
		n->streak++;
	else if (outcome == NOTE_ABSENT || outcome == NOTE_FAILED)
		n->streak = 0;
	fetch_note_save(n, &ahead->spool);
}

/*
 * The last one that was fetched ahead is usually the last one archived, and a
 * server asks for that again at the end of recovery.
 */
static bool
is_last(const struct fetch_ahead *ahead, const struct wal_name *name)
{
	uint32_t size = ahead->note.segment_size;
	struct wal_name next;
	uint64_t segno;

	if (size == 0 || !wal_name_segno(name, size, &segno) ||
		worker_runs(&ahead->spool))
		return false;
	wal_name_segment(&next, name->timeline, segno + 1, size);
	return !fetch_spool_has(&ahead->spool, &next);
}

bool
fetch_ahead_take(struct fetch_ahead *ahead, const struct wal_name *name,
				 const char *path)
{
	struct deadline deadline = deadline_in(WAIT_MS, cli_cancel());
	struct err ignored;
	bool coming;

	if (ahead->cfg == NULL)
		return false;
	do
	{
		/* In this order: what came between the two is seen as ready. */
		coming = fetch_spool_comes(&ahead->spool, name) &&
				 worker_runs(&ahead->spool);
		if (fetch_spool_has(&ahead->spool, name) &&
			fetch_spool_take(&ahead->spool, name, path,
							 ahead->system_identifier, is_last(ahead, name),
							 &ahead->note.segment_size))
		{
			note(ahead, name, NOTE_FOUND);
			return true;
		}
	} while (coming && deadline_sleep(&deadline, STEP_MS, &ignored) == ST_OK);
	return false;
}

/* Is there reason to believe that more lies ahead? */
static bool
worthwhile(const struct fetch_ahead *ahead)
{
	const struct fetch_note *n = &ahead->note;

	return n->named && n->segment_size != 0 &&
		   n->segment_size <= (uint64_t) ahead->cfg->fetch_ahead_bytes &&
		   (n->streak >= STREAK_STANDBY ||
			(n->streak > 0 && ahead->mode == FETCH_RECOVERY)) &&
		   !fetch_spool_paused(&ahead->spool);
}

static struct prefetch_job
make_job(struct fetch_ahead *ahead)
{
	return (struct prefetch_job){.cfg = ahead->cfg,
								 .system_identifier = ahead->system_identifier,
								 .spool = &ahead->spool,
								 .datadir = ahead->datadir,
								 .note = ahead->note};
}

void
fetch_ahead_begin(struct fetch_ahead *ahead, const struct wal_name *name)
{
	struct prefetch_job job;

	if (ahead->cfg == NULL)
		return;
	note(ahead, name, NOTE_ASKING);
	if (!worthwhile(ahead))
		return;
	job = make_job(ahead);
	ahead->inside = !prefetch_start(&job);
}

void
fetch_ahead_end(struct fetch_ahead *ahead, const struct wal_name *name,
				const char *path, enum fetch_finding finding)
{
	struct prefetch_job job;
	struct stat st;

	if (ahead->cfg == NULL)
		return;
	if (finding == FOUND && stat(path, &st) == 0 && st.st_size > 0 &&
		wal_segment_size_valid((uint64_t) st.st_size))
		ahead->note.segment_size = (uint32_t) st.st_size;
	note(ahead, name,
		 finding == FOUND           ? NOTE_FOUND
		 : finding == FOUND_NOTHING ? NOTE_ABSENT
									: NOTE_FAILED);
	if (finding != FOUND || !ahead->inside || !worthwhile(ahead))
		return;
	job = make_job(ahead);
	prefetch_some(&job);
}

void
fetch_ahead_learn(struct fetch_ahead *ahead, uint32_t timeline)
{
	if (ahead->cfg == NULL || ahead->note.target == timeline)
		return;
	ahead->note.target = timeline;
	fetch_note_save(&ahead->note, &ahead->spool);
}

void
fetch_ahead_over(const struct spool *outer, const char *datadir)
{
	struct spool spool;

	spool_open_below(&spool, outer, SPOOL_KIND, datadir);
	fetch_spool_clean(&spool, true);
	spool_close(&spool);
}
