/*
 * report.h - the record of what was done: an object that nothing depends on
 */
#ifndef BASEBACKUP_REPORT_H
#define BASEBACKUP_REPORT_H

#include <stdint.h>

#include "basebackup/json.h"
#include "common/err.h"
#include "common/repo.h"

#define HOST_NAME_MAX_BYTES 256

struct report
{
	const char *kind; /* "backup", "restore", ... */
	int64_t start_time;
	int64_t end_time;
	const char *backup_id;                         /* NULL: none */
	const struct err *failed;                      /* NULL: it went well */
	void (*members)(void *arg, struct json *json); /* more, or NULL */
	void *arg;
};

/*
 * Stores it.  A name that is taken is tried again a second later in name.
 * Whoever cannot store it only has a debug line to write.
 */
extern enum status report_put(struct repo *repo, const struct report *report,
							  struct err *err) ERR_CHECK;

/*
 * The same, told as a warning if it fails; not where we may only read: nothing
 * depends on a report.
 */
extern void report_put_or_tell(struct repo *repo, const struct report *report);

/* This host's name, UTF-8; out has HOST_NAME_MAX_BYTES. */
extern char *host_name(char *out);

#endif
