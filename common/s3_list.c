/*
 * s3_list.c - ListObjectsV2
 *
 * A page goes to the caller only when the whole of it has arrived and makes
 * sense: keys inside the prefix and in byte order across pages.  A store that
 * leaves out or repeats keys would otherwise look like a gap in the WAL.
 */
#include "common/s3_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_KEYS 1000

static char *
full_name(const struct s3_store *store, const char *key)
{
	char *out;

	if (asprintf(&out, "%s%s", store->address.prefix, key) < 0)
		return NULL;
	return out;
}

static enum status
parse_page(const struct s3_call *call, const struct s3_answer *answer,
		   struct s3_list_page *page, struct err *err)
{
	char what[STORE_KEY_MAX + 64];
	enum status status = ST_CORRUPT;

	if (answer->body_len > 0)
		status = s3_xml_parse_list(answer->body, answer->body_len, page);
	if (status == ST_OK)
		return ST_OK;
	if (status == ST_NOMEM)
		return err_set(err, ST_NOMEM, "out of memory");
	(void) err_set(err, ST_RETRY, "could not %s: the answer is not a listing",
				   s3_call_what(call, what, sizeof what));
	return err_hint(err, "Whatever answered may be no S3 server. Check "
						 "\"s3_endpoint\" and proxies.");
}

enum status
s3_list_fetch(struct s3_store *store, const struct s3_list_request *request,
			  struct s3_list_page *page, struct err *err)
{
	char max_keys[16];
	char subject[STORE_KEY_MAX + 32];
	char *prefix = full_name(store, request->prefix);
	char *start_after = NULL;
	struct s3_answer answer = {.code = 0};
	enum status status;
	struct s3_call call = {.method = "GET",
						   .verb = "list",
						   .permission = "s3:ListBucket",
						   .subject = subject,
						   .answer_max = S3_LISTING_MAX};
	struct s3_param *next = call.params;

	(void) snprintf(subject, sizeof subject, "what begins with \"%s\"",
					request->prefix);
	(void) snprintf(max_keys, sizeof max_keys, "%u", request->max_keys);
	*next++ = (struct s3_param){"list-type", "2"};
	*next++ = (struct s3_param){"encoding-type", "url"};
	*next++ = (struct s3_param){"max-keys", max_keys};
	*next++ = (struct s3_param){"prefix", prefix};
	if (request->shallow)
		*next++ = (struct s3_param){"delimiter", "/"};
	if (request->token != NULL)
		*next++ = (struct s3_param){"continuation-token", request->token};
	else if (request->start_after != NULL)
	{
		start_after = full_name(store, request->start_after);
		*next++ = (struct s3_param){"start-after", start_after};
	}
	call.nparams = (size_t) (next - call.params);

	if (prefix == NULL ||
		(request->token == NULL && request->start_after != NULL &&
		 start_after == NULL))
		status = err_set(err, ST_NOMEM, "out of memory");
	else
		status = s3_call_send(store, &call, &answer, err);
	if (status == ST_OK && answer.code != 200)
		status = s3_call_refused(store, &call, &answer, err);
	else if (status == ST_OK)
		status = parse_page(&call, &answer, page, err);
	s3_answer_free(&answer);
	free(prefix);
	free(start_after);
	return status;
}

/* --- delivering ---------------------------------------------------------- */

struct listing
{
	struct s3_store *store;
	const char *prefix;
	const char *start_after; /* NULL: none */
	store_lister lister;
	void *arg;
	char last[STORE_KEY_MAX + 1]; /* the greatest delivered, "" at first */
};

static int
by_name(const void *a, const void *b)
{
	const struct s3_list_entry *one = a;
	const struct s3_list_entry *two = b;

	return strcmp(one->name, two->name);
}

/* Objects that other tools left there are nobody's business here. */
static bool
is_ours(const char *key, bool is_prefix)
{
	char text[STORE_KEY_MAX];
	size_t len = strlen(key);

	if (!is_prefix)
		return store_key_valid(key);
	if (len < 2 || len >= sizeof text || key[len - 1] != '/')
		return false;
	memcpy(text, key, len - 1);
	text[len - 1] = '\0';
	return store_key_valid(text);
}

static enum status
deliver_entry(struct listing *l, const struct s3_list_entry *entry,
			  struct err *err)
{
	const char *key = s3_address_relative(&l->store->address, entry->name);
	struct store_entry out = {.key = key, .is_prefix = entry->is_prefix};

	if (key == NULL || strncmp(key, l->prefix, strlen(l->prefix)) != 0)
		return err_set(err, ST_CONFIG,
					   "cannot list what begins with \"%s\": the store "
					   "answers with \"%.256s\"",
					   l->prefix, entry->name);
	if (!is_ours(key, entry->is_prefix))
		return ST_OK;

	/* Where start-after meets a common prefix, stores differ. */
	if (l->start_after != NULL && strcmp(key, l->start_after) <= 0)
		return ST_OK;
	if (l->last[0] != '\0' && strcmp(key, l->last) <= 0)
		return err_set(err, ST_CONFIG,
					   "cannot list what begins with \"%s\": the store lists "
					   "\"%s\" after \"%s\"",
					   l->prefix, key, l->last);
	(void) snprintf(l->last, sizeof l->last, "%s", key);
	if (!entry->is_prefix)
	{
		out.stat.size_bytes = entry->size_bytes;
		out.stat.modified = entry->modified_s;
		memcpy(out.stat.storage_class, entry->storage_class,
			   sizeof out.stat.storage_class);
		out.stat.archived = s3_class_archived(entry->storage_class);
	}
	return l->lister(l->arg, &out, err);
}

/* Keys and common prefixes come in two sequences, each in order. */
static enum status
deliver_page(struct listing *l, struct s3_list_page *page, struct err *err)
{
	enum status status = ST_OK;

	if (page->nentries > 1)
		qsort(page->entries, page->nentries, sizeof page->entries[0], by_name);
	for (size_t i = 0; status == ST_OK && i < page->nentries; i++)
		status = deliver_entry(l, &page->entries[i], err);
	return status;
}

enum status
s3_list(struct store *base, const char *prefix, const char *start_after,
		bool shallow, store_lister lister, void *arg, struct err *err)
{
	struct listing l = {.store = (struct s3_store *) base,
						.prefix = prefix,
						.start_after = start_after,
						.lister = lister,
						.arg = arg};
	struct s3_list_request request = {.prefix = prefix,
									  .start_after = start_after,
									  .shallow = shallow,
									  .max_keys = PAGE_KEYS};
	char *token = NULL;
	bool more = true;
	enum status status = ST_OK;

	while (status == ST_OK && more)
	{
		struct s3_list_page page = {.entries = NULL};

		request.token = token;
		status = s3_list_fetch(l.store, &request, &page, err);
		if (status == ST_OK)
			status = deliver_page(&l, &page, err);
		more = status == ST_OK && page.truncated;
		if (more && token != NULL && strcmp(token, page.next_token) == 0)
			status = err_set(err, ST_CONFIG,
							 "cannot list what begins with \"%s\": the store "
							 "repeats a page",
							 prefix);
		free(token);
		token = page.next_token;
		page.next_token = NULL;
		s3_list_page_free(&page);
	}
	free(token);
	return status;
}
