/*
 * s3_time.h - the three spellings of a time that S3 uses
 *
 * Pure; times are seconds since 1970 in UTC.
 */
#ifndef COMMON_S3_TIME_H
#define COMMON_S3_TIME_H

#include <stdbool.h>
#include <stdint.h>

#define S3_AMZ_DATE_SIZE 17 /* "20130524T000000Z" */
#define S3_ISO_TIME_SIZE 21 /* "2013-05-24T00:00:00Z" */

/* Writes time_s as SigV4 wants it.  False outside the years 1970 to 9999. */
extern bool s3_time_format_amz(int64_t time_s, char out[S3_AMZ_DATE_SIZE]);

/* The same as a retention wants it. */
extern bool s3_time_format_iso(int64_t time_s, char out[S3_ISO_TIME_SIZE]);

/* "Sun, 06 Nov 1994 08:49:37 GMT": HTTP's IMF-fixdate (RFC 9110, 5.6.7). */
extern bool s3_time_parse_http(const char *text, int64_t *out);

/*
 * "2024-01-31T23:59:59.000Z", as S3's XML has it; fractions are dropped.  Also
 * with "+01:00" in the place of "Z", as commands print it.
 */
extern bool s3_time_parse_iso(const char *text, int64_t *out);

#endif
