/*
 * ownplace.c - whether files and directories are ours alone
 */
#include "common/ownplace.h"

#include <fcntl.h>
#include <unistd.h>

#define DEPTH_MAX 256

bool
own_place(const struct stat *st)
{
	return st->st_uid == geteuid() && (st->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

bool
own_place_above(int fd, own_place_test test, const void *arg)
{
	struct stat st;
	struct stat last = {0};
	int at = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	bool found = false;

	for (int i = 0; i < DEPTH_MAX && at >= 0 && !found; i++)
	{
		int up;

		/* Above the root is the root. */
		if (fstat(at, &st) != 0 ||
			(st.st_dev == last.st_dev && st.st_ino == last.st_ino))
			break;
		found = test(at, &st, arg);
		last = st;
		up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		(void) close(at);
		at = up;
	}
	if (at >= 0)
		(void) close(at);
	return found;
}
