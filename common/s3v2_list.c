/*
 * s3v2_list.c - ListObjects, as libs3 knows it
 *
 * A page goes to the caller only when the whole of it has arrived.
 */
#include "common/s3v2_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/s3_deliver.h"

#define PAGE_KEYS     1000
#define PAGE_KEYS_MAX 10000 /* from a store that sends too many */

struct fetch
{
	struct s3v2_call call; /* first */
	struct s3_list_page page;
	size_t room;
};

static bool
add_entry(struct fetch *f, const char *name,
		  const S3ListBucketContent *content)
{
	struct s3_list_page *page = &f->page;
	struct s3_list_entry *entry;

	if (page->nentries > PAGE_KEYS_MAX)
		return false;
	if (page->nentries == f->room)
	{
		size_t room = f->room == 0 ? 64 : 2 * f->room;

		entry = realloc(page->entries, room * sizeof *entry);
		if (entry == NULL)
			return false;
		page->entries = entry;
		f->room = room;
	}
	entry = &page->entries[page->nentries];
	memset(entry, 0, sizeof *entry);
	entry->name = strdup(name);
	entry->is_prefix = content == NULL;
	if (content != NULL)
	{
		entry->size_bytes = content->size;
		entry->modified_s = content->lastModified;
	}
	page->nentries += entry->name != NULL;
	return entry->name != NULL;
}

/* libs3 calls it for parts of a page, as it reads them. */
static S3Status
on_part(int truncated, const char *next_marker, int nkeys,
		const S3ListBucketContent *keys, int nprefixes, const char **prefixes,
		void *arg)
{
	struct fetch *f = arg;
	bool ok = true;

	f->call.moved_ms = clock_now_ms();
	f->page.truncated = truncated != 0;
	for (int i = 0; ok && i < nkeys; i++)
		ok = add_entry(f, keys[i].key, &keys[i]);
	for (int i = 0; ok && i < nprefixes; i++)
		ok = add_entry(f, prefixes[i], NULL);
	if (ok && next_marker != NULL && *next_marker != '\0')
	{
		free(f->page.next_token);
		f->page.next_token = strdup(next_marker);
		ok = f->page.next_token != NULL;
	}
	if (ok)
		return S3StatusOK;
	f->call.status =
		f->page.nentries > PAGE_KEYS_MAX
			? err_set(f->call.err, ST_CONFIG,
					  "cannot list: the store sends more than it was asked "
					  "for")
			: err_set(f->call.err, ST_NOMEM, "out of memory");
	return S3StatusAbortedByCallback;
}

static enum status
fetch_page(struct s3v2_store *store, struct fetch *f, const char *prefix,
		   const char *marker, bool shallow, struct err *err)
{
	S3ListBucketHandler handler = {s3v2_response, on_part};
	S3RequestContext *context;
	enum status status = s3v2_begin(store, &f->call, &context, err);

	if (status != ST_OK)
		return status;
	S3_list_bucket(&store->bucket, prefix, marker, shallow ? "/" : NULL,
				   PAGE_KEYS, context, &handler, f);
	status = s3v2_finish(store, &f->call, context, err);
	if (status == ST_OK && f->call.result != S3StatusOK)
		status = s3v2_explain(store, &f->call, err);

	/* To libs3 any document without entries is an empty listing. */
	if (status == ST_OK && f->page.nentries == 0 &&
		f->call.request_id[0] == '\0')
		status = err_set(err, ST_RETRY,
						 "could not list %s: an empty answer without a "
						 "request id",
						 f->call.subject);
	return status;
}

/*
 * Where the next page begins.  Only a shallow listing is told; otherwise it is
 * behind the last name, which a sorted page has at its end.
 */
static enum status
next_marker(const struct fetch *f, const char *subject, char **marker,
			struct err *err)
{
	const struct s3_list_page *page = &f->page;
	const char *next = page->next_token;
	char *copy;

	if (next == NULL && page->nentries > 0)
		next = page->entries[page->nentries - 1].name;
	if (next == NULL || (*marker != NULL && strcmp(next, *marker) <= 0))
		return err_set(err, ST_CONFIG,
					   "cannot list %s: the store repeats a page", subject);
	copy = strdup(next);
	if (copy == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	free(*marker);
	*marker = copy;
	return ST_OK;
}

static enum status
list_pages(struct s3v2_store *store, struct s3_delivery *delivery,
		   const char *prefix, char **marker, bool shallow, struct err *err)
{
	char subject[STORE_KEY_MAX + 32];
	enum status status = ST_OK;
	bool more = true;

	(void) snprintf(subject, sizeof subject, "what begins with \"%s\"",
					delivery->prefix);
	while (status == ST_OK && more)
	{
		struct fetch f = {.call = {.verb = "list",
								   .subject = subject,
								   .permission = "s3:ListBucket"}};

		status = fetch_page(store, &f, prefix, *marker, shallow, err);
		if (status == ST_OK)
			status = s3_deliver_page(delivery, &f.page, err);
		more = status == ST_OK && f.page.truncated;
		if (more)
			status = next_marker(&f, subject, marker, err);
		s3_list_page_free(&f.page);
	}
	return status;
}

enum status
s3v2_list(struct store *base, const char *prefix, const char *start_after,
		  bool shallow, store_lister lister, void *arg, struct err *err)
{
	struct s3v2_store *store = (struct s3v2_store *) base;
	struct s3_delivery delivery = {.address = &store->address,
								   .prefix = prefix,
								   .start_after = start_after,
								   .lister = lister,
								   .arg = arg};
	char *full = s3v2_name(store, prefix);
	char *marker = start_after != NULL ? s3v2_name(store, start_after) : NULL;
	enum status status;

	if (full == NULL || (start_after != NULL && marker == NULL))
		status = err_set(err, ST_NOMEM, "out of memory");
	else
		status = list_pages(store, &delivery, full, &marker, shallow, err);
	free(full);
	free(marker);
	return status;
}
