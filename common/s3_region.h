/*
 * s3_region.h - a bucket that lives in another region than we were told
 *
 * Pure.  A store says so with 301 or 307, or with 400 to a signature for the
 * wrong region, and names the right one in x-amz-bucket-region or in its
 * error document.  Only the region is taken from such an answer, never the
 * host it may name: a request is signed for no host that we were not told of.
 */
#ifndef COMMON_S3_REGION_H
#define COMMON_S3_REGION_H

#include <stdbool.h>

#include "common/s3_http.h"
#include "common/s3_url.h"

/*
 * True if the answer names another region than address has; it is in out
 * then, made of lower-case letters, digits and '-' alone.
 */
extern bool
s3_region_told(const struct s3_address *address,
			   const struct s3_answer *answer, char out[S3_REGION_SIZE])
	__attribute__((warn_unused_result));

#endif
