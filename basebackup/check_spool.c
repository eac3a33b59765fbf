/*
 * check_spool.c - the directory for markers and prefetched segments
 *
 * A spool that cannot be used costs speed and nothing else, so nothing here
 * is worse than a warning.
 */
#include "basebackup/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/walpage.h"

static const char name[] = "spool";

bool
check_find_data(const struct check_server *server, struct stat *data,
				struct stat *wal)
{
	const char *dir = check_server_setting(server, "data_directory");
	struct pg_control control;
	struct err err;
	char path[4096];

	return dir != NULL && server->system_identifier != 0 &&
		   snprintf(path, sizeof(path), "%s/pg_wal", dir) <
			   (int) sizeof(path) &&
		   pg_control_read(dir, &control, &err) == ST_OK &&
		   control.system_identifier == server->system_identifier &&
		   stat(dir, data) == 0 && stat(path, wal) == 0;
}

/* True if something was amiss, and told. */
static bool
tell_unsafe(struct check *check, const char *path, const struct stat *st,
			bool have_owner, uid_t owner)
{
	static const char ours[] =
		"It is not used like this, which costs speed. Make it a directory of "
		"the server's user, with mode 0700.";

	if (!S_ISDIR(st->st_mode))
		check_tell(check, CHECK_WARNING, name, ours, "\"%s\" is %s", path,
				   S_ISLNK(st->st_mode) ? "a symbolic link"
										: "not a directory");
	else if ((st->st_mode & 0077) != 0)
		check_tell(check, CHECK_WARNING, name, ours, "\"%s\" has mode 0%03o",
				   path, st->st_mode & 0777U);
	else if (have_owner && st->st_uid != owner)
		check_tell(check, CHECK_WARNING, name, ours,
				   "\"%s\" belongs to user %u, the server runs as user %u",
				   path, (unsigned) st->st_uid, (unsigned) owner);
	else
		return false;
	return true;
}

void
check_spool(struct check *check, const struct config *cfg,
			const struct check_server *server)
{
	const char *path = cfg->spool;
	struct stat data;
	struct stat wal;
	struct stat st;
	bool local = check_find_data(server, &data, &wal);

	if (path == NULL || path[0] == '\0')
	{
		check_tell(check, CHECK_WARNING, name,
				   "Set \"spool\"; without it every call goes to the store.",
				   "no spool is set");
		return;
	}
	if (lstat(path, &st) != 0)
	{
		if (errno == ENOENT)
			check_tell(check, CHECK_WARNING, name,
					   "Make it a directory of the server's user with mode "
					   "0700; without it every call goes to the store.",
					   "directory \"%s\" does not exist", path);
		else
			check_tell(check, CHECK_WARNING, name, NULL,
					   "could not look at \"%s\": %s", path, strerror(errno));
		return;
	}
	if (tell_unsafe(check, path, &st, local || geteuid() != 0,
					local ? data.st_uid : geteuid()))
		return;
	if (local && st.st_dev != wal.st_dev)
		check_tell(check, CHECK_OK, name,
				   "On the file system of pg_wal a prefetched segment is "
				   "renamed; now it is copied.",
				   "\"%s\" is usable, on another file system than pg_wal",
				   path);
	else
		check_tell(check, CHECK_OK, name, NULL, "\"%s\" is usable%s", path,
				   local ? ", on the file system of pg_wal" : "");
}
