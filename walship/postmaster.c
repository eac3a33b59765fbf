/*
 * postmaster.c - the server that runs on a data directory
 */
#include "walship/postmaster.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cli.h"

/* Its first three lines are a number, a path, a number. */
#define TEXT_MAX    (PATH_MAX + 128)
#define NUMBER_MAX  24
#define LINE_PID    1
#define LINE_START  3
#define PID_HIGHEST (1 << 30)

/* The number that is the whole of a line, counted from 1. */
static bool
take_number(const char *text, size_t len, int line, uint64_t max,
			uint64_t *out)
{
	const char *end;
	char number[NUMBER_MAX];
	size_t digits;

	for (int i = 1; i < line; i++)
	{
		end = memchr(text, '\n', len);
		if (end == NULL)
			return false;
		len -= (size_t) (end + 1 - text);
		text = end + 1;
	}
	end = memchr(text, '\n', len);
	if (end == NULL)
		return false;
	digits = (size_t) (end - text);
	if (digits >= sizeof(number) || memchr(text, '\0', digits) != NULL)
		return false;
	memcpy(number, text, digits);
	number[digits] = '\0';
	return parse_uint64(number, max, out);
}

bool
postmaster_parse(const char *text, size_t len, struct postmaster *out)
{
	uint64_t pid;
	uint64_t started;

	/* A single-user server's process id is negative there. */
	if (!take_number(text, len, LINE_PID, PID_HIGHEST, &pid) ||
		!take_number(text, len, LINE_START, INT64_MAX, &started) || pid == 0)
		return false;
	out->pid = (pid_t) pid;
	out->started_s = (int64_t) started;
	return true;
}

bool
postmaster_read(const char *datadir, struct postmaster *out)
{
	char path[PATH_MAX];
	char text[TEXT_MAX];
	ssize_t len;
	int fd;
	int n = snprintf(path, sizeof(path), "%s/postmaster.pid", datadir);

	if (n < 0 || (size_t) n >= sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return false;
	len = read(fd, text, sizeof(text));
	(void) close(fd);
	return len > 0 && postmaster_parse(text, (size_t) len, out);
}

bool
postmaster_runs(const char *datadir, const struct postmaster *server)
{
	struct postmaster now;

	/* A killed server leaves its file behind. */
	return postmaster_read(datadir, &now) && now.pid == server->pid &&
		   now.started_s == server->started_s &&
		   (kill(now.pid, 0) == 0 || errno == EPERM);
}
