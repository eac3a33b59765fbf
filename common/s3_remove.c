/*
 * s3_remove.c - deleting one object, or many with one request
 */
#include "common/s3_store.h"

#include <stdlib.h>
#include <string.h>

#include "common/s3_error.h"

#define BATCH_KEYS 1000 /* what S3 accepts in one request */

/* Room that escaping needs for len bytes, with the terminating zero. */
#define ESCAPED_SIZE(len) ((len) *6 + 1)

#define BODY_HEAD "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define BODY_TAIL "</Delete>"
#define KEY_HEAD  "<Object><Key>"
#define KEY_TAIL  "</Key></Object>"

static const struct err gone = {.status = ST_OK};

struct removal
{
	struct s3_store *store;
	const char *const *keys;
	size_t nkeys;
	bool *told;
	size_t next; /* where the answer's next key is likely found */
	store_removed removed;
	void *arg;
	enum status first; /* of the failures; ST_OK: none */
	struct err *err;   /* its explanation */
};

static void
tell(struct removal *r, const char *key, const struct err *outcome)
{
	if (outcome->status != ST_OK && r->first == ST_OK)
	{
		r->first = outcome->status;
		*r->err = *outcome;
	}
	r->removed(r->arg, key, outcome);
}

/* --- one ----------------------------------------------------------------- */

static enum status
remove_one(struct removal *r, const char *key, struct err *err)
{
	struct s3_call call = {.method = "DELETE",
						   .verb = "delete",
						   .permission = "s3:DeleteObject",
						   .key = key};
	struct s3_answer answer;
	enum status status = s3_call_send(r->store, &call, &answer, err);

	if (status == ST_OK && answer.code != 204 && answer.code != 200 &&
		!s3_error_is(&answer, "NoSuchKey"))
		status = s3_call_refused(r->store, &call, &answer, err);
	s3_answer_free(&answer);
	return status;
}

/*
 * denied: together they were; when the first is, too, the rest need not be
 * tried.
 */
static enum status
remove_singly(struct removal *r, bool denied, struct err *err)
{
	struct err outcome;
	enum status status = ST_OK;

	for (size_t i = 0; i < r->nkeys; i++)
	{
		if (i == 0 || !denied)
			status = remove_one(r, r->keys[i], &outcome);
		if (i == 0)
			denied = denied && status == ST_AUTH;
		if (status == ST_DEADLINE || status == ST_CANCELLED)
		{
			*err = outcome;
			return status;
		}
		tell(r, r->keys[i], status == ST_OK ? &gone : &outcome);
	}
	return ST_OK;
}

/* --- many ---------------------------------------------------------------- */

static char *
put_text(char *out, const char *text)
{
	return stpcpy(out, text);
}

/* Writes text as XML content; returns where it ends. */
static char *
put_escaped(char *out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		switch (*text)
		{
			case '&':
				out = put_text(out, "&amp;");
				break;
			case '<':
				out = put_text(out, "&lt;");
				break;
			case '>':
				out = put_text(out, "&gt;");
				break;
			default:
				*out++ = *text;
		}
	}
	*out = '\0';
	return out;
}

/* The request's body; NULL: out of memory. */
static char *
make_body(const struct removal *r)
{
	const char *prefix = r->store->address.prefix;
	size_t room = sizeof BODY_HEAD + sizeof BODY_TAIL;
	char *body;
	char *pos;

	for (size_t i = 0; i < r->nkeys; i++)
		room += sizeof KEY_HEAD + sizeof KEY_TAIL +
				ESCAPED_SIZE(strlen(prefix) + strlen(r->keys[i]));
	body = malloc(room);
	if (body == NULL)
		return NULL;
	pos = put_text(body, BODY_HEAD);
	for (size_t i = 0; i < r->nkeys; i++)
	{
		pos = put_text(pos, KEY_HEAD);
		pos = put_escaped(pos, prefix);
		pos = put_escaped(pos, r->keys[i]);
		pos = put_text(pos, KEY_TAIL);
	}
	(void) put_text(pos, BODY_TAIL);
	return body;
}

/* The key among those asked for; SIZE_MAX: it is not, or was told already. */
static size_t
find_key(struct removal *r, const char *key)
{
	for (size_t i = 0; i < r->nkeys; i++)
	{
		size_t at = (r->next + i) % r->nkeys;

		if (!r->told[at] && strcmp(r->keys[at], key) == 0)
		{
			r->next = at + 1;
			return at;
		}
	}
	return SIZE_MAX;
}

