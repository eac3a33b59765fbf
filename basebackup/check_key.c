/*
 * check_key.c - the key, and where it lies
 *
 * Whoever loses the key has lost the repository, and whoever has both has the
 * data: so that is said here, where it can still be mended.
 */
#include "basebackup/check.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basebackup/json.h"
#include "common/ownplace.h"

void
check_key(struct check *check, struct session *session)
{
	static const char name[] = "key";
	char id[2 * KEY_ID_BYTES + 1];
	struct err err;

	if (keyring_load(session->cfg, &session->ring, &err) != ST_OK)
	{
		session->ring = NULL;
		check_tell_err(check, CHECK_FAIL, name, &err);
	}
	else if (!keyring_sealed(session->ring))
		check_tell(check, CHECK_WARNING, name,
				   "Make a key with \"walship keygen\" before the first "
				   "backup.",
				   "encryption is none: whoever reads the store reads the "
				   "database, and may alter it unnoticed");
	else
		check_tell(
			check, CHECK_OK, name,
			"If it is lost, nothing that it sealed can be read again, "
			"by anybody: keep a copy away from this host and from the "
			"store.",
			"sealing with key %s",
			hex_format(keyring_first_id(session->ring), KEY_ID_BYTES, id));
}

/* An own_place_test: is it the directory that arg points to? */
static bool
is_that(int dir, const struct stat *st, const void *arg)
{
	const struct stat *wanted = arg;

	(void) dir;
	return st->st_dev == wanted->st_dev && st->st_ino == wanted->st_ino;
}

/* Does the file, links followed, lie in that directory or below it? */
static bool
lies_in(const char *file, const struct stat *directory)
{
	char *path = realpath(file, NULL);
	bool inside = false;
	int fd;

	if (path == NULL)
		return false;
	fd = open(dirname(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
	{
		inside = own_place_above(fd, is_that, directory);
		(void) close(fd);
	}
	free(path);
	return inside;
}

void
check_key_place(struct check *check, const struct config *cfg,
				const struct check_server *server)
{
	static const char name[] = "key_place";
	static const char scheme[] = "file://";
	struct stat data;
	struct stat wal;
	struct stat repository;

	if (cfg->encryption == ENCRYPTION_NONE || cfg->key_file == NULL ||
		access(cfg->key_file, F_OK) != 0)
		return;
	if (cfg->repository != NULL &&
		strncmp(cfg->repository, scheme, strlen(scheme)) == 0 &&
		stat(cfg->repository + strlen(scheme), &repository) == 0 &&
		lies_in(cfg->key_file, &repository))
		check_tell(check, CHECK_WARNING, name,
				   "Whoever gets at the repository has its key, too, and both "
				   "are lost together: put it somewhere else.",
				   "\"%s\" is in the repository", cfg->key_file);
	else if (check_find_data(server, &data, &wal) &&
			 lies_in(cfg->key_file, &data))
		check_tell(check, CHECK_WARNING, name,
				   "Lost with the data directory, it is in no backup that "
				   "could be read without it: put it somewhere else.",
				   "\"%s\" is in the data directory", cfg->key_file);
	else
		check_tell(check, CHECK_OK, name, NULL,
				   "\"%s\" is not where it would be lost together with what "
				   "it protects",
				   cfg->key_file);
}
