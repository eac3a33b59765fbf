/*
 * s3_options.h - what the configuration asks of the server with every
 * request, and with every upload: the headers
 *
 * Pure.  Which upload gets what follows from the object's key (FORMAT.md,
 * section 1):
 *
 *                      storage class   retention   encryption, tags
 *   WAL segments             x             x               x
 *   packs, digests           x             x               x
 *   other WAL files                        x               x
 *   manifests, reports                     x               x
 *   start, keep, expired                                   x
 *   probes                                                 x
 *
 * A class for data that is seldom read would make listings and small files
 * dearer.  Markers must be free to go: keep is taken back, start and expired
 * end their own life, a probe's is over at once; none of them is needed to
 * restore.  Encryption and tags go with all, since a bucket's policy may
 * demand them.
 */
#ifndef COMMON_S3_OPTIONS_H
#define COMMON_S3_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"
#include "common/s3_settings.h"
#include "common/s3_sign.h"
#include "common/s3_time.h"

#define S3_TAGS_SIZE 2048 /* of all tags, encoded */

struct s3_options
{
	struct s3_owner owner;
	char storage_class[S3_CLASS_SIZE];
	struct s3_sse sse;
	struct s3_lock lock;
	char tags[S3_TAGS_SIZE]; /* encoded as a query */
};

/* ST_CONFIG: tags that are longer than S3_TAGS_SIZE when encoded. */
extern enum status
s3_options_init(const struct config *cfg, struct s3_options *out,
				struct err *err) ERR_CHECK;

#define S3_OPTION_HEADERS_MAX 8

/* Headers, and what they need beside the options. */
struct s3_option_headers
{
	struct s3_header list[S3_OPTION_HEADERS_MAX];
	size_t count;
	char retain_until[S3_ISO_TIME_SIZE];
};

/* Those of every request.  They point into options. */
extern void s3_options_request(const struct s3_options *options,
							   struct s3_option_headers *out);

/*
 * Those of an upload of that key, beside the ones of every request; now_s is
 * the clock that a retention begins at.  They point into options and out.
 * S3 refuses them on any other request.
 */
extern void
s3_options_upload(const struct s3_options *options, const char *key,
				  int64_t now_s, struct s3_option_headers *out);

/* True if an upload of that key comes with a retention. */
extern bool
s3_options_locks(const struct s3_options *options, const char *key);

#endif
