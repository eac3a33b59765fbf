/*
 * s3_time.c - the three spellings of a time that S3 uses
 */
#include "common/s3_time.h"

#include <string.h>
#include <time.h>

#define TIME_MAX_S INT64_C(253402300799) /* the end of the year 9999 */

static bool
take_apart(int64_t time_s, struct tm *out)
{
	time_t when = (time_t) time_s;

	return time_s >= 0 && time_s <= TIME_MAX_S && gmtime_r(&when, out) != NULL;
}

bool
s3_time_format_amz(int64_t time_s, char out[S3_AMZ_DATE_SIZE])
{
	struct tm tm;

	return take_apart(time_s, &tm) &&
		   strftime(out, S3_AMZ_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) ==
			   S3_AMZ_DATE_SIZE - 1;
}

bool
s3_time_format_iso(int64_t time_s, char out[S3_ISO_TIME_SIZE])
{
	struct tm tm;

	return take_apart(time_s, &tm) &&
		   strftime(out, S3_ISO_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) ==
			   S3_ISO_TIME_SIZE - 1;
}

/* Reads exactly digits decimal digits. */
static bool
read_number(const char **pos, int digits, int *out)
{
	int value = 0;

	for (int i = 0; i < digits; i++)
	{
		char c = (*pos)[i];

		if (c < '0' || c > '9')
			return false;
		value = value * 10 + (c - '0');
	}
	*pos += digits;
	*out = value;
	return true;
}

static bool
read_literal(const char **pos, const char *literal)
{
	size_t len = strlen(literal);

	if (strncmp(*pos, literal, len) != 0)
		return false;
	*pos += len;
	return true;
}

/* "HH:MM:SS" */
static bool
read_clock(const char **pos, struct tm *tm)
{
	return read_number(pos, 2, &tm->tm_hour) && read_literal(pos, ":") &&
		   read_number(pos, 2, &tm->tm_min) && read_literal(pos, ":") &&
		   read_number(pos, 2, &tm->tm_sec);
}

/* Field ranges, a day that the month has, and the conversion itself. */
static bool
to_seconds(struct tm *tm, int year, int month, int64_t *out)
{
	struct tm day = {.tm_mday = tm->tm_mday};
	int seconds;

	if (year < 1970 || month < 1 || month > 12 || tm->tm_mday < 1 ||
		tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60)
		return false;

	/* timegm turns the 30th of February into one of March, and says so. */
	day.tm_year = year - 1900;
	day.tm_mon = month - 1;
	seconds = (tm->tm_hour * 60 + tm->tm_min) * 60 + tm->tm_sec;
	*out = (int64_t) timegm(&day) + seconds;
	return day.tm_mon == month - 1;
}

bool
s3_time_parse_http(const char *text, int64_t *out)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const char days[] = "SunMonTueWedThuFriSat";
	struct tm tm = {0};
	const char *pos = text;
	int year;
	int month = 0;
	bool day_known = false;

	for (size_t i = 0; i < 7 && !day_known; i++)
		day_known = strncmp(pos, days + 3 * i, 3) == 0;
	if (!day_known)
		return false;
	pos += 3;
	if (!read_literal(&pos, ", ") || !read_number(&pos, 2, &tm.tm_mday) ||
		!read_literal(&pos, " "))
		return false;
	for (int i = 0; i < 12 && month == 0; i++)
		if (strncmp(pos, months + (size_t) i * 3, 3) == 0)
			month = i + 1;
	if (month == 0)
		return false;
	pos += 3;
	if (!read_literal(&pos, " ") || !read_number(&pos, 4, &year) ||
		!read_literal(&pos, " ") || !read_clock(&pos, &tm) ||
		!read_literal(&pos, " GMT") || *pos != '\0')
		return false;
	return to_seconds(&tm, year, month, out);
}

/* "Z", or "+HH:MM" with or without its colon: how far ahead of UTC. */
static bool
read_zone(const char *pos, int *out)
{
	int sign = *pos == '-' ? -1 : 1;
	int hours = 0;
	int minutes = 0;

	if (*pos == 'Z')
		pos++;
	else if (*pos != '+' && *pos != '-')
		return false;
	else
	{
		pos++;
		if (!read_number(&pos, 2, &hours))
			return false;
		(void) read_literal(&pos, ":");
		if (!read_number(&pos, 2, &minutes) || hours > 23 || minutes > 59)
			return false;
	}
	*out = sign * (hours * 60 + minutes) * 60;
	return *pos == '\0';
}

bool
s3_time_parse_iso(const char *text, int64_t *out)
{
	struct tm tm = {0};
	const char *pos = text;
	int64_t local;
	int zone;
	int year;
	int month;

	if (!read_number(&pos, 4, &year) || !read_literal(&pos, "-") ||
		!read_number(&pos, 2, &month) || !read_literal(&pos, "-") ||
		!read_number(&pos, 2, &tm.tm_mday) || !read_literal(&pos, "T") ||
		!read_clock(&pos, &tm))
		return false;
	if (*pos == '.')
		pos += 1 + strspn(pos + 1, "0123456789");
	if (!read_zone(pos, &zone) || !to_seconds(&tm, year, month, &local))
		return false;
	*out = local - zone;
	return true;
}
