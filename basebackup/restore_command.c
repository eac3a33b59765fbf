/*
 * restore_command.c - what a restored server runs to get WAL back
 */
#include "basebackup/restore_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "walship_build.h"

/* wal-fetch lies beside this program, or where both were installed. */
static enum status
find_wal_fetch(char *out, struct err *err)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (len > 0)
	{
		self[len] = '\0';
		slash = strrchr(self, '/');
		if (slash != NULL)
			*slash = '\0';
		if ((size_t) snprintf(out, PATH_MAX, "%s/wal-fetch", self) <
				PATH_MAX &&
			access(out, X_OK) == 0)
			return ST_OK;
	}
	snprintf(out, PATH_MAX, "%s/wal-fetch", WALSHIP_BINDIR);
	if (access(out, X_OK) == 0)
		return ST_OK;
	return err_set_errno(err, ST_CONFIG, errno, "cannot find \"%s\"", out);
}

enum status
restore_command_build(struct restore_command *c,
					  const struct cli_common *common,
					  const struct session *session, bool standby,
					  struct err *err)
{
	const char *path = session->cfg->path;
	char resolved[PATH_MAX];
	size_t n = 0;
	enum status st;

	c->nsettings = 0;
	st = find_wal_fetch(c->program, err);
	if (st != ST_OK)
		return st;
	c->words[n++] = c->program;
	if (path != NULL && strcmp(path, CONFIG_DEFAULT_PATH) != 0)
	{
		if (realpath(path, resolved) == NULL)
			return err_set_errno(err, ST_IO, errno, "could not find \"%s\"",
								 path);
		snprintf(c->config, sizeof(c->config), "--config=%s", resolved);
		c->words[n++] = c->config;
	}
	for (size_t i = 0; i < common->noverrides; i++)
	{
		char *word;

		if (strncmp(common->overrides[i], "log_", 4) == 0)
			continue;
		if (asprintf(&word, "--set=%s", common->overrides[i]) < 0)
			return err_set(err, ST_NOMEM, "out of memory");
		c->settings[c->nsettings++] = word;
		c->words[n++] = word;
	}
	c->words[n++] = standby ? "--mode=standby" : "--mode=recovery";
	snprintf(c->cluster, sizeof(c->cluster), "--cluster=%" PRIu64,
			 session->repo.system_identifier);
	c->words[n++] = c->cluster;
	c->words[n] = NULL;
	return ST_OK;
}

void
restore_command_free(struct restore_command *c)
{
	while (c->nsettings > 0)
		free(c->settings[--c->nsettings]);
}
