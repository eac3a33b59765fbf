/*
 * notify.c - tells somebody: notify_command and what it gets
 */
#include "common/notify.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/subprocess.h"

static bool
passes(const char *entry)
{
	static const char *const names[] = {NOTIFY_PASSES};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		size_t len = strlen(names[i]);

		if (strncmp(entry, names[i], len) == 0 &&
			(entry[len] == '=' || names[i][len - 1] == '_'))
			return true;
	}
	return false;
}

enum status
notify_run(const char *command, const char *text, size_t len,
		   const struct deadline *d, struct err *err)
{
	char shell[] = "/bin/sh";
	char option[] = "-c";
	char *copy = strdup(command);
	char *const argv[] = {shell, option, copy, NULL};
	char **environment = subprocess_environment(passes);
	const struct subprocess_feed job = {.what = "notify_command",
										.argv = argv,
										.environment = environment,
										.text = text,
										.len = len};
	enum status status;

	if (copy == NULL || environment == NULL)
		status = err_set(err, ST_NOMEM, "out of memory");
	else
		status = subprocess_feed(&job, d, err);
	free(copy);
	free(environment);
	return status;
}
