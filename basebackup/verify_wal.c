/*
 * verify_wal.c - gaps in the archived WAL
 */
#include "basebackup/verify_wal.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "basebackup/archive.h"
#include "basebackup/expire.h"

bool
verify_is_wal(const char *name)
{
	char key[OBJECT_NAME_MAX + 1];
	struct wal_name wal;
	const char *base = strrchr(name, '/') + 1;

	if (!expire_parse_wal(base, &wal))
		return false;
	(void) snprintf(key, sizeof(key), "wal/%08" PRIX32 "/%s", wal.timeline,
					base);
	return strcmp(key, name) == 0;
}

struct walk
{
	struct wal_span span;
	uint32_t segment_size;
	uint64_t next; /* the segment that should come */
	bool done;
	gap_sink sink;
	void *arg;
	uint64_t files;
};

static enum status
visit(void *arg, const struct store_entry *entry, struct err *err)
{
	struct walk *w = arg;
	struct err ignored;
	struct wal_name name;
	uint64_t segno;

	if (wal_name_parse(&name, strrchr(entry->key, '/') + 1, &ignored) !=
			ST_OK ||
		name.kind != WAL_SEGMENT || name.timeline != w->span.timeline ||
		!wal_name_segno(&name, w->segment_size, &segno) || segno < w->next)
		return ST_OK;
	if (segno > w->span.last)
	{
		w->done = true;
		return err_set(err, ST_EXISTS, "seen enough");
	}
	if (segno > w->next)
		w->sink(w->arg, w->span.timeline, w->next, segno - 1);
	w->next = segno + 1;
	w->files++;
	return ST_OK;
}

enum status
verify_wal_span(struct repo *repo, const struct wal_span *span,
				uint32_t segment_size, gap_sink sink, void *arg,
				uint64_t *files, struct err *err)
{
	struct walk w = {.span = *span,
					 .segment_size = segment_size,
					 .next = span->first,
					 .sink = sink,
					 .arg = arg};
	char prefix[STORE_KEY_MAX];
	char after[STORE_KEY_MAX + WAL_NAME_MAX];
	struct wal_name before;
	enum status status;

	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/wal/%08" PRIX32 "/",
					repo->system_identifier, span->timeline);
	if (span->first > 0)
	{
		wal_name_segment(&before, span->timeline, span->first - 1,
						 segment_size);
		(void) snprintf(after, sizeof(after), "%s%s", prefix, before.text);
	}
	status = store_list(repo->store, prefix, span->first > 0 ? after : NULL,
						true, visit, &w, err);
	if (status != ST_OK && !w.done)
		return err_context(err, "could not list the WAL of timeline %" PRIu32,
						   span->timeline);
	if (span->last != ARCHIVE_OPEN && w.next <= span->last)
		sink(arg, span->timeline, w.next, span->last);
	*files += w.files;
	return ST_OK;
}
