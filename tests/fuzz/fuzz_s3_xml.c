/*
 * fuzz_s3_xml.c - every document parser, on any bytes
 *
 * What a parser accepts has to keep its promises: names that are not empty, a
 * token where there is more, texts that end.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/s3_xml.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	if (len == size)
		abort();
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) text[i] < ' ')
			abort();
}

static void
check_error(const char *text, size_t len)
{
	struct s3_xml_error error;

	if (s3_xml_parse_error(text, len, &error) != ST_OK)
		return;
	check_text(error.code, sizeof error.code);
	check_text(error.message, sizeof error.message);
	check_text(error.request_id, sizeof error.request_id);
	check_text(error.region, sizeof error.region);
	check_text(error.endpoint, sizeof error.endpoint);
}

static void
check_list(const char *text, size_t len)
{
	struct s3_list_page page;

	if (s3_xml_parse_list(text, len, &page) != ST_OK)
		return;
	if (page.truncated && page.next_token == NULL)
		abort();
	for (size_t i = 0; i < page.nentries; i++)
	{
		if (page.entries[i].name == NULL)
			abort();
		check_text(page.entries[i].storage_class,
				   sizeof page.entries[i].storage_class);
	}
	s3_list_page_free(&page);
}

static void
on_deleted(void *arg, const char *name, bool deleted, const char *code,
		   const char *message)
{
	(void) arg;
	(void) deleted;
	if (name[0] == '\0')
		abort();
	check_text(code, 64);
	check_text(message, 384);
}

static void
on_rule(void *arg, const struct s3_lifecycle_rule *rule)
{
	(void) arg;
	if (rule->days < 0 && rule->date_s < 0)
		abort();
	check_text(rule->prefix, sizeof rule->prefix);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	bool flag = false;

	check_error(text, size);
	check_list(text, size);
	(void) (s3_xml_parse_delete(text, size, on_deleted, NULL) == ST_OK);
	(void) (s3_xml_parse_lifecycle(text, size, on_rule, NULL) == ST_OK);
	(void) (s3_xml_parse_versioning(text, size, &flag) == ST_OK);
	(void) (s3_xml_parse_object_lock(text, size, &flag) == ST_OK);
	return 0;
}
