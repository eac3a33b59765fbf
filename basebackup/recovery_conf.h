/*
 * recovery_conf.h - the settings that a restored server recovers with
 *
 * Pure.  The text is appended to postgresql.auto.conf.  The server takes the
 * last value of a setting and ignores earlier ones, so every setting that
 * recovery depends on is written, and what a restored directory inherited
 * cannot interfere: other targets, the primary it followed, commands that
 * would clean up somebody else's archive.
 */
#ifndef BASEBACKUP_RECOVERY_CONF_H
#define BASEBACKUP_RECOVERY_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "basebackup/choose.h"
#include "common/err.h"

struct recovery_conf
{
	const struct recovery_target *target;
	bool standby;
	const char *primary_conninfo; /* NULL: none */
	const char *primary_slot;
	uint32_t timeline;
	bool timeline_current; /* its history file is not in the archive */
	bool archive_off;
	bool prefetch_off; /* the server must not ask for WAL ahead of need */
	const char *backup_id;
	int64_t now_s;

	/* restore_command: program, options; NULL-terminated, borrowed. */
	const char *const *command;
};

/*
 * *out is freed by free().  ST_CONFIG: a word of the command or a name that
 * no setting can hold.
 */
extern enum status recovery_conf_format(const struct recovery_conf *conf,
										char **out, struct err *err) ERR_CHECK;

/*
 * A line of one of the server's configuration files: name = 'value'.  The
 * value holds no line break.
 */
extern void setting_put(FILE *out, const char *name, const char *value);

/*
 * A command line for a shell, each word quoted where it needs to be.  *out is
 * freed by free().
 */
extern enum status
shell_quote(const char *const *words, char **out, struct err *err) ERR_CHECK;

#endif
