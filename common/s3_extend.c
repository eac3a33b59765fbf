/*
 * s3_extend.c - locking an object for longer
 *
 * S3's PutObjectRetention of the current version: objects are never
 * rewritten, so that is the one.  A lock that ends later must not be
 * shortened, and S3 refuses to; then the lock is looked at.
 */
#include "common/s3_store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_S INT64_C(86400)

/* Is the object locked until then at least? */
static bool
locked_until(struct s3_store *store, const char *key, int64_t until)
{
	struct s3_call call = {.method = "GET",
						   .verb = "get the retention of",
						   .permission = "s3:GetObjectRetention",
						   .key = key,
						   .params = {{"retention", ""}},
						   .nparams = 1};
	struct s3_answer answer;
	struct err err;
	int64_t found = 0;
	bool locked =
		s3_call_send(store, &call, &answer, &err) == ST_OK &&
		answer.code == 200 &&
		s3_xml_parse_retention(answer.body, answer.body_len, &found) == ST_OK;

	s3_answer_free(&answer);
	return locked && found >= until;
}

enum status
s3_extend(struct store *base, const char *key, struct err *err)
{
	struct s3_store *store = (struct s3_store *) base;
	struct s3_call call = {.method = "PUT",
						   .verb = "extend the retention of",
						   .permission = "s3:PutObjectRetention",
						   .key = key,
						   .may_be_missing = true,
						   .params = {{"retention", ""}},
						   .nparams = 1};
	int64_t until = (int64_t) time(NULL) + store->options.lock.days * DAY_S;
	struct s3_body_checksum checksum;
	char iso[S3_ISO_TIME_SIZE];
	struct s3_answer answer;
	char body[256];
	enum status status;

	if (!s3_options_locks(&store->options, key))
		return ST_OK;
	if (!s3_time_format_iso(until, iso))
		return err_set(err, ST_CONFIG, "this host's clock is not set");
	(void) snprintf(body, sizeof(body),
					"<Retention "
					"xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
					"<Mode>%s</Mode><RetainUntilDate>%s</RetainUntilDate>"
					"</Retention>",
					store->options.lock.mode, iso);
	call.body = body;
	call.body_len = strlen(body);
	s3_call_add_checksum(store, &call, &checksum);
	status = s3_call_send(store, &call, &answer, err);
	if (status == ST_OK && answer.code != 200)
	{
		status = s3_call_refused(store, &call, &answer, err);
		if (status == ST_AUTH && locked_until(store, key, until))
			status = ST_OK;
	}
	s3_answer_free(&answer);
	return status;
}
