/*
 * onward.c - how far recovery from a backup can go
 */
#include "basebackup/onward.h"

#include <stdlib.h>

#include "basebackup/archive.h"
#include "basebackup/choose.h"
#include "common/walname.h"

struct looking
{
	struct repo *repo;
	const struct backup_summary *backup;
	uint64_t stop; /* the last segment that the backup needs */
	bool leads_on;
	bool later;
};

/*
 * The first of the spans that holds what the backup does not need itself: the
 * segment after its last one; or that one again, where a newer timeline has
 * begun in it.
 */
static size_t
first_behind(const struct looking *l, struct wal_span *spans, size_t nspans)
{
	size_t i = 0;

	if (nspans > 0 && spans[0].timeline == l->backup->timeline &&
		spans[0].first == l->stop)
	{
		if (spans[0].last == l->stop)
			i = 1;
		else
			spans[0].first++;
	}
	return i;
}

/* The part of one timeline; next: it begins with what has to come next. */
static enum status
look_at(struct looking *l, const struct wal_span *span, bool next,
		struct err *err)
{
	uint32_t size = l->backup->wal_segment_size;
	struct archive_range range;
	enum status status;

	if (next)
	{
		status = archive_look(l->repo, span->timeline, size, span->first,
							  span->first, &range, err);
		if (status != ST_OK)
			return status;
		l->leads_on = range.any || range.partial;
		if (l->leads_on)
			return ST_OK;
	}
	status = archive_look(l->repo, span->timeline, size, span->first,
						  ARCHIVE_OPEN, &range, err);
	if (status == ST_OK && (range.any || range.gap))
		l->later = true;
	return status;
}

static enum status
look_along(struct looking *l, const struct timeline_history *history,
		   struct err *err)
{
	struct wal_span *spans;
	enum status status = ST_OK;
	size_t n;
	size_t first;

	if (!choose_leads_to(l->backup, history))
		return ST_OK;
	spans = calloc(history->nentries, sizeof(*spans));
	if (spans == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	n = choose_spans(history, l->backup->timeline,
					 l->stop * l->backup->wal_segment_size, UINT64_MAX,
					 l->backup->wal_segment_size, spans);
	first = first_behind(l, spans, n);
	for (size_t i = first; status == ST_OK && i < n && !l->leads_on; i++)
		status = look_at(l, &spans[i], i == first, err);
	free(spans);
	return status;
}

enum status
onward_is_barred(struct repo *repo, const struct histories *histories,
				 const struct backup_summary *backup, bool *out,
				 struct err *err)
{
	struct looking l = {
		.repo = repo,
		.backup = backup,
		.stop = wal_segno_before(backup->stop_lsn, backup->wal_segment_size)};
	struct timeline_history root = {.nentries = 0};
	const struct timeline_history *own = NULL;
	enum status status = ST_OK;

	for (size_t i = 0; i < histories->nhistories; i++)
		if (histories->list[i].timeline == backup->timeline)
			own = &histories->list[i];
	if (own == NULL)
	{
		/* Its history file was never archived: nothing came before it. */
		status = timeline_history_root(backup->timeline, &root, err);
		own = &root;
	}

	/* As a rule its own timeline is all. */
	if (status == ST_OK)
		status = look_along(&l, own, err);
	for (size_t i = 0;
		 i < histories->nhistories && status == ST_OK && !l.leads_on; i++)
		if (&histories->list[i] != own)
			status = look_along(&l, &histories->list[i], err);
	if (status == ST_OK)
		*out = !l.leads_on && l.later;
	timeline_history_free(&root);
	return status;
}
