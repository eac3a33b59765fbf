/*
 * report_read.h - reading reports (common/FORMAT.md, 4.4)
 */
#ifndef BASEBACKUP_REPORT_READ_H
#define BASEBACKUP_REPORT_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/backup_id.h"
#include "common/err.h"
#include "common/repo.h"

#define REPORT_KIND_MAX    16
#define REPORT_MESSAGE_MAX 800
#define REPORT_HOST_MAX    256

/*
 * What is common to all kinds, and what status wants of some.  A number that
 * a report does not have is -1.
 */
struct report_read
{
	char kind[REPORT_KIND_MAX];
	bool ok;
	int64_t start_time; /* seconds since 1970 */
	int64_t end_time;
	char host[REPORT_HOST_MAX];
	char message[REPORT_MESSAGE_MAX]; /* "" if it went well; may be cut */
	char backup_id[BACKUP_ID_MAX];    /* "": none */
	int64_t defects;                  /* of a verify */
	int64_t read_objects;
	int64_t rto_ms; /* of a drill */
	int64_t rpo_ms;
};

/* "<time>-<kind>", the last part of a report's name. */
extern bool report_name_parse(const char *text, int64_t *time_s,
							  char kind[REPORT_KIND_MAX]);

/* Pure.  ST_CORRUPT, ST_NOMEM. */
extern enum status
report_parse(const void *data, size_t len, struct report_read *out,
			 struct err *err) ERR_CHECK;

/* Reads report/<name>; it must be of that name's kind. */
extern enum status
report_read(struct repo *repo, const char *name, struct report_read *out,
			struct err *err) ERR_CHECK;

#endif
