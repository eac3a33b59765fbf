/*
 * s3_settings.h - the settings that ask more of an S3 server than to keep
 * bytes: their grammar
 *
 * Pure.  The configuration refuses what a *_complaint refuses; the s3 module
 * takes the same values apart.
 */
#ifndef COMMON_S3_SETTINGS_H
#define COMMON_S3_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#define S3_CLASS_SIZE     32
#define S3_ALGORITHM_SIZE 16
#define S3_KMS_KEY_SIZE   513
#define S3_ACCOUNT_SIZE   13
#define S3_LOCK_DAYS_MAX  36500
#define S3_TAGS_MAX       10 /* what S3 keeps with an object */
#define S3_TAG_NAME_MAX   128
#define S3_TAG_VALUE_MAX  256

/* s3_sse: "AES256", "aws:kms", "aws:kms <key id>", the same with dsse. */
struct s3_sse
{
	char algorithm[S3_ALGORITHM_SIZE]; /* "": none */
	char key_id[S3_KMS_KEY_SIZE];      /* "": the store's own */
};

/* s3_object_lock: "governance 30d" or "compliance 30d". */
struct s3_lock
{
	const char *mode; /* as S3 spells it; static.  NULL: none */
	int days;
};

/* s3_bucket_owner: an account, "requester-pays", or both. */
struct s3_owner
{
	char account[S3_ACCOUNT_SIZE]; /* "": not checked */
	bool requester_pays;
};

/* False: not of that grammar; out is then undefined. */
extern bool s3_sse_parse(const char *text, struct s3_sse *out)
	__attribute__((warn_unused_result));
extern bool s3_lock_parse(const char *text, struct s3_lock *out)
	__attribute__((warn_unused_result));
extern bool s3_owner_parse(const char *text, struct s3_owner *out)
	__attribute__((warn_unused_result));

struct s3_tag
{
	const char *name;
	size_t name_len; /* 1 to S3_TAG_NAME_MAX */
	const char *value;
	size_t value_len; /* at most S3_TAG_VALUE_MAX */
};

/*
 * s3_tags: "name=value, name=value".  Takes the next tag from *pos, which
 * begins at the text and is moved on; NULL when that was the last one.
 * False: not of that grammar.
 */
extern bool s3_tags_next(const char **pos, struct s3_tag *out)
	__attribute__((warn_unused_result));

/* True for classes that answer a get only after a restore of hours. */
extern bool s3_class_archived(const char *storage_class);

/* What is allowed instead of the value, a sentence; NULL: it is good. */
extern const char *s3_storage_class_complaint(const char *value);
extern const char *s3_sse_complaint(const char *value);
extern const char *s3_lock_complaint(const char *value);
extern const char *s3_tags_complaint(const char *value);
extern const char *s3_bucket_owner_complaint(const char *value);

#endif
