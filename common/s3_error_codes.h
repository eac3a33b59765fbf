/*
 * s3_error_codes.h - the codes of S3's error documents
 *
 * Pure: a table.
 */
#ifndef COMMON_S3_ERROR_CODES_H
#define COMMON_S3_ERROR_CODES_H

#include "common/err.h"

/* What may help. */
enum s3_hint
{
	S3_HINT_NONE,
	S3_HINT_PERMISSION, /* a permission is missing, which has a name */
	S3_HINT_REFUSED,    /* a permission, or wrong credentials */
	S3_HINT_KEYS,       /* wrong credentials */
	S3_HINT_TOKEN,      /* temporary credentials that have ended */
	S3_HINT_CLOCK,
	S3_HINT_BUCKET,
	S3_HINT_REGION,
	S3_HINT_ADDRESSING, /* path or virtual host */
	S3_HINT_SIGNATURE,  /* version 4 or 2 */
	S3_HINT_PROXY,      /* something in between altered the request */
	S3_HINT_ACCOUNT,
	S3_HINT_ARCHIVED,
	S3_HINT_CLASS,
	S3_HINT_KMS,
	S3_HINT_SIZE,
	S3_HINT_QUOTA
};

struct s3_error_meaning
{
	const char *code;
	enum status status;
	enum s3_hint hint;
};

/* NULL: a code that we do not know. */
extern const struct s3_error_meaning *s3_error_meaning(const char *code);

#endif
