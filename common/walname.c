/*
 * walname.c - names of WAL files, LSNs and segment numbers
 */
#include "common/walname.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEX8 8 /* digits of a timeline, and of either half of a segment */

#define SEGMENT_DIGITS 24

static const char PARTIAL_SUFFIX[] = ".partial";
static const char HISTORY_SUFFIX[] = ".history";
static const char BACKUP_SUFFIX[] = ".backup";

/* PostgreSQL writes upper case and recognises nothing else. */
static bool
upper_digit(char c, uint32_t *value)
{
	if (c >= '0' && c <= '9')
		*value = (uint32_t) (c - '0');
	else if (c >= 'A' && c <= 'F')
		*value = (uint32_t) (c - 'A' + 10);
	else
		return false;
	return true;
}

/* Exactly eight digits; what follows is the caller's affair. */
static bool
upper_hex8(const char *text, uint32_t *out)
{
	uint32_t value = 0;
	uint32_t digit;

	for (int i = 0; i < HEX8; i++)
	{
		if (!upper_digit(text[i], &digit))
			return false;
		value = value << 4 | digit;
	}
	*out = value;
	return true;
}

/* Everything but the text and the rule about timeline 0. */
static bool
parse_parts(struct wal_name *name, const char *text, size_t len)
{
	const char *rest;

	if (len < HEX8 || !upper_hex8(text, &name->timeline))
		return false;
	if (strcmp(text + HEX8, HISTORY_SUFFIX) == 0)
	{
		name->kind = WAL_HISTORY;
		return true;
	}
	if (len < SEGMENT_DIGITS || !upper_hex8(text + HEX8, &name->high) ||
		!upper_hex8(text + (size_t) 2 * HEX8, &name->low))
		return false;
	rest = text + SEGMENT_DIGITS;
	if (*rest == '\0')
		name->kind = WAL_SEGMENT;
	else if (strcmp(rest, PARTIAL_SUFFIX) == 0)
		name->kind = WAL_PARTIAL;
	else if (len == SEGMENT_DIGITS + 1 + HEX8 + strlen(BACKUP_SUFFIX) &&
			 *rest == '.' && upper_hex8(rest + 1, &name->offset) &&
			 strcmp(rest + 1 + HEX8, BACKUP_SUFFIX) == 0)
		name->kind = WAL_BACKUP;
	else
		return false;
	return true;
}

enum status
wal_name_parse(struct wal_name *name, const char *text, struct err *err)
{
	struct wal_name parsed = {0};
	size_t len = strnlen(text, WAL_NAME_MAX + 1);

	if (len > WAL_NAME_MAX || !parse_parts(&parsed, text, len))
		return err_set(err, ST_CONFIG,
					   "\"%.*s\" is not the name of a WAL file", WAL_NAME_MAX,
					   text);
	if (parsed.timeline == 0)
		return err_set(err, ST_CONFIG,
					   "\"%s\" is not the name of a WAL file: there is no "
					   "timeline 0",
					   text);
	memcpy(parsed.text, text, len + 1);
	*name = parsed;
	return ST_OK;
}

bool
wal_segment_size_valid(uint64_t bytes)
{
	return bytes >= WAL_SEGMENT_SIZE_MIN && bytes <= WAL_SEGMENT_SIZE_MAX &&
		   (bytes & (bytes - 1)) == 0;
}

/* How many segments share the middle group of their names. */
static uint64_t
segments_per_group(uint32_t segment_size)
{
	return ((uint64_t) 1 << 32) / segment_size;
}

bool
wal_name_segno(const struct wal_name *name, uint32_t segment_size,
			   uint64_t *segno)
{
	uint64_t per_group = segments_per_group(segment_size);

	if (name->low >= per_group)
		return false;
	*segno = name->high * per_group + name->low;
	return true;
}

void
wal_name_segment(struct wal_name *name, uint32_t timeline, uint64_t segno,
				 uint32_t segment_size)
{
	uint64_t per_group = segments_per_group(segment_size);

	memset(name, 0, sizeof(*name));
	name->kind = WAL_SEGMENT;
	name->timeline = timeline;
	name->high = (uint32_t) (segno / per_group);
	name->low = (uint32_t) (segno % per_group);
	(void) snprintf(name->text, sizeof(name->text),
					"%08" PRIX32 "%08" PRIX32 "%08" PRIX32, timeline,
					name->high, name->low);
}

void
wal_name_partial(struct wal_name *name)
{
	name->kind = WAL_PARTIAL;
	(void) snprintf(name->text + 24, sizeof(name->text) - 24, ".partial");
}

uint64_t
wal_segno_of(uint64_t lsn, uint32_t segment_size)
{
	return lsn / segment_size;
}

uint64_t
wal_segno_before(uint64_t end_lsn, uint32_t segment_size)
{
	return end_lsn == 0 ? 0 : (end_lsn - 1) / segment_size;
}

char *
lsn_format(uint64_t lsn, char *out)
{
	(void) snprintf(out, LSN_TEXT_MAX, "%" PRIX32 "/%" PRIX32,
					(uint32_t) (lsn >> 32), (uint32_t) lsn);
	return out;
}

/* One to eight digits of either case; returns how many, 0 if none. */
static size_t
lsn_half(const char *text, uint32_t *out)
{
	uint32_t value = 0;
	uint32_t digit;
	size_t len;

	for (len = 0; len < HEX8; len++)
	{
		char c = text[len];

		if (c >= 'a' && c <= 'f')
			c = (char) (c - 'a' + 'A');
		if (!upper_digit(c, &digit))
			break;
		value = value << 4 | digit;
	}
	*out = value;
	return len;
}

bool
lsn_parse(const char *text, uint64_t *lsn)
{
	uint32_t high;
	uint32_t low;
	size_t len = lsn_half(text, &high);

	if (len == 0 || text[len] != '/')
		return false;
	text += len + 1;
	len = lsn_half(text, &low);
	if (len == 0 || text[len] != '\0')
		return false;
	*lsn = (uint64_t) high << 32 | low;
	return true;
}

bool
timeline_parse(const char *text, uint32_t *timeline)
{
	uint32_t value;

	if (!upper_hex8(text, &value) || text[HEX8] != '\0' || value == 0)
		return false;
	*timeline = value;
	return true;
}
