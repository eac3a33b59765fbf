/*
 * timestamp.c - moments in time as text
 */
#include "basebackup/timestamp.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MICROS  1000000
#define DAY_S   86400
#define NO_ZONE INT64_MAX

/* Fields of a time as written. */
struct fields
{
	int year, month, day, hour, minute, second;
	int64_t micros;
	int64_t offset_s; /* east of Greenwich; NO_ZONE: none was given */
};

/* Takes exactly n digits. */
static bool
take_number(const char **at, int n, int *out)
{
	int value = 0;

	for (int i = 0; i < n; i++, (*at)++)
	{
		if (**at < '0' || **at > '9')
			return false;
		value = value * 10 + (**at - '0');
	}
	*out = value;
	return true;
}

static bool
take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static int
month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

static bool
take_date(const char **at, struct fields *f)
{
	return take_number(at, 4, &f->year) && take_char(at, '-') &&
		   take_number(at, 2, &f->month) && take_char(at, '-') &&
		   take_number(at, 2, &f->day) && f->year >= 1970 && f->month >= 1 &&
		   f->month <= 12 && f->day >= 1 &&
		   f->day <= month_days(f->year, f->month);
}

/* Digits behind the seconds, at most six. */
static bool
take_fraction(const char **at, struct fields *f)
{
	int64_t unit = MICROS / 10;

	if (!take_char(at, '.'))
		return true;
	if (**at < '0' || **at > '9')
		return false;
	for (; **at >= '0' && **at <= '9'; (*at)++, unit /= 10)
	{
		if (unit == 0)
			return false;
		f->micros += unit * (**at - '0');
	}
	return true;
}

static bool
take_time(const char **at, struct fields *f)
{
	if (!take_number(at, 2, &f->hour) || !take_char(at, ':') ||
		!take_number(at, 2, &f->minute))
		return false;
	if (take_char(at, ':') &&
		(!take_number(at, 2, &f->second) || !take_fraction(at, f)))
		return false;
	return f->hour <= 23 && f->minute <= 59 && f->second <= 59;
}

/* Other names of zones mean more than one offset, or need a database. */
static bool
take_utc(const char **at)
{
	static const char *const names[] = {"UTC", "GMT", "Z"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(*at, names[i]) == 0)
		{
			*at += strlen(names[i]);
			return true;
		}
	return false;
}

static bool
take_zone(const char **at, struct fields *f)
{
	int hours, minutes = 0;
	bool west;

	f->offset_s = NO_ZONE;
	if (**at == '\0')
		return true;
	(void) take_char(at, ' ');
	if (take_utc(at))
	{
		f->offset_s = 0;
		return true;
	}
	west = **at == '-';
	if ((!take_char(at, '+') && !take_char(at, '-')) ||
		!take_number(at, 2, &hours))
		return false;
	if (take_char(at, ':') ? !take_number(at, 2, &minutes)
						   : **at != '\0' && !take_number(at, 2, &minutes))
		return false;
	if (hours > 15 || minutes > 59)
		return false;
	f->offset_s =
		(hours * INT64_C(60) + minutes) * (west ? -INT64_C(60) : INT64_C(60));
	return true;
}

/* Days from 1970-01-01; by counting in years that begin in March. */
static int64_t
days_from_civil(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year =
		(153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t day_of_era =
		year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static int64_t
seconds_utc(const struct fields *f)
{
	return days_from_civil(f->year, f->month, f->day) * DAY_S +
		   (f->hour * INT64_C(3600) + f->minute * INT64_C(60) + f->second);
}

bool
timestamp_parse_utc(const char *text, int64_t *seconds)
{
	struct fields f = {0};

	if (strlen(text) != 20 || !take_date(&text, &f) ||
		!take_char(&text, 'T') || !take_time(&text, &f) ||
		strcmp(text, "Z") != 0)
		return false;
	*seconds = seconds_utc(&f);
	return true;
}

/* One reading of local time; false if there is no such time. */
static bool
try_local(const struct fields *f, int isdst, int64_t *seconds)
{
	struct tm tm = {.tm_year = f->year - 1900,
					.tm_mon = f->month - 1,
					.tm_mday = f->day,
					.tm_hour = f->hour,
					.tm_min = f->minute,
					.tm_sec = f->second,
					.tm_isdst = isdst};
	time_t t = mktime(&tm);

	*seconds = t;
	return tm.tm_hour == f->hour && tm.tm_min == f->minute &&
		   tm.tm_mday == f->day;
}

static enum status
seconds_local(const struct fields *f, const char *text, int64_t *seconds,
			  struct err *err)
{
	int64_t winter, summer;
	bool is_winter = try_local(f, 0, &winter);
	bool is_summer = try_local(f, 1, &summer);

	if (is_winter && is_summer && winter != summer)
		err_set(err, ST_CONFIG, "the time \"%s\" occurs twice here", text);
	else if (!is_winter && !is_summer)
		err_set(err, ST_CONFIG, "the time \"%s\" does not occur here", text);
	else
	{
		*seconds = is_winter ? winter : summer;
		return ST_OK;
	}
	return err_hint(err,
					"The clocks are changed then.  Give the offset from "
					"UTC, for example \"%s+00\".",
					text);
}

enum status
timestamp_parse(const char *text, int64_t *micros, struct err *err)
{
	struct fields f = {0};
	const char *at = text;
	int64_t seconds = 0;
	enum status st;

	if (!take_date(&at, &f) ||
		(!take_char(&at, 'T') && !take_char(&at, ' ')) ||
		!take_time(&at, &f) || !take_zone(&at, &f) || *at != '\0')
	{
		err_set(err, ST_CONFIG, "\"%s\" is not a time", text);
		return err_hint(err,
						"Write it like \"2026-11-21 13:30:00+01\": with "
						"an offset from UTC, \"UTC\", or, for this host's "
						"time, nothing behind it.");
	}
	if (f.offset_s != NO_ZONE)
		seconds = seconds_utc(&f) - f.offset_s;
	else if ((st = seconds_local(&f, text, &seconds, err)) != ST_OK)
		return st;
	*micros = seconds * MICROS + f.micros;
	return ST_OK;
}

char *
timestamp_format(int64_t micros, char *out)
{
	time_t seconds = (time_t) (micros / MICROS);
	int fraction = (int) (micros % MICROS);
	struct tm tm;
	size_t len;

	if (fraction < 0)
	{
		fraction += MICROS;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	len = strftime(out, TIMESTAMP_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm);
	if (fraction != 0)
		len += (size_t) snprintf(out + len, TIMESTAMP_TEXT_MAX - len, ".%06d",
								 fraction);
	snprintf(out + len, TIMESTAMP_TEXT_MAX - len, "+00");
	return out;
}
