/*
 * report.c - the record of what was done
 */
#include "basebackup/report.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/cli.h"
#include "common/log.h"
#include "walship_build.h"

#define NAME_TRIES 5

char *
host_name(char *out)
{
	struct utsname u;

	if (uname(&u) != 0 || !utf8_valid(u.nodename, strlen(u.nodename)))
		u.nodename[0] = '\0';
	(void) snprintf(out, HOST_NAME_MAX_BYTES, "%s", u.nodename);
	return out;
}

static enum status
describe(const struct report *r, struct json *json, const char **text,
		 size_t *len, struct err *err)
{
	char host[HOST_NAME_MAX_BYTES];
	char time_text[21];

	json_begin(json);
	json_int(json, "format", 1);
	json_text(json, "kind", r->kind);
	json_text(json, "outcome", r->failed == NULL ? "ok" : "failed");
	json_text(json, "start_time", time_format(r->start_time, time_text));
	json_text(json, "end_time", time_format(r->end_time, time_text));
	json_text(json, "host", host_name(host));
	json_text(json, "walship_version", WALSHIP_VERSION);
	if (r->backup_id != NULL)
		json_text(json, "backup", r->backup_id);
	else
		json_null(json, "backup");
	if (r->failed == NULL)
		json_text(json, "message", "");
	else if (utf8_valid(r->failed->message, strlen(r->failed->message)))
		json_text(json, "message", r->failed->message);
	else
		json_text(json, "message", status_name(r->failed->status));
	if (r->members != NULL)
		r->members(r->arg, json);
	return json_done(json, text, len, err);
}

enum status
report_put(struct repo *repo, const struct report *report, struct err *err)
{
	struct json *json = NULL;
	const char *text;
	size_t len;
	enum status status = json_new(&json, err);

	if (status == ST_OK)
		status = describe(report, json, &text, &len, err);
	for (int i = 0; status == ST_OK; i++)
	{
		char name[OBJECT_NAME_MAX + 1];

		repo_report_name(name, report->end_time + i, report->kind);
		status = repo_put_bytes(repo, OBJECT_REPORT, name, text, len, err);
		if (status != ST_EXISTS || i + 1 == NAME_TRIES)
			break;
		status = ST_OK;
	}
	json_free(json);
	return status;
}

void
report_put_or_tell(struct repo *repo, const struct report *report)
{
	struct err err;

	if (report_put(repo, report, &err) == ST_OK)
		return;
	(void) err_context(&err, "could not store the report");
	if (err.status == ST_AUTH)
		log_debug("%s", err.message);
	else
		log_err_warning(&err);
}
