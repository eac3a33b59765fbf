/*
 * detach.c - a process that a call leaves behind
 */
#include "walship/detach.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

bool
detach(detach_main run, void *arg)
{
	int wait_status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return false;
	if (pid == 0)
	{
		if (setsid() < 0)
			_exit(1);
		pid = fork();
		if (pid != 0)
			_exit(pid > 0 ? 0 : 1);
		run(arg);
		_exit(1);
	}
	while (waitpid(pid, &wait_status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
}
