/*
 * recovery_conf.c - the settings that a restored server recovers with
 */
#include "basebackup/recovery_conf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/timestamp.h"
#include "common/cli.h"
#include "common/walname.h"

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

static void
put_word(FILE *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
								"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
								"%+,-./:=@_";

	if (*word != '\0' && word[strspn(word, plain)] == '\0')
	{
		(void) fputs(word, out);
		return;
	}
	(void) fputc('\'', out);
	for (; *word != '\0'; word++)
		if (*word == '\'')
			(void) fputs("'\\''", out);
		else
			(void) fputc(*word, out);
	(void) fputc('\'', out);
}

enum status
shell_quote(const char *const *words, char **out, struct err *err)
{
	char *text = NULL;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	if (file == NULL)
		return nomem(err);
	for (size_t i = 0; words[i] != NULL; i++)
	{
		if (i > 0)
			(void) fputc(' ', file);
		put_word(file, words[i]);
	}
	if (fclose(file) != 0)
	{
		free(text);
		return nomem(err);
	}
	*out = text;
	return ST_OK;
}

void
setting_put(FILE *out, const char *name, const char *value)
{
	(void) fprintf(out, "%s = '", name);
	for (; *value != '\0'; value++)
	{
		if (*value == '\'' || *value == '\\')
			(void) fputc(*value, out);
		(void) fputc(*value, out);
	}
	(void) fputs("'\n", out);
}

/*
 * restore_command: the server replaces %f and %p, and %% by a percent sign;
 * the percent signs of our own words are therefore doubled.
 */
static enum status
put_command(FILE *out, const char *const *command, struct err *err)
{
	char *quoted = NULL, *doubled, *to;
	enum status st = shell_quote(command, &quoted, err);

	if (quoted == NULL)
		return st;
	doubled = malloc(2 * strlen(quoted) + sizeof(" %f \"%p\""));
	if (doubled == NULL)
	{
		free(quoted);
		return nomem(err);
	}
	to = doubled;
	for (const char *from = quoted; *from != '\0'; from++)
	{
		if (*from == '%')
			*to++ = '%';
		*to++ = *from;
	}
	memcpy(to, " %f \"%p\"", sizeof(" %f \"%p\""));
	setting_put(out, "restore_command", doubled);
	free(quoted);
	free(doubled);
	return ST_OK;
}

static const struct
{
	enum target_kind kind;
	const char *name;
} target_settings[] = {
	{TARGET_IMMEDIATE, "recovery_target"},
	{TARGET_TIME, "recovery_target_time"},
	{TARGET_LSN, "recovery_target_lsn"},
	{TARGET_XID, "recovery_target_xid"},
	{TARGET_NAME, "recovery_target_name"},
};

#define TARGET_SETTINGS (sizeof(target_settings) / sizeof(target_settings[0]))

static void
put_value(FILE *out, const char *name, const struct recovery_target *target)
{
	char lsn[LSN_TEXT_MAX], time[TIMESTAMP_TEXT_MAX];

	switch (target->kind)
	{
		case TARGET_IMMEDIATE:
			setting_put(out, name, "immediate");
			break;
		case TARGET_TIME:
			setting_put(out, name, timestamp_format(target->time_us, time));
			break;
		case TARGET_LSN:
			setting_put(out, name, lsn_format(target->lsn, lsn));
			break;
		case TARGET_XID:
		case TARGET_NAME:
			setting_put(out, name, target->text);
			break;
		case TARGET_END:
			break;
	}
}

/*
 * The server refuses a second target even if it is empty, unless the empty
 * ones come first.
 */
static void
put_target(FILE *out, const struct recovery_target *target)
{
	const char *name = NULL;

	for (size_t i = 0; i < TARGET_SETTINGS; i++)
		if (target_settings[i].kind == target->kind)
			name = target_settings[i].name;
		else
			setting_put(out, target_settings[i].name, "");
	if (name != NULL)
		put_value(out, name, target);
	setting_put(out, "recovery_target_inclusive",
				target->inclusive == INCLUSIVE_NO ? "off" : "on");
	setting_put(out, "recovery_target_action",
				target->action == NULL ? "pause" : target->action);
}

/* A server that pauses at its target is there to be looked at. */
static bool
pauses(const struct recovery_target *target)
{
	return target->kind != TARGET_END &&
		   (target->action == NULL || strcmp(target->action, "pause") == 0);
}

static void
put_rest(FILE *out, const struct recovery_conf *conf)
{
	char timeline[16];

	snprintf(timeline, sizeof(timeline), "%" PRIu32, conf->timeline);
	setting_put(out, "recovery_target_timeline",
				conf->standby            ? "latest"
				: conf->timeline_current ? "current"
										 : timeline);
	put_target(out, conf->target);
	setting_put(out, "recovery_end_command", "");
	setting_put(out, "archive_cleanup_command", "");
	setting_put(out, "primary_conninfo",
				conf->primary_conninfo != NULL ? conf->primary_conninfo : "");
	setting_put(out, "primary_slot_name",
				conf->primary_slot != NULL ? conf->primary_slot : "");
	if (!conf->standby)
		setting_put(out, "recovery_min_apply_delay", "0");
	if (pauses(conf->target))
		setting_put(out, "hot_standby", "on");
	if (conf->prefetch_off)
		setting_put(out, "recovery_prefetch", "off");
	if (conf->archive_off)
	{
		(void) fputs("# So that this copy does not archive beside the server "
					 "it is a copy of.\n"
					 "# When it takes that server's place: ALTER SYSTEM RESET "
					 "archive_mode, and restart.\n",
					 out);
		setting_put(out, "archive_mode", "off");
	}
}

enum status
recovery_conf_format(const struct recovery_conf *conf, char **out,
					 struct err *err)
{
	char time[21], *text = NULL;
	size_t len;
	FILE *file;
	enum status st;

	if (conf->target->text != NULL &&
		strpbrk(conf->target->text, "\r\n") != NULL)
		return err_set(err, ST_CONFIG, "the target holds a line break");
	for (size_t i = 0; conf->command[i] != NULL; i++)
		if (strpbrk(conf->command[i], "\r\n") != NULL)
			return err_set(err, ST_CONFIG,
						   "restore_command would hold a line break");
	file = open_memstream(&text, &len);
	if (file == NULL)
		return nomem(err);
	(void) fprintf(file,
				   "\n# Written by walship restore at %s, from backup %s.\n",
				   time_format(conf->now_s, time), conf->backup_id);
	st = put_command(file, conf->command, err);
	if (st == ST_OK)
		put_rest(file, conf);
	if (fclose(file) != 0 && st == ST_OK)
		st = nomem(err);
	if (st != ST_OK)
	{
		free(text);
		return st;
	}
	*out = text;
	return ST_OK;
}
