/*
 * keycommand.c - runs the command that prints the keys
 */
#include "common/keycommand.h"

#include <stdlib.h>
#include <string.h>

#include "common/subprocess.h"

enum status
key_command_run(const char *command, size_t max, const struct deadline *d,
				char **out, size_t *out_len, struct err *err)
{
	char shell[] = "/bin/sh";
	char option[] = "-c";
	char *copy = strdup(command);
	char *const argv[] = {shell, option, copy, NULL};
	enum status status;

	if (copy == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = subprocess_read("key_command", argv, max, d, out, out_len, err);
	free(copy);
	return status;
}
