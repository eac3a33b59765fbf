/*
 * timestamp.h - moments in time as text
 *
 * Pure, except that a user's time without an offset is read in this host's
 * time zone (the TZ variable or /etc/localtime).  Proleptic Gregorian
 * calendar, years 1970 to 9999, no leap seconds.
 */
#ifndef BASEBACKUP_TIMESTAMP_H
#define BASEBACKUP_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/* "2026-11-21T01:02:03Z", exactly; seconds since 1970. */
extern bool timestamp_parse_utc(const char *text, int64_t *seconds);

/*
 * What a person types: "2026-11-21 01:02:03", with 'T' or a blank between,
 * seconds and up to six digits behind them if wanted, and then 'Z', "+HH",
 * "+HHMM" or "+HH:MM" (or '-'), with or without a blank before.  Without an
 * offset it is this host's local time, and a time that the change of clocks
 * skips or repeats is refused.  Microseconds since 1970.  ST_CONFIG.
 */
extern enum status
timestamp_parse(const char *text, int64_t *micros, struct err *err) ERR_CHECK;

#define TIMESTAMP_TEXT_MAX 36

/*
 * "2026-11-21 01:02:03.25+00": what PostgreSQL reads the same way whatever
 * its time zone.  out has TIMESTAMP_TEXT_MAX bytes; returns out.
 */
extern char *timestamp_format(int64_t micros, char *out);

#endif
