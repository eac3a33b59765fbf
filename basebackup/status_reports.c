/*
 * status_reports.c - how the latest runs of each kind went
 */
#include "basebackup/status_reports.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S INT64_C(86400)

/* Where none can be read, or a kind has not run for very long. */
#define READ_MAX 256

struct listed
{
	int64_t time_s;
	enum report_kind kind;
};

struct lister
{
	size_t prefix_len;
	size_t n, room;
	struct listed *reports; /* oldest first */
	struct usage *usage;
	int64_t latest_s; /* what is later is left out, and counted */
	uint64_t later;
};

const char *
report_kind_name(enum report_kind kind)
{
	static const char *const names[] = {"backup", "verify",  "drill",
										"expire", "restore", "extract"};

	return names[kind];
}

static bool
find_kind(const char *name, enum report_kind *out)
{
	for (int i = 0; i < REPORTS_KINDS; i++)
		if (strcmp(report_kind_name((enum report_kind) i), name) == 0)
		{
			*out = (enum report_kind) i;
			return true;
		}
	return false;
}

static enum status
add_report(void *arg, const struct store_entry *entry, struct err *err)
{
	struct lister *l = arg;
	struct usage_row row = {
		.kind = USAGE_REPORT, .objects = 1, .bytes = entry->stat.size_bytes};
	struct listed report;
	char kind[REPORT_KIND_MAX];

	(void) snprintf(row.storage_class, sizeof(row.storage_class), "%s",
					entry->stat.storage_class);
	usage_add(l->usage, &row);
	if (!report_name_parse(entry->key + l->prefix_len, &report.time_s, kind) ||
		!find_kind(kind, &report.kind))
		return ST_OK;

	/* It would be the last for years, whatever happens. */
	if (report.time_s > l->latest_s)
	{
		l->later++;
		return ST_OK;
	}
	if (l->n == l->room)
	{
		size_t room = l->room == 0 ? 64 : l->room * 2;
		struct listed *grown = reallocarray(l->reports, room, sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		l->reports = grown;
		l->room = room;
	}
	l->reports[l->n++] = report;
	return ST_OK;
}

static enum status
take_report(struct repo *repo, const struct listed *report,
			struct status_reports *out, struct err *err)
{
	char object[OBJECT_NAME_MAX + 1];
	struct report_read read;
	enum status status;

	repo_report_name(object, report->time_s, report_kind_name(report->kind));
	status = report_read(repo, strrchr(object, '/') + 1, &read, err);
	if (status == ST_CORRUPT || status == ST_AUTH || status == ST_CONFIG)
	{
		if (out->unreadable++ == 0)
			out->why = *err;
		return ST_OK;
	}
	if (status != ST_OK)
		return status == ST_MISSING ? ST_OK : status;
	if (!out->kinds[report->kind].any)
		out->kinds[report->kind].last = read;
	out->kinds[report->kind].any = true;
	if (!read.ok && !out->kinds[report->kind].failed)
	{
		out->kinds[report->kind].failed = true;
		out->kinds[report->kind].failure = read;
	}
	return ST_OK;
}

enum status
status_reports_load(struct repo *repo, bool read, int64_t now_s,
					struct status_reports *out, struct usage *usage,
					struct err *err)
{
	struct lister l = {.usage = usage, .latest_s = now_s + DAY_S};
	char prefix[STORE_KEY_MAX];
	size_t taken = 0;
	enum status status;

	*out = (struct status_reports){.unreadable = 0};
	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/report/",
					repo->system_identifier);
	l.prefix_len = strlen(prefix);
	status = store_list(repo->store, prefix, NULL, true, add_report, &l, err);
	for (size_t i = l.n; read && status == ST_OK && i-- > 0;)
	{
		const struct listed *r = &l.reports[i];
		bool recent =
			now_s - r->time_s <= REPORTS_DAYS * DAY_S && taken < REPORTS_READ;

		if (out->kinds[r->kind].any && !recent)
			continue;
		if (taken == READ_MAX)
			break;
		taken++;
		status = take_report(repo, r, out, err);
	}
	free(l.reports);
	out->to_come = l.later;
	if (status != ST_OK)
		return err_context(err, "could not read the reports");
	return ST_OK;
}
