/*
 * secretfile.c - files that may hold secrets, and the memory for them
 */
#include "common/secretfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdint.h>
#include <unistd.h>

enum status
secret_alloc(size_t size, void **out, struct err *err)
{
	void *memory;

	if (sodium_init() < 0)
		return err_set(err, ST_IO, "could not initialize libsodium");
	memory = sodium_malloc(size);
	if (memory == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	*out = memory;
	return ST_OK;
}

void
secret_free(void *memory)
{
	sodium_free(memory);
}

/* Reads what fits into room; more than that was not there a moment ago. */
static enum status
read_all(int fd, const char *path, char *text, size_t room, size_t *len,
		 struct err *err)
{
	size_t done = 0;

	while (done < room)
	{
		ssize_t n = read(fd, text + done, room - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, ST_IO, errno,
								 "could not read file \"%s\"", path);
		if (n == 0)
		{
			text[done] = '\0';
			*len = done;
			return ST_OK;
		}
		done += (size_t) n;
	}
	return err_set(err, ST_IO, "file \"%s\" changed while it was read", path);
}

enum status
secret_file_read(const char *path, size_t max, struct secret_file *out,
				 struct err *err)
{
	struct secret_file file = {.text = NULL};
	enum status status;
	void *memory = NULL;
	size_t room = 0;
	int fd;

	/* A FIFO must neither block nor pass for a file. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_set_errno(err, errno == ENOENT ? ST_MISSING : ST_IO, errno,
							 "could not open file \"%s\"", path);

	if (fstat(fd, &file.stat) != 0)
		status = err_set_errno(err, ST_IO, errno, "could not stat file \"%s\"",
							   path);
	else if (!S_ISREG(file.stat.st_mode))
		status =
			err_set(err, ST_CONFIG, "file \"%s\" is not a regular file", path);
	else if (file.stat.st_size < 0 || (uint64_t) file.stat.st_size > max)
		status = err_set(err, ST_CONFIG,
						 "file \"%s\" is larger than %zu bytes", path, max);
	else
	{
		room = (size_t) file.stat.st_size + 1;
		status = secret_alloc(room, &memory, err);
	}

	if (memory != NULL)
	{
		file.text = memory;
		status = read_all(fd, path, file.text, room, &file.len, err);
	}
	(void) close(fd);

	if (status == ST_OK)
		*out = file;
	else
		secret_free(memory);
	return status;
}

void
secret_file_free(struct secret_file *file)
{
	secret_free(file->text);
	file->text = NULL;
	file->len = 0;
}

enum status
secret_file_check(const struct secret_file *file, const char *path,
				  struct err *err)
{
	uid_t owner = file->stat.st_uid;
	mode_t forbidden =
		owner == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;

	if (owner != 0 && owner != geteuid())
	{
		(void) err_set(err, ST_CONFIG,
					   "file \"%s\" is owned by neither this user nor root",
					   path);
		return err_hint(err, "Run as the user who owns it, or change its "
							 "owner.");
	}
	if ((file->stat.st_mode & forbidden) != 0)
	{
		(void) err_set(err, ST_CONFIG, "file \"%s\" has group or world access",
					   path);
		(void) err_detail(err, "It holds a secret and its mode is %04o.",
						  (unsigned) (file->stat.st_mode & 07777));
		return err_hint(err, "Allow at most 0600 if it is owned by the user, "
							 "0640 if it is owned by root.");
	}
	return ST_OK;
}
