/*
 * s3_xml.c - the XML documents that S3 sends
 *
 * Each kind of document is a pair of functions that compare paths.
 */
#include "common/s3_xml.h"

#include <stdlib.h>
#include <string.h>

#include "common/s3_time.h"
#include "common/s3_url.h"
#include "common/s3_xml_reader.h"

/* Copies what fits, whole and printable: these texts end up in logs. */
static void
copy_text(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len > size - 1)
	{
		len = size - 1;
		while (len > 0 && ((unsigned char) text[len] & 0xC0) == 0x80)
			len--;
	}
	for (size_t i = 0; i < len; i++)
		out[i] = (char) ((unsigned char) text[i] < ' ' || text[i] == 0x7f
							 ? ' '
							 : text[i]);
	out[len] = '\0';
}

/* --- <Error> ----------------------------------------------------------- */

struct error_reader
{
	struct s3_xml_error error;
	bool seen;
};

static void
error_end(struct s3_xml_reader *reader)
{
	struct error_reader *r = reader->arg;

	if (s3_xml_at(reader, "/Error"))
		r->seen = true;
	else if (s3_xml_at(reader, "/Error/Code"))
		copy_text(r->error.code, sizeof r->error.code, reader->text);
	else if (s3_xml_at(reader, "/Error/Message"))
		copy_text(r->error.message, sizeof r->error.message, reader->text);
	else if (s3_xml_at(reader, "/Error/RequestId"))
		copy_text(r->error.request_id, sizeof r->error.request_id,
				  reader->text);
	else if (s3_xml_at(reader, "/Error/Region"))
		copy_text(r->error.region, sizeof r->error.region, reader->text);
	else if (s3_xml_at(reader, "/Error/Endpoint"))
		copy_text(r->error.endpoint, sizeof r->error.endpoint, reader->text);
}

enum status
s3_xml_parse_error(const char *body, size_t len, struct s3_xml_error *out)
{
	struct error_reader r = {.seen = false};
	enum status status = s3_xml_read(body, len, NULL, error_end, &r);

	if (status != ST_OK)
		return status;
	if (!r.seen || r.error.code[0] == '\0')
		return ST_CORRUPT;
	*out = r.error;
	return ST_OK;
}

/* --- ListObjectsV2 ----------------------------------------------------- */

struct list_reader
{
	struct s3_list_page page;
	size_t allocated;
	bool seen;
	bool encoded; /* EncodingType is url; it may come after the keys */
};

