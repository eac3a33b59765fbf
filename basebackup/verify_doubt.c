/*
 * verify_doubt.c - what is missing, until it is certain that something needs
 * it
 */
#include "basebackup/verify_doubt.h"

#include <stdlib.h>
#include <string.h>

#include "basebackup/catalog.h"
#include "basebackup/expect.h"
#include "basebackup/expire.h"

/* --- raising them ----------------------------------------------------------
 */

static enum status
add(struct doubts *doubts, const struct doubt *doubt, const char *subject,
	const char *text, struct err *err)
{
	struct doubt made = *doubt;

	if (doubts->count == doubts->room)
	{
		size_t room = doubts->room == 0 ? 16 : doubts->room * 2;
		struct doubt *grown = reallocarray(doubts->list, room, sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		doubts->list = grown;
		doubts->room = room;
	}
	made.subject = strdup(subject);
	made.text = strdup(text);
	if (made.subject == NULL || made.text == NULL)
	{
		free(made.subject);
		free(made.text);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	doubts->list[doubts->count++] = made;
	return ST_OK;
}

enum status
doubts_add_object(struct doubts *doubts, const char *name, const char *text,
				  bool of_content, struct err *err)
{
	const struct doubt doubt = {.kind = "missing", .of_content = of_content};

	return add(doubts, &doubt, name, text, err);
}

enum status
doubts_add_gap(struct doubts *doubts, const struct wal_name *first,
			   const struct wal_name *last, const char *text, struct err *err)
{
	const struct doubt doubt = {.kind = "wal-gap", .wal = {*first, *last}};

	return add(doubts, &doubt, first->text, text, err);
}

static void
forget(struct doubts *doubts)
{
	for (size_t i = 0; i < doubts->count; i++)
	{
		free(doubts->list[i].subject);
		free(doubts->list[i].text);
	}
	doubts->count = 0;
}

void
doubts_free(struct doubts *doubts)
{
	forget(doubts);
	free(doubts->list);
	doubts->list = NULL;
	doubts->room = 0;
}

/* --- settling them ---------------------------------------------------------
 */

/* What is needed as of now. */
struct look
{
	struct catalog catalog;
	struct expect *expect;
	struct keep_backup *kept;
	struct keep_wal wal;
};

static void
look_free(struct look *look)
{
	expect_free(look->expect);
	free(look->kept);
	catalog_free(&look->catalog);
}

static bool
was_good(const struct doubts_view *view, const char *backup_id)
{
	for (size_t i = 0; i < view->nbefore; i++)
		if (strcmp(view->before[i].summary->id, backup_id) == 0)
			return view->before[i].good;
	return true;
}

static enum status
look_at_backups(struct look *look, const struct doubts_view *view,
				struct err *err)
{
	for (size_t i = 0; i < look->catalog.nbackups; i++)
	{
		const struct catalog_backup *b = &look->catalog.backups[i];
		enum status status;

		if (b->state != BACKUP_COMPLETE)
			continue;
		status = expect_add_manifest(look->expect, &view->session->repo, b->id,
									 err);
		/* What is wrong with a manifest itself is told elsewhere. */
		if (status == ST_MISSING || status == ST_CORRUPT ||
			status == ST_CONFIG)
			continue;
		if (status != ST_OK)
			return status;
		look->kept[look->wal.nbackups++] =
			(struct keep_backup){.summary = &b->summary,
								 .pinned = b->keep,
								 .good = was_good(view, b->id)};
		look->wal.segment_size = b->summary.wal_segment_size;
	}
	return ST_OK;
}

static enum status
look_again(struct look *look, const struct doubts_view *view, struct err *err)
{
	const struct keep_timelines timelines = {view->histories->nhistories,
											 view->histories->list};
	struct repo *repo = &view->session->repo;
	enum status status = catalog_load(repo, &look->catalog, err);

	if (status == ST_OK)
		status = expect_new(&look->expect, err);
	if (status != ST_OK)
		return status;
	look->kept = calloc(look->catalog.nbackups + 1, sizeof(*look->kept));
	if (look->kept == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = look_at_backups(look, view, err);
	if (status != ST_OK || look->wal.nbackups == 0)
		return status;
	look->wal.backups = look->kept;
	(void) keep_backups(view->rules, repo_now_s(repo), &timelines, look->kept,
						look->wal.nbackups);
	look->wal.window_lsn =
		keep_window_lsn(view->rules, look->kept, look->wal.nbackups);
	return ST_OK;
}

static bool
wal_needed(const struct look *look, const struct wal_name *wal)
{
	return look->wal.nbackups > 0 && keep_wal_needed(&look->wal, wal);
}

static bool
is_certain(const struct look *look, const struct doubt *doubt)
{
	const char *slash = strrchr(doubt->subject, '/');
	struct wal_name wal;
	char id[BACKUP_ID_MAX];
	enum object_kind kind;
	uint32_t n;

	if (slash == NULL)
		return wal_needed(look, &doubt->wal[0]) ||
			   wal_needed(look, &doubt->wal[1]);
	if (expect_parse_name(doubt->subject, id, &kind, &n))
		return expect_find(look->expect, id, kind, n) != NULL;
	return !expire_parse_wal(slash + 1, &wal) || wal_needed(look, &wal);
}

enum status
doubts_settle(struct doubts *doubts, const struct doubts_view *view,
			  doubt_sink sink, void *arg, struct err *err)
{
	struct look look = {.expect = NULL};
	enum status status;

	if (doubts->count == 0)
		return ST_OK;
	status = look_again(&look, view, err);
	for (size_t i = 0; i < doubts->count; i++)
	{
		const struct doubt *doubt = &doubts->list[i];

		if (status != ST_OK || is_certain(&look, doubt))
			sink(arg, doubt);
	}
	forget(doubts);
	look_free(&look);
	return status;
}
