/*
 * backup_id.c - the names of backups
 */
#include "basebackup/backup_id.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "basebackup/timestamp.h"

/* Upper-case hex digits. */
static bool
parse_hex(const char *text, size_t digits, uint64_t *out)
{
	uint64_t value = 0;

	for (size_t i = 0; i < digits; i++)
	{
		char c = text[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t) (c - '0');
		else if (c >= 'A' && c <= 'F')
			value = value << 4 | (uint64_t) (c - 'A' + 10);
		else
			return false;
	}
	*out = value;
	return true;
}

bool
backup_id_parse(const char *text, struct backup_id *out)
{
	struct backup_id id;
	uint64_t timeline;
	char iso[32];

	if (strlen(text) != BACKUP_ID_MAX - 1 || text[16] != '-' ||
		text[25] != '-' || !parse_hex(text, 16, &id.lsn) ||
		!parse_hex(text + 17, 8, &timeline) || timeline == 0)
		return false;
	id.timeline = (uint32_t) timeline;

	/* YYYYMMDDTHHMMSSZ with the separators that the parser wants. */
	text += 26;
	snprintf(iso, sizeof(iso), "%.4s-%.2s-%.5s:%.2s:%.3s", text, text + 4,
			 text + 6, text + 11, text + 13);
	if (!timestamp_parse_utc(iso, &id.time_s))
		return false;
	if (out != NULL)
		*out = id;
	return true;
}

bool
backup_id_of_prefix(const char *text, char *id)
{
	if (strlen(text) != BACKUP_ID_MAX || text[BACKUP_ID_MAX - 1] != '/')
		return false;
	memcpy(id, text, BACKUP_ID_MAX - 1);
	id[BACKUP_ID_MAX - 1] = '\0';
	return backup_id_parse(id, NULL);
}
