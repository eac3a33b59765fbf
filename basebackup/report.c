/*
 * report.c - the record of what was done
 */
#include "basebackup/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "common/cli.h"
#include "common/line.h"
#include "common/log.h"
#include "common/notify.h"
#include "walship_build.h"

/* Seconds after its own that a report may take, where others are named so. */
#define NAME_TRIES 60

/* Nobody waits for it as for the work itself. */
#define STORE_LIMIT_MS 60000

/* After a signal nobody waits longer for the last words. */
#define CANCELLED_LIMIT_MS 5000

char *
host_name(char *out)
{
	struct utsname u;

	if (uname(&u) != 0 || !utf8_valid(u.nodename, strlen(u.nodename)))
		u.nodename[0] = '\0';
	(void) snprintf(out, HOST_NAME_MAX_BYTES, "%s", u.nodename);
	return out;
}

enum status
report_format(const struct report *r, struct json *json, const char **text,
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
		status = report_format(report, json, &text, &len, err);
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

/* --- telling -------------------------------------------------------------
 */

/* What stands in front of the report's members; *out is to be freed. */
static enum status
make_notice(const struct config *cfg, uint64_t cluster,
			const struct report *report, char **out, size_t *out_len,
			struct err *err)
{
	struct line head = {.len = 0};
	struct json *json = NULL;
	const char *body;
	char number[32];
	char *text;
	size_t len;
	enum status status = json_new(&json, err);

	if (status == ST_OK)
		status = report_format(report, json, &body, &len, err);
	if (status == ST_OK)
	{
		(void) snprintf(number, sizeof(number), "\"%" PRIu64 "\"", cluster);
		line_put(&head, "{\"system_identifier\":");
		line_put(&head, cluster != 0 ? number : "null");
		line_put(&head, ",\"repository\":");
		line_put_json(&head, cfg->repository != NULL ? cfg->repository : "");
		line_put(&head, ",");

		/* Its own brace goes. */
		text = malloc(head.len + len - 1);
		if (text == NULL)
			status = err_set(err, ST_NOMEM, "out of memory");
		else
		{
			memcpy(text, head.text, head.len);
			memcpy(text + head.len, body + 1, len - 1);
			*out = text;
			*out_len = head.len + len - 1;
		}
	}
	json_free(json);
	return status;
}

void
report_notify(const struct config *cfg, uint64_t cluster,
			  const struct report *report)
{
	bool cancelled = *cli_cancel() != 0;
	struct deadline d =
		deadline_in(cancelled ? CANCELLED_LIMIT_MS : NOTIFY_LIMIT_MS,
					cancelled ? NULL : cli_cancel());
	char *text = NULL;
	size_t len = 0;
	struct err err;
	enum status status;

	if (cfg->notify_command == NULL)
		return;
	status = make_notice(cfg, cluster, report, &text, &len, &err);
	if (status == ST_OK)
		status = notify_run(cfg->notify_command, text, len, &d, &err);
	free(text);
	if (status == ST_OK)
		return;
	(void) err_context(&err, "could not tell of the outcome");
	log_err_warning(&err);
}

/*
 * Of no cluster there is no place for it; nor of one that was mistyped: a
 * report would make the repository seem to hold it.
 */
static enum status
put_if_held(struct repo *repo, const struct report *report, struct err *err)
{
	bool held = false;
	enum status status = ST_OK;

	if (repo->system_identifier != 0)
		status = repo_holds_cluster(repo, &held, err);
	return status == ST_OK && held ? report_put(repo, report, err) : status;
}

void
report_failure(struct session *session, const char *kind, int64_t start_time,
			   const struct err *failed)
{
	const struct report report = {.kind = kind,
								  .start_time = start_time,
								  .end_time = (int64_t) time(NULL),
								  .failed = failed};
	struct repo *repo = &session->repo;
	uint64_t cluster = repo->system_identifier;
	struct err err;

	if (session->cfg == NULL)
		return;
	if (repo->store != NULL)
	{
		store_set_deadline(repo->store, deadline_in(STORE_LIMIT_MS, NULL));
		/* What failed is told; this may well be the same again. */
		if (put_if_held(repo, &report, &err) != ST_OK)
			log_debug("could not store the report: %s", err.message);
	}
	report_notify(session->cfg, cluster != 0 ? cluster : session->cfg->cluster,
				  &report);
}

enum status
report_session_open(struct session *session, const struct cli_common *common,
					const char *kind, struct err *err)
{
	const int64_t started = (int64_t) time(NULL);

	if (session_configure(session, common, err) != ST_OK)
		return err->status;
	if (session_open_repo(session, common, 0, err) == ST_OK)
		return ST_OK;
	report_failure(session, kind, started, err);
	session_close(session);
	return err->status;
}

static bool
is_awaited(const char *kind)
{
	static const char *const kinds[] = {"backup", "expire", "verify", "drill"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i], kind) == 0)
			return true;
	return false;
}

void
report_put_or_tell(struct repo *repo, const struct report *report)
{
	struct err err;

	if (put_if_held(repo, report, &err) != ST_OK)
	{
		(void) err_context(&err, "could not store the report");
		if (err.status == ST_AUTH)
			log_debug("%s", err.message);
		else
			log_err_warning(&err);
	}
	if (is_awaited(report->kind))
		report_notify(repo->cfg, repo->system_identifier, report);
}
