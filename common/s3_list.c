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

#include "common/s3_deliver.h"

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

enum status
s3_list(struct store *base, const char *prefix, const char *start_after,
		bool shallow, store_lister lister, void *arg, struct err *err)
{
	struct s3_store *store = (struct s3_store *) base;
	struct s3_delivery delivery = {.address = &store->address,
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
		status = s3_list_fetch(store, &request, &page, err);
		if (status == ST_OK)
			status = s3_deliver_page(&delivery, &page, err);
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
