/*
 * report.h - the record of what was done: an object that nothing depends on
 */
#ifndef BASEBACKUP_REPORT_H
#define BASEBACKUP_REPORT_H

#include <stdint.h>

#include "basebackup/json.h"
#include "common/err.h"
#include "common/repo.h"
#include "common/session.h"

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

/* The JSON object; *text lives until json is used again. */
extern enum status
report_format(const struct report *report, struct json *json,
			  const char **text, size_t *len, struct err *err) ERR_CHECK;

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

/*
 * Gives it to notify_command, if one is set: the report's own object, with the
 * members system_identifier (a string; null if cluster is 0) and repository
 * in front.  Waits for its end, for NOTIFY_LIMIT_MS at most; what goes wrong
 * is a warning.  report_put_or_tell does that by itself where somebody waits
 * for news: backup, expire, verify, drill.
 */
extern void report_notify(const struct config *cfg, uint64_t cluster,
						  const struct report *report);

/*
 * The same about something that failed before there was more to say; stored,
 * too, if the repository of a known cluster is open.  Without a configuration
 * there is nobody to tell.
 */
extern void report_failure(struct session *session, const char *kind,
						   int64_t start_time, const struct err *failed);

/* session_open, whose failure is told so. */
extern enum status
report_session_open(struct session *session, const struct cli_common *common,
					const char *kind, struct err *err) ERR_CHECK;

/* This host's name, UTF-8; out has HOST_NAME_MAX_BYTES. */
extern char *host_name(char *out);

#endif
