/*
 * s3_options.c - what the configuration asks of the server with every
 * request, and with every upload
 */
#include "common/s3_options.h"

#include <stdio.h>
#include <string.h>

#include "common/s3_url.h"

#define DAY_S INT64_C(86400)

/* --- what a key stands for -----------------------------------------------
 */

/* The component of key after its first depth ones; "" if it has fewer. */
static const char *
component(const char *key, int depth)
{
	for (; depth > 0; depth--)
	{
		const char *slash = strchr(key, '/');

		if (slash == NULL)
			return "";
		key = slash + 1;
	}
	return key;
}

static bool
component_is(const char *component, const char *name)
{
	size_t len = strlen(name);

	return strncmp(component, name, len) == 0 &&
		   (component[len] == '/' || component[len] == '\0');
}

/* Large, and read only by a restore: segments, packs, digests. */
static bool
is_bulk(const char *key)
{
	const char *kind = component(key, 1);
	const char *leaf = component(key, 3);

	if (component_is(kind, "wal"))
		return *leaf != '\0' && strchr(leaf, '.') == NULL;
	return component_is(kind, "backup") &&
		   (component_is(leaf, "pack") || component_is(leaf, "digest"));
}

/* Everything of a cluster but the markers of a backup. */
static bool
is_kept(const char *key)
{
	const char *kind = component(key, 1);
	const char *leaf = component(key, 3);

	if (component_is(kind, "backup"))
		return *leaf != '\0' && !component_is(leaf, "start") &&
			   !component_is(leaf, "keep") && !component_is(leaf, "expired");
	return component_is(kind, "wal") || component_is(kind, "report");
}

bool
s3_options_locks(const struct s3_options *options, const char *key)
{
	return options->lock.mode != NULL && is_kept(key);
}

/* --- setting up ----------------------------------------------------------
 */

/* Appends text, percent-encoded.  False: no room. */
static bool
append_encoded(char *out, size_t size, size_t *used, const char *text,
			   size_t len)
{
	char plain[S3_TAG_VALUE_MAX + 1];
	char encoded[S3_ENCODED_SIZE(S3_TAG_VALUE_MAX)];
	size_t encoded_len;

	memcpy(plain, text, len);
	plain[len] = '\0';
	encoded_len = s3_uri_encode(plain, false, encoded);
	if (encoded_len + 2 > size - *used) /* a separator and the zero, too */
		return false;
	memcpy(out + *used, encoded, encoded_len + 1);
	*used += encoded_len;
	return true;
}

static enum status
encode_tags(const char *text, char out[S3_TAGS_SIZE], struct err *err)
{
	size_t used = 0;

	for (const char *pos = text; pos != NULL;)
	{
		struct s3_tag tag;

		if (!s3_tags_next(&pos, &tag))
			return err_set(err, ST_CONFIG, "\"s3_tags\" is invalid");
		if (used > 0)
			out[used++] = '&';
		if (!append_encoded(out, S3_TAGS_SIZE, &used, tag.name, tag.name_len))
			return err_set(err, ST_CONFIG, "\"s3_tags\" is too long");
		out[used++] = '=';
		if (!append_encoded(out, S3_TAGS_SIZE, &used, tag.value,
							tag.value_len))
			return err_set(err, ST_CONFIG, "\"s3_tags\" is too long");
	}
	return ST_OK;
}

/* The configuration has checked the grammar; a caller may have made it up. */
enum status
s3_options_init(const struct config *cfg, struct s3_options *out,
				struct err *err)
{
	const char *class = cfg->s3_storage_class;
	enum status status = ST_OK;

	memset(out, 0, sizeof *out);
	if (class != NULL && s3_storage_class_complaint(class) != NULL)
		status = err_set(err, ST_CONFIG, "\"s3_storage_class\" is invalid");
	else if (class != NULL)
		memcpy(out->storage_class, class, strlen(class) + 1);
	if (status == ST_OK && cfg->s3_bucket_owner != NULL &&
		!s3_owner_parse(cfg->s3_bucket_owner, &out->owner))
		status = err_set(err, ST_CONFIG, "\"s3_bucket_owner\" is invalid");
	if (status == ST_OK && cfg->s3_sse != NULL &&
		!s3_sse_parse(cfg->s3_sse, &out->sse))
		status = err_set(err, ST_CONFIG, "\"s3_sse\" is invalid");
	if (status == ST_OK && cfg->s3_object_lock != NULL &&
		!s3_lock_parse(cfg->s3_object_lock, &out->lock))
		status = err_set(err, ST_CONFIG, "\"s3_object_lock\" is invalid");
	if (status == ST_OK && cfg->s3_tags != NULL)
		status = encode_tags(cfg->s3_tags, out->tags, err);
	return status;
}

/* --- headers -------------------------------------------------------------
 */

static void
add(struct s3_option_headers *out, const char *name, const char *value)
{
	if (value[0] != '\0')
		out->list[out->count++] = (struct s3_header){name, value};
}

void
s3_options_request(const struct s3_options *options,
				   struct s3_option_headers *out)
{
	out->count = 0;
	if (options->owner.requester_pays)
		add(out, "x-amz-request-payer", "requester");
	add(out, "x-amz-expected-bucket-owner", options->owner.account);
}

void
s3_options_upload(const struct s3_options *options, const char *key,
				  int64_t now_s, struct s3_option_headers *out)
{
	out->count = 0;
	if (is_bulk(key))
		add(out, "x-amz-storage-class", options->storage_class);
	add(out, "x-amz-server-side-encryption", options->sse.algorithm);
	add(out, "x-amz-server-side-encryption-aws-kms-key-id",
		options->sse.key_id);
	add(out, "x-amz-tagging", options->tags);
	if (s3_options_locks(options, key) &&
		s3_time_format_iso(now_s + options->lock.days * DAY_S,
						   out->retain_until))
	{
		add(out, "x-amz-object-lock-mode", options->lock.mode);
		add(out, "x-amz-object-lock-retain-until-date", out->retain_until);
	}
}
