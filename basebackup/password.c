/*
 * password.c - a password typed at the terminal
 */
#include "basebackup/password.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* The terminal may take fewer bytes than asked for; nothing hangs on them. */
static void
show(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0)
	{
		ssize_t n = write(fd, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t) n;
	}
}

/* Reads a line; false when it did not come to its end. */
static bool
read_line(int fd, char *line, size_t size)
{
	size_t len = 0;
	char c;

	while (read(fd, &c, 1) == 1)
	{
		if (c == '\n' || c == '\r')
		{
			line[len] = '\0';
			return true;
		}
		if (len + 1 < size)
			line[len++] = c;
	}
	return false;
}

enum status
password_ask(const char *prompt, char **password, struct err *err)
{
	enum status status = ST_OK;
	struct termios before;
	struct termios quiet;
	char *line = NULL;
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &before) != 0)
	{
		status =
			err_set_errno(err, ST_CONFIG, errno, "cannot ask for a password");
		goto done;
	}
	line = calloc(1, PASSWORD_MAX);
	if (line == NULL)
	{
		status = err_set(err, ST_NOMEM, "out of memory");
		goto done;
	}
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t) ECHO;
	(void) tcsetattr(fd, TCSAFLUSH, &quiet);
	show(fd, prompt);
	if (read_line(fd, line, PASSWORD_MAX))
	{
		*password = line;
		line = NULL;
	}
	else
		status = err_set(err, ST_CANCELLED, "no password was typed");
	(void) tcsetattr(fd, TCSAFLUSH, &before);
	show(fd, "\n");

done:
	password_free(line);
	if (fd >= 0)
		(void) close(fd);
	return status;
}

void
password_free(char *password)
{
	if (password == NULL)
		return;
	explicit_bzero(password, strlen(password));
	free(password);
}