static bool
parse_decimal(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		uint64_t digit = (uint64_t) (unsigned char) *text - '0';

		if (*text < '0' || *text > '9' || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

static void
list_begin(struct s3_xml_reader *reader)
{
	struct list_reader *r = reader->arg;
	bool is_prefix = s3_xml_at(reader, "/ListBucketResult/CommonPrefixes");
	struct s3_list_entry *entry;

	if (!is_prefix && !s3_xml_at(reader, "/ListBucketResult/Contents"))
		return;
	if (r->page.nentries == r->allocated)
	{
		size_t more = r->allocated == 0 ? 64 : r->allocated * 2;
		struct s3_list_entry *bigger =
			reallocarray(r->page.entries, more, sizeof *bigger);

		if (bigger == NULL)
		{
			s3_xml_stop(reader, ST_NOMEM);
			return;
		}
		r->page.entries = bigger;
		r->allocated = more;
	}
	entry = &r->page.entries[r->page.nentries++];
	memset(entry, 0, sizeof *entry);
	entry->is_prefix = is_prefix;
}

/* Keeps the text as a string of its own; a cut or repeated one is refused. */
static void
keep_text(struct s3_xml_reader *reader, char **out)
{
	if (reader->text_cut || *out != NULL || reader->text_len == 0)
	{
		s3_xml_stop(reader, ST_CORRUPT);
		return;
	}
	*out = strdup(reader->text);
	if (*out == NULL)
		s3_xml_stop(reader, ST_NOMEM);
}

static void
entry_end(struct s3_xml_reader *reader, struct s3_list_entry *entry)
{
	if (s3_xml_at(reader, "/ListBucketResult/Contents/Key") ||
		s3_xml_at(reader, "/ListBucketResult/CommonPrefixes/Prefix"))
		keep_text(reader, &entry->name);
	else if (s3_xml_at(reader, "/ListBucketResult/Contents/Size"))
	{
		if (!parse_decimal(reader->text, INT64_MAX, &entry->size_bytes))
			s3_xml_stop(reader, ST_CORRUPT);
	}
	else if (s3_xml_at(reader, "/ListBucketResult/Contents/LastModified"))
	{
		if (!s3_time_parse_iso(reader->text, &entry->modified_s))
			s3_xml_stop(reader, ST_CORRUPT);
	}
	else if (s3_xml_at(reader, "/ListBucketResult/Contents/StorageClass"))
		copy_text(entry->storage_class, sizeof entry->storage_class,
				  reader->text);
	else if ((s3_xml_at(reader, "/ListBucketResult/Contents") ||
			  s3_xml_at(reader, "/ListBucketResult/CommonPrefixes")) &&
			 entry->name == NULL)
		s3_xml_stop(reader, ST_CORRUPT);
}

static void
list_end(struct s3_xml_reader *reader)
{
	struct list_reader *r = reader->arg;

	if (s3_xml_at(reader, "/ListBucketResult"))
		r->seen = true;
	else if (s3_xml_at(reader, "/ListBucketResult/IsTruncated"))
		r->page.truncated = strcmp(reader->text, "true") == 0;
	else if (s3_xml_at(reader, "/ListBucketResult/EncodingType"))
		r->encoded = strcmp(reader->text, "url") == 0;
	else if (s3_xml_at(reader, "/ListBucketResult/NextContinuationToken") &&
			 reader->text_len > 0)
		keep_text(reader, &r->page.next_token);
	else if (r->page.nentries > 0 && reader->depth > 1)
		entry_end(reader, &r->page.entries[r->page.nentries - 1]);
}

void
s3_list_page_free(struct s3_list_page *page)
{
	for (size_t i = 0; i < page->nentries; i++)
		free(page->entries[i].name);
	free(page->entries);
	free(page->next_token);
	memset(page, 0, sizeof *page);
}

enum status
s3_xml_parse_list(const char *body, size_t len, struct s3_list_page *out)
{
	struct list_reader r = {.seen = false};
	enum status status = s3_xml_read(body, len, list_begin, list_end, &r);

	if (status == ST_OK &&
		(!r.seen || (r.page.truncated && r.page.next_token == NULL)))
		status = ST_CORRUPT;
	for (size_t i = 0; status == ST_OK && r.encoded && i < r.page.nentries;
		 i++)
		if (!s3_uri_decode(r.page.entries[i].name))
			status = ST_CORRUPT;
	if (status == ST_OK)
		*out = r.page;
	else
		s3_list_page_free(&r.page);
	return status;
}

/* --- DeleteObjects ----------------------------------------------------- */

struct delete_reader
{
	s3_xml_deleted deleted;
	void *arg;
	bool seen;
	char *name;
	struct s3_xml_error error;
};

static void
delete_begin(struct s3_xml_reader *reader)
{
	struct delete_reader *r = reader->arg;

	if (!s3_xml_at(reader, "/DeleteResult/Deleted") &&
		!s3_xml_at(reader, "/DeleteResult/Error"))
		return;
	free(r->name);
	r->name = NULL;
	memset(&r->error, 0, sizeof r->error);
}

static void
delete_end(struct s3_xml_reader *reader)
{
	struct delete_reader *r = reader->arg;
	bool deleted = s3_xml_at(reader, "/DeleteResult/Deleted");

	if (s3_xml_at(reader, "/DeleteResult"))
		r->seen = true;
	else if (s3_xml_at(reader, "/DeleteResult/Deleted/Key") ||
			 s3_xml_at(reader, "/DeleteResult/Error/Key"))
		keep_text(reader, &r->name);
	else if (s3_xml_at(reader, "/DeleteResult/Error/Code"))
		copy_text(r->error.code, sizeof r->error.code, reader->text);
	else if (s3_xml_at(reader, "/DeleteResult/Error/Message"))
		copy_text(r->error.message, sizeof r->error.message, reader->text);
	else if (deleted || s3_xml_at(reader, "/DeleteResult/Error"))
	{
		if (r->name == NULL)
			s3_xml_stop(reader, ST_CORRUPT);
		else
			r->deleted(r->arg, r->name, deleted, r->error.code,
					   r->error.message);
	}
}

enum status
s3_xml_parse_delete(const char *body, size_t len, s3_xml_deleted deleted,
					void *arg)
{
	struct delete_reader r = {.deleted = deleted, .arg = arg};
	enum status status = s3_xml_read(body, len, delete_begin, delete_end, &r);

	free(r.name);
	return status == ST_OK && !r.seen ? ST_CORRUPT : status;
}

/* --- settings of a bucket ---------------------------------------------- */

struct setting_reader
{
	const char *root;
	const char *path;
	bool seen;
	char value[32];
};

static void
setting_end(struct s3_xml_reader *reader)
{
	struct setting_reader *r = reader->arg;

	if (s3_xml_at(reader, r->root))
		r->seen = true;
	else if (s3_xml_at(reader, r->path))
		copy_text(r->value, sizeof r->value, reader->text);
}

static enum status
read_setting(const char *body, size_t len, struct setting_reader *r)
{
	enum status status = s3_xml_read(body, len, NULL, setting_end, r);

	return status == ST_OK && !r->seen ? ST_CORRUPT : status;
}

enum status
s3_xml_parse_versioning(const char *body, size_t len, bool *versioned)
{
	struct setting_reader r = {.root = "/VersioningConfiguration",
							   .path = "/VersioningConfiguration/Status"};
	enum status status = read_setting(body, len, &r);

	if (status == ST_OK)
		*versioned = strcmp(r.value, "Enabled") == 0 ||
					 strcmp(r.value, "Suspended") == 0;
	return status;
}

enum status
s3_xml_parse_retention(const char *body, size_t len, int64_t *until)
{
	struct setting_reader r = {.root = "/Retention",
							   .path = "/Retention/RetainUntilDate"};
	enum status status = read_setting(body, len, &r);

	return status == ST_OK && !s3_time_parse_iso(r.value, until) ? ST_CORRUPT
																 : status;
}

enum status
s3_xml_parse_object_lock(const char *body, size_t len, bool *locked)
{
	struct setting_reader r = {
		.root = "/ObjectLockConfiguration",
		.path = "/ObjectLockConfiguration/ObjectLockEnabled"};
	enum status status = read_setting(body, len, &r);

	if (status == ST_OK)
		*locked = strcmp(r.value, "Enabled") == 0;
	return status;
}

/* --- lifecycle --------------------------------------------------------- */

#define RULE "/LifecycleConfiguration/Rule"

struct lifecycle_reader
{
	s3_xml_rule tell;
	void *arg;
	bool seen;
	bool enabled;
	bool tagged;
	struct s3_lifecycle_rule rule;
};

static void
rule_begin(struct s3_xml_reader *reader)
{
	struct lifecycle_reader *r = reader->arg;

	if (!s3_xml_at(reader, RULE))
		return;
	memset(&r->rule, 0, sizeof r->rule);
	r->rule.days = -1;
	r->rule.date_s = -1;
	r->enabled = false;
	r->tagged = false;
}

static void
earlier(int64_t *known, int64_t value)
{
	if (*known < 0 || value < *known)
		*known = value;
}

static void
rule_end(struct s3_xml_reader *reader)
{
	struct lifecycle_reader *r = reader->arg;
	uint64_t days;
	int64_t date_s;

	if (s3_xml_at(reader, "/LifecycleConfiguration"))
		r->seen = true;
	else if (s3_xml_at(reader, RULE "/Status"))
		r->enabled = strcmp(reader->text, "Enabled") == 0;
	else if (s3_xml_at(reader, RULE "/Prefix") ||
			 s3_xml_at(reader, RULE "/Filter/Prefix") ||
			 s3_xml_at(reader, RULE "/Filter/And/Prefix"))
		copy_text(r->rule.prefix, sizeof r->rule.prefix, reader->text);
	else if (s3_xml_at(reader, RULE "/Filter/Tag") ||
			 s3_xml_at(reader, RULE "/Filter/And/Tag"))
		r->tagged = true;
	else if (s3_xml_at(reader, RULE "/Expiration/Days") ||
			 s3_xml_at(reader, RULE "/Transition/Days"))
	{
		if (!parse_decimal(reader->text, INT32_MAX, &days))
			s3_xml_stop(reader, ST_CORRUPT);
		else
			earlier(&r->rule.days, (int64_t) days);
	}
	else if (s3_xml_at(reader, RULE "/Expiration/Date") ||
			 s3_xml_at(reader, RULE "/Transition/Date"))
	{
		if (!s3_time_parse_iso(reader->text, &date_s))
			s3_xml_stop(reader, ST_CORRUPT);
		else
			earlier(&r->rule.date_s, date_s);
	}
	else if (s3_xml_at(reader, RULE) && r->enabled && !r->tagged &&
			 (r->rule.days >= 0 || r->rule.date_s >= 0))
		r->tell(r->arg, &r->rule);
}

enum status
s3_xml_parse_lifecycle(const char *body, size_t len, s3_xml_rule rule,
					   void *arg)
{
	struct lifecycle_reader r = {.tell = rule, .arg = arg};
	enum status status = s3_xml_read(body, len, rule_begin, rule_end, &r);

	return status == ST_OK && !r.seen ? ST_CORRUPT : status;
}