static void
note_outcome(void *arg, const char *name, bool deleted, const char *code,
			 const char *message)
{
	struct removal *r = arg;
	const char *key = s3_address_relative(&r->store->address, name);
	size_t at = key == NULL ? SIZE_MAX : find_key(r, key);
	struct err outcome = gone;

	if (at == SIZE_MAX)
		return;
	r->told[at] = true;
	if (!deleted && strcmp(code, "NoSuchKey") != 0)
	{
		struct s3_call call = {.verb = "delete", .key = key};
		char what[STORE_KEY_MAX + 64];
		struct s3_question question = {
			.what = s3_call_what(&call, what, sizeof what),
			.permission = "s3:DeleteObject"};

		(void) s3_error_explain_code(&question, code, message, &outcome);
	}
	tell(r, r->keys[at], &outcome);
}

/* What the answer does not mention was perhaps not deleted. */
static enum status
take_answer(struct removal *r, const struct s3_call *call,
			const struct s3_answer *answer, struct err *err)
{
	struct s3_xml_error error;
	enum status status;

	if (s3_xml_parse_error(answer->body, answer->body_len, &error) == ST_OK)
		return s3_call_refused(r->store, call, answer, err);
	status =
		s3_xml_parse_delete(answer->body, answer->body_len, note_outcome, r);
	if (status == ST_NOMEM)
		return err_set(err, ST_NOMEM, "out of memory");
	for (size_t i = 0; i < r->nkeys; i++)
	{
		struct err outcome;

		if (r->told[i])
			continue;
		(void) err_set(&outcome, ST_RETRY,
					   "could not delete \"%s\": the store's answer does not "
					   "mention it",
					   r->keys[i]);
		tell(r, r->keys[i], &outcome);
	}
	return ST_OK;
}

/* *refused: the store does not know this kind of request. */
static enum status
remove_together(struct removal *r, bool *refused, struct err *err)
{
	struct s3_call call = {.method = "POST",
						   .verb = "delete",
						   .permission = "s3:DeleteObject",
						   .subject = "several objects",
						   .params = {{"delete", ""}},
						   .nparams = 1,
						   .answer_max = S3_LISTING_MAX};
	struct s3_answer answer = {.code = 0};
	char *body = make_body(r);
	char digest[S3_MD5_BASE64_SIZE];
	enum status status;

	*refused = false;
	if (body == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	call.body = body;
	call.body_len = strlen(body);
	if (s3_md5_base64(body, call.body_len, digest))
	{
		call.headers[call.nheaders++] =
			(struct s3_header){"content-md5", digest};
		status = s3_call_send(r->store, &call, &answer, err);
		if (status == ST_OK && answer.code == 200)
			status = take_answer(r, &call, &answer, err);
		else if (status == ST_OK)
		{
			/* Ceph asks for the permission on the bucket, S3 for each key. */
			*refused = answer.code == 501 || answer.code == 405 ||
					   s3_error_is(&answer, "AccessDenied");
			status = s3_call_refused(r->store, &call, &answer, err);
		}
	}
	else
	{
		*refused = true;
		status = err_set(err, ST_CONFIG, "libcrypto cannot compute MD5");
	}
	s3_answer_free(&answer);
	free(body);
	return status;
}

static enum status
remove_batch(struct removal *r, struct err *err)
{
	bool refused;
	enum status status;

	if (r->nkeys == 1)
		return remove_singly(r, false, err);
	memset(r->told, 0, r->nkeys * sizeof *r->told);
	r->next = 0;
	status = remove_together(r, &refused, err);
	return refused ? remove_singly(r, err->status == ST_AUTH, err) : status;
}

enum status
s3_remove(struct store *base, const char *const *keys, size_t nkeys,
		  store_removed removed, void *arg, struct err *err)
{
	struct err first;
	bool told[BATCH_KEYS];
	struct removal r = {.store = (struct s3_store *) base,
						.told = told,
						.removed = removed,
						.arg = arg,
						.err = &first};

	for (size_t done = 0; done < nkeys; done += r.nkeys)
	{
		enum status status;

		r.keys = keys + done;
		r.nkeys = nkeys - done < BATCH_KEYS ? nkeys - done : BATCH_KEYS;
		status = remove_batch(&r, err);
		if (status != ST_OK)
			return status;
	}
	if (r.first != ST_OK)
		*err = first;
	return r.first;
}
