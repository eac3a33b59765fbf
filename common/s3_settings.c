/*
 * s3_settings.c - the settings that ask more of an S3 server than to keep
 * bytes
 */
#include "common/s3_settings.h"

#include <string.h>

#define DIGITS "0123456789"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"

/* --- encryption by the store ---------------------------------------------
 */

bool
s3_sse_parse(const char *text, struct s3_sse *out)
{
	static const char *const algorithms[] = {"AES256", "aws:kms",
											 "aws:kms:dsse"};
	size_t len = strcspn(text, " ");
	const char *key = text + len + strspn(text + len, " ");
	size_t key_len = strlen(key);

	for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
	{
		if (strlen(algorithms[i]) != len ||
			memcmp(algorithms[i], text, len) != 0)
			continue;
		memcpy(out->algorithm, algorithms[i], len + 1);
		memcpy(out->key_id, "", 1);
		if (key_len == 0)
			return true;

		/* Key ids, aliases and ARNs; nothing that could end a header. */
		if (i == 0 || key_len >= sizeof out->key_id ||
			strspn(key, DIGITS UPPER LOWER ":/_.-") != key_len)
			return false;
		memcpy(out->key_id, key, key_len + 1);
		return true;
	}
	return false;
}

const char *
s3_sse_complaint(const char *value)
{
	struct s3_sse sse;

	if (s3_sse_parse(value, &sse))
		return NULL;
	return "It must be AES256, aws:kms or aws:kms:dsse, the latter two "
		   "perhaps with a blank and the id of a key.";
}

/* --- object lock ---------------------------------------------------------
 */

/* "30d", from 1 day on. */
static bool
parse_days(const char *text, int *out)
{
	size_t digits = strspn(text, DIGITS);
	int days = 0;

	if (digits == 0 || digits > 5 || strcmp(text + digits, "d") != 0)
		return false;
	for (size_t i = 0; i < digits; i++)
		days = days * 10 + (text[i] - '0');
	*out = days;
	return days >= 1 && days <= S3_LOCK_DAYS_MAX;
}

bool
s3_lock_parse(const char *text, struct s3_lock *out)
{
	static const char *const modes[][2] = {{"governance", "GOVERNANCE"},
										   {"compliance", "COMPLIANCE"}};
	size_t len = strcspn(text, " ");
	const char *days = text + len + strspn(text + len, " ");

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (strlen(modes[i][0]) == len && memcmp(modes[i][0], text, len) == 0)
		{
			out->mode = modes[i][1];
			return parse_days(days, &out->days);
		}
	return false;
}

const char *
s3_lock_complaint(const char *value)
{
	struct s3_lock lock;

	if (s3_lock_parse(value, &lock))
		return NULL;
	return "It must be governance or compliance, a blank, and 1d to 36500d.";
}

/* --- tags ----------------------------------------------------------------
 */

bool
s3_tags_next(const char **pos, struct s3_tag *out)
{
	const char *text = *pos + strspn(*pos, " ");
	size_t len = strcspn(text, ",");
	const char *end = text + len;

	*pos = *end == ',' ? end + 1 : NULL;
	while (len > 0 && text[len - 1] == ' ')
		len--;

	/* What S3 allows in a tag, without the comma, which it does not. */
	out->name = text;
	out->name_len = strcspn(text, "=");
	if (out->name_len == 0 || out->name_len >= len ||
		out->name_len > S3_TAG_NAME_MAX ||
		strspn(text, DIGITS UPPER LOWER " +-=._:/@") < len)
		return false;
	out->value = text + out->name_len + 1;
	out->value_len = len - out->name_len - 1;
	return out->value_len <= S3_TAG_VALUE_MAX;
}

const char *
s3_tags_complaint(const char *value)
{
	struct s3_tag tag;
	int count = 0;

	for (const char *pos = value; pos != NULL; count++)
		if (count == S3_TAGS_MAX || !s3_tags_next(&pos, &tag))
			return "It must be name=value, or up to 10 of them with commas "
				   "between them, of letters, digits, blanks and + - . _ : "
				   "/ @.";
	return NULL;
}

/* --- others --------------------------------------------------------------
 */

bool
s3_class_archived(const char *storage_class)
{
	return strcmp(storage_class, "GLACIER") == 0 ||
		   strcmp(storage_class, "DEEP_ARCHIVE") == 0;
}

const char *
s3_storage_class_complaint(const char *value)
{
	size_t len = strlen(value);

	if (s3_class_archived(value))
		return "Objects of that class cannot be read before a restore of "
			   "hours, and backup and wal-push read what they stored. Have a "
			   "lifecycle rule move old objects there, if that is meant.";
	if (len < S3_CLASS_SIZE && strspn(value, UPPER DIGITS "_") == len)
		return NULL;
	return "It must be the name of a storage class, as STANDARD_IA.";
}

bool
s3_owner_parse(const char *text, struct s3_owner *out)
{
	size_t digits = strspn(text, DIGITS);

	memset(out, 0, sizeof *out);
	if (digits > 0)
	{
		if (digits != S3_ACCOUNT_SIZE - 1)
			return false;
		memcpy(out->account, text, digits);
		text += digits;
		if (*text == '\0')
			return true;
		if (*text != ' ')
			return false;
		text += strspn(text, " ");
	}
	out->requester_pays = strcmp(text, "requester-pays") == 0;
	return out->requester_pays;
}

const char *
s3_bucket_owner_complaint(const char *value)
{
	struct s3_owner owner;

	if (s3_owner_parse(value, &owner))
		return NULL;
	return "It must be the 12 digits of an AWS account, or requester-pays, or "
		   "both with a blank between them.";
}
