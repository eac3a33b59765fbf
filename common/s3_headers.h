/*
 * s3_headers.h - what we read of an answer's headers
 *
 * Pure.  Every field is bounded; a header that cannot be understood counts
 * as absent, so that a check for its presence fails.
 */
#ifndef COMMON_S3_HEADERS_H
#define COMMON_S3_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct s3_headers
{
	int64_t content_length; /* -1: none */
	bool chunked;           /* the transfer coding tells the end */

	bool has_range; /* Content-Range: bytes first-last/total */
	uint64_t range_first;
	uint64_t range_last;
	uint64_t range_total; /* UINT64_MAX: not told */

	int64_t date_s;     /* the store's clock; -1: none */
	int64_t modified_s; /* -1: none */

	int64_t retry_after_ms; /* as a span; -1: none */
	int64_t retry_after_s;  /* as a point in time; -1: none */

	bool has_etag;
	bool delete_marker; /* deleted in a versioned bucket */
	bool restored;      /* a copy of an archived object can be read */
	char storage_class[32];
	char replication[16]; /* the state of copying it to another bucket */
	char request_id[128];
	char bucket_region[64];
	char content_type[64];
};

/* Forgets everything: before an answer, and at each status line. */
extern void s3_headers_reset(struct s3_headers *headers);

/* Takes one header line, with or without its line end.  Any bytes. */
extern void
s3_headers_line(struct s3_headers *headers, const char *line, size_t len);

/*
 * How long the store asked us to wait, in ms; 0 if it did not.  now_s is our
 * clock, used for a date where the answer has none of its own.
 */
extern int64_t
s3_headers_retry_after(const struct s3_headers *headers, int64_t now_s);

#endif
