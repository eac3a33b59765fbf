/*
 * status_reports.h - how the latest runs of each kind went
 */
#ifndef BASEBACKUP_STATUS_REPORTS_H
#define BASEBACKUP_STATUS_REPORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/report_read.h"
#include "basebackup/usage.h"
#include "common/err.h"
#include "common/repo.h"

/* In the order of report_kind_name. */
enum report_kind
{
	REPORTS_BACKUP,
	REPORTS_VERIFY,
	REPORTS_DRILL,
	REPORTS_EXPIRE,
	REPORTS_RESTORE,
	REPORTS_EXTRACT,
	REPORTS_KINDS
};

/* Failures are looked for among the reports of the last days, and so many. */
#define REPORTS_DAYS 8
#define REPORTS_READ 64

struct status_reports
{
	struct
	{
		bool any;
		struct report_read last;
		bool failed;                /* one of the last days has */
		struct report_read failure; /* the latest of those */
	} kinds[REPORTS_KINDS];
	uint64_t unreadable;
	struct err why;   /* of the first that is */
	uint64_t to_come; /* of a time more than a day ahead: they do not count */
};

/*
 * Lists the reports, which count for usage, and, if read is set, reads those
 * that matter.  A report that cannot be read is counted; only a store that
 * fails is a failure.
 */
extern enum status
status_reports_load(struct repo *repo, bool read, int64_t now_s,
					struct status_reports *out, struct usage *usage,
					struct err *err) ERR_CHECK;

extern const char *report_kind_name(enum report_kind kind);

#endif
