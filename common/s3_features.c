/*
 * s3_features.c - what `walship check` asks a bucket
 */
#include "common/s3_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/s3_error.h"

#define PROBE_PREFIX ".walship-probe-"
#define DAY_S        86400

/* A question about the bucket whose answer is a setting, or none. */
struct setting
{
	const char *param; /* "versioning" */
	const char *permission;
	const char *subject;
};

/* Where the store, or our permissions, leave a question open. */
static bool
unanswered(const struct s3_answer *answer)
{
	switch (answer->code)
	{
		case 400:
		case 403:
		case 404:
		case 405:
		case 409:
		case 501:
			return true;
		default:
			return false;
	}
}

/*
 * Asks for one setting.  ST_OK with answer->code 200, or with another code
 * that leaves it open.
 */
static enum status
ask(struct s3_store *store, const struct setting *setting,
	struct s3_answer *answer, struct err *err)
{
	struct s3_call call = {.method = "GET",
						   .verb = "read",
						   .permission = setting->permission,
						   .subject = setting->subject,
						   .params = {{setting->param, ""}},
						   .nparams = 1};
	enum status status = s3_call_send(store, &call, answer, err);

	if (status == ST_OK && answer->code != 200 && !unanswered(answer))
		return s3_call_refused(store, &call, answer, err);
	return status;
}

/* --- versioning and lock --------------------------------------------------
 */

static int64_t
real_ms(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

typedef enum status (*flag_parser)(const char *body, size_t len, bool *flag);

/* Asks for a yes or no; and how far the store's clock is ahead of ours. */
static enum status
ask_flag(struct s3_store *store, const struct setting *setting,
		 flag_parser parse, bool *flag, int64_t *offset_ms, struct err *err)
{
	struct s3_answer answer;
	int64_t before = real_ms();
	enum status status = ask(store, setting, &answer, err);
	int64_t middle = before + (real_ms() - before) / 2;

	*flag = false;
	if (status == ST_OK && answer.code == 200 &&
		parse(answer.body, answer.body_len, flag) != ST_OK)
		status = err_set(err, ST_RETRY,
						 "could not read %s: the answer makes no sense",
						 setting->subject);

	/* The Date header has whole seconds: take the middle of its second. */
	if (status == ST_OK && answer.headers.date_s >= 0)
		*offset_ms = answer.headers.date_s * 1000 + 500 - middle;
	s3_answer_free(&answer);
	return status;
}

/* --- lifecycle ------------------------------------------------------------
 */

struct rules
{
	const char *prefix; /* of the repository */
	int64_t now_s;
	struct store_features *out;
};

static void
note_rule(void *arg, const struct s3_lifecycle_rule *rule)
{
	struct rules *rules = arg;
	size_t ours = strlen(rules->prefix);
	size_t its = strlen(rule->prefix);
	int64_t days = rule->days;

	/* It touches us if one prefix lies within the other. */
	if (strncmp(rules->prefix, rule->prefix, ours < its ? ours : its) != 0)
		return;
	if (rule->date_s >= 0)
	{
		int64_t until = (rule->date_s - rules->now_s) / DAY_S;

		if (until < 0)
			until = 0;
		if (days < 0 || until < days)
			days = until;
	}
	if (days > INT32_MAX)
		days = INT32_MAX;
	if (!rules->out->lifecycle_touches ||
		days < rules->out->lifecycle_min_days)
		rules->out->lifecycle_min_days = (int) days;
	rules->out->lifecycle_touches = true;
}

static enum status
ask_lifecycle(struct s3_store *store, struct store_features *out,
			  struct err *err)
{
	static const struct setting setting = {
		.param = "lifecycle",
		.permission = "s3:GetLifecycleConfiguration",
		.subject = "the bucket's lifecycle rules"};
	struct rules rules = {.prefix = store->address.prefix,
						  .now_s = (int64_t) time(NULL),
						  .out = out};
	struct s3_answer answer;
	enum status status = ask(store, &setting, &answer, err);

	if (status == ST_OK)
		out->lifecycle_known =
			answer.code == 200 ||
			s3_error_is(&answer, "NoSuchLifecycleConfiguration");
	if (status == ST_OK && answer.code == 200 &&
		s3_xml_parse_lifecycle(answer.body, answer.body_len, note_rule,
							   &rules) != ST_OK)
		status = err_set(err, ST_RETRY,
						 "could not read %s: the answer makes no sense",
						 setting.subject);
	s3_answer_free(&answer);
	return status;
}

/* --- conditional put ------------------------------------------------------
 */

static enum status
make_probe_key(char *out, size_t size, struct err *err)
{
	unsigned long long random;

	if (getrandom(&random, sizeof random, 0) != (ssize_t) sizeof random)
		return err_set(err, ST_IO, "could not draw a random number");
	(void) snprintf(out, size, PROBE_PREFIX "%016llx", random);
	return ST_OK;
}

/* Its outcome is in the err already. */
static void
ignore_outcome(void *arg, const char *key, const struct err *outcome)
{
	(void) arg;
	(void) key;
	(void) outcome;
}

/* Two create-only puts of one key: the second must be refused. */
static enum status
probe_put(struct s3_store *store, struct store_features *out, struct err *err)
{
	char key[64];
	const char *keys[] = {key};
	struct err second;
	enum status status = make_probe_key(key, sizeof key, err);
	enum status removed;

	if (status == ST_OK)
		status = s3_put(&store->base, key, "", 0, err);
	if (status != ST_OK)
		return status;
	if (!store->base.asks_first)
	{
		status = s3_put(&store->base, key, "", 0, &second);

		/* Off by now: the store does not know the condition at all. */
		out->conditional_put = !store->base.asks_first && status == ST_EXISTS;
		if (status == ST_EXISTS)
			status = ST_OK;
		if (status != ST_OK)
			*err = second;
	}

	/* Who may only push may leave the probe behind. */
	removed = s3_remove(&store->base, keys, 1, ignore_outcome, NULL, &second);
	if (status == ST_OK && removed != ST_OK && removed != ST_AUTH)
	{
		*err = second;
		status = removed;
	}
	return status;
}

/* --- all -------------------------------------------------------------------
 */

enum status
s3_features(struct store *base, struct store_features *out, struct err *err)
{
	static const struct setting versioning = {
		.param = "versioning",
		.permission = "s3:GetBucketVersioning",
		.subject = "whether the bucket keeps versions"};
	static const struct setting object_lock = {
		.param = "object-lock",
		.permission = "s3:GetBucketObjectLockConfiguration",
		.subject = "whether the bucket has object lock"};
	struct s3_store *store = (struct s3_store *) base;
	struct store_features found = {.settings_known = true};
	enum status status;

	s3_address_text(&store->address, found.endpoint, sizeof found.endpoint);
	status = probe_put(store, &found, err);
	if (status == ST_OK)
		status = ask_flag(store, &versioning, s3_xml_parse_versioning,
						  &found.versioned, &found.clock_offset_ms, err);
	if (status == ST_OK)
		status = ask_flag(store, &object_lock, s3_xml_parse_object_lock,
						  &found.object_lock, &found.clock_offset_ms, err);
	if (status == ST_OK)
		status = ask_lifecycle(store, &found, err);
	if (status == ST_OK)
		*out = found;
	return status;
}
