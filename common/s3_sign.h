/*
 * s3_sign.h - AWS Signature Version 4 for S3, and for STS
 *
 * Pure: the clock is the caller's.  Source: "Authenticating Requests: Using
 * the Authorization Header (AWS Signature Version 4)" of the Amazon S3 API
 * Reference.
 */
#ifndef COMMON_S3_SIGN_H
#define COMMON_S3_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/s3_time.h"

#define S3_SHA256_HEX_SIZE    65
#define S3_AUTHORIZATION_SIZE 1536
#define S3_SIGN_HEADERS_MAX   24

/* The hash that stands for "this body is not covered by the signature". */
#define S3_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

/* Of no bytes at all. */
#define S3_EMPTY_SHA256 \
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct s3_credentials
{
	const char *access_key_id;
	const char *secret_access_key;
	const char *session_token; /* NULL: none */
};

struct s3_header
{
	const char *name;  /* lower case */
	const char *value; /* no space at its ends, no two in a row */
};

struct s3_sign_input
{
	const char *method;
	const char *path;                /* encoded, as sent */
	const char *query;               /* canonical, as sent; "" if none */
	const struct s3_header *headers; /* any order; every one is signed */
	size_t nheaders;                 /* at most S3_SIGN_HEADERS_MAX */
	const char *payload_hash;        /* what x-amz-content-sha256 says */
	const char *amz_date;            /* what x-amz-date says */
	const char *region;
	const char *service; /* NULL: "s3" */
};

/*
 * Writes the value of the Authorization header.  False if libcrypto fails or
 * it does not fit; out is then empty.  What was derived from the secret is
 * wiped.  Thread-safe.
 */
extern bool s3_sign(const struct s3_sign_input *input,
					const struct s3_credentials *credentials, char *out,
					size_t size) __attribute__((warn_unused_result));

/* SHA-256 in lower-case hex.  False if libcrypto fails. */
extern bool
s3_sha256_hex(const void *data, size_t len, char out[S3_SHA256_HEX_SIZE])
	__attribute__((warn_unused_result));

#define S3_MD5_BASE64_SIZE 25

#define S3_CRC32C_BASE64_SIZE 9

/* For x-amz-checksum-crc32c. */
extern void s3_crc32c_base64(const void *data, size_t len,
							 char out[S3_CRC32C_BASE64_SIZE]);

/* For Content-MD5.  False if libcrypto has no MD5, as in FIPS mode. */
extern bool
s3_md5_base64(const void *data, size_t len, char out[S3_MD5_BASE64_SIZE])
	__attribute__((warn_unused_result));

#endif
