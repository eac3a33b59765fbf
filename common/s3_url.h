/*
 * s3_url.h - where a bucket is, and how an object in it is addressed
 *
 * Pure: no request, no clock, no globals.  Percent-encoding is SigV4's
 * ("UriEncode" of the Signature Version 4 documentation): every byte but
 * A-Z a-z 0-9 - . _ ~ becomes %XX with upper-case digits.
 */
#ifndef COMMON_S3_URL_H
#define COMMON_S3_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"

#define S3_BUCKET_SIZE 256
#define S3_PREFIX_SIZE 513
#define S3_REGION_SIZE 64
#define S3_HOST_SIZE   520 /* with bucket and port */

struct s3_address
{
	bool https;
	bool virtual_host;       /* the bucket is the first label of the host */
	bool aws;                /* Amazon's own endpoint */
	char host[S3_HOST_SIZE]; /* the Host header: name, port if unusual */
	char bucket[S3_BUCKET_SIZE];
	char prefix[S3_PREFIX_SIZE]; /* "" or "a/b/", in front of every key */
	char region[S3_REGION_SIZE];
};

/*
 * Takes repository ("s3://bucket[/prefix]"), endpoint ("http[s]://host[:port]"
 * or NULL for AWS) and region (NULL: us-east-1) apart.  Automatic addressing
 * puts the bucket into the host name at AWS, unless its name has dots (no
 * certificate covers "my.bucket.s3...") or is no host name, and into the path
 * everywhere else.  ST_CONFIG names the setting that is wrong.
 */
extern enum status
s3_address_parse(const char *repository, const char *endpoint,
				 const char *region, enum config_addressing addressing,
				 struct s3_address *out, struct err *err) ERR_CHECK;

/*
 * The same bucket in another region, one that s3_region.h lets pass.  Amazon's
 * own endpoint of the old region becomes that of the new one; any other host
 * stays.
 */
extern void s3_address_move(struct s3_address *address, const char *region);

/*
 * The path of an object, or with key NULL of the bucket, encoded as it is
 * sent and signed.  NULL: out of memory.  The caller frees it.
 */
extern char *
s3_address_path(const struct s3_address *address, const char *key) ERR_CHECK;

/* "http[s]://host/bucket" for people, at most size bytes. */
extern void
s3_address_text(const struct s3_address *address, char *out, size_t size);

/*
 * What follows the address's prefix in the name of an object; NULL if the
 * name does not begin with it.
 */
extern const char *
s3_address_relative(const struct s3_address *address, const char *name);

struct s3_param
{
	const char *name; /* of unreserved bytes only */
	const char *value;
};

#define S3_PARAMS_MAX 8

/*
 * The query string of at most S3_PARAMS_MAX parameters, in SigV4's canonical
 * order, which is also how it is sent.  NULL: out of memory.  The caller
 * frees it.
 */
extern char *
s3_query_build(const struct s3_param *params, size_t nparams) ERR_CHECK;

/* Room that s3_uri_encode needs for len bytes, with the terminating zero. */
#define S3_ENCODED_SIZE(len) ((len) *3 + 1)

/* Encodes text to out; slashes stay if keep_slash.  Returns the length. */
extern size_t s3_uri_encode(const char *text, bool keep_slash, char *out);

/*
 * Decodes %XX and '+' in place, as a listing with encoding-type=url needs.
 * False: a broken escape, or a zero byte.
 */
extern bool s3_uri_decode(char *text) ERR_CHECK;

#endif
