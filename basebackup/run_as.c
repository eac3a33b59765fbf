/*
 * run_as.c - being the user that PostgreSQL's programs want
 */
#include "basebackup/run_as.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

enum status
run_as_postgres(bool *became, struct err *err)
{
	const struct passwd *user;

	*became = false;
	if (geteuid() != 0)
		return ST_OK;
	errno = 0;
	user = getpwnam(RUN_AS_USER);
	if (user == NULL)
	{
		err_set(err, ST_CONFIG,
				"a server cannot be run as root, and there is no user \"%s\"",
				RUN_AS_USER);
		return err_hint(err, "Run it as the user that owns the server.");
	}
	if (initgroups(user->pw_name, user->pw_gid) != 0 ||
		setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
		return err_set_errno(err, ST_IO, errno, "could not become user \"%s\"",
							 RUN_AS_USER);
	(void) setenv("HOME", user->pw_dir, 1);
	(void) setenv("USER", user->pw_name, 1);
	(void) setenv("LOGNAME", user->pw_name, 1);
	*became = true;
	return ST_OK;
}
