/*
 * object_buffer.c - room for one stored object, in memory or in a file
 */
#include "common/object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *
default_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir != NULL && dir[0] != '\0' ? dir : "/tmp";
}

/* Returns a descriptor of a file without a name, or -1 with errno. */
static int
open_unlinked(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	int len;

	/* EISDIR and EOPNOTSUPP: this kernel or file system has no O_TMPFILE. */
	if (fd >= 0 || (errno != EISDIR && errno != EOPNOTSUPP))
		return fd;
	len = snprintf(path, sizeof path, "%s/.walship-XXXXXX", dir);
	if (len < 0 || (size_t) len >= sizeof path)
	{
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0 && unlink(path) != 0)
	{
		int saved = errno;

		(void) close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/*
 * The blocks are reserved before the mapping is used: a full disk is an error
 * here instead of a SIGBUS later.
 */
static enum status
map_file(struct object_buffer *buf, size_t room, const char *dir,
		 struct err *err)
{
	int fd = open_unlinked(dir);
	int rc;
	void *data;

	if (fd < 0)
		return err_set_errno(err, ST_IO, errno,
							 "could not create a temporary file in \"%s\"",
							 dir);
	do
		rc = posix_fallocate(fd, 0, (off_t) room);
	while (rc == EINTR);
	if (rc != 0)
	{
		(void) close(fd);
		return err_set_errno(err, ST_IO, rc,
							 "could not reserve %zu bytes in \"%s\"", room,
							 dir);
	}
	data = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rc = errno;
	(void) close(fd);
	if (data == MAP_FAILED)
		return err_set_errno(err, ST_IO, rc,
							 "could not map a temporary file in \"%s\"", dir);
	buf->data = data;
	buf->mapped = true;
	return ST_OK;
}

enum status
object_buffer_new(struct object_buffer *buf, size_t room,
				  const char *spill_dir, struct err *err)
{
	struct object_buffer made = {.room = room};
	enum status status;

	if (room > OBJECT_BUFFER_MEMORY)
	{
		status = map_file(&made, room,
						  spill_dir != NULL ? spill_dir : default_dir(), err);
		if (status != ST_OK)
			return status;
	}
	else
	{
		made.data = malloc(room > 0 ? room : 1);
		if (made.data == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
	}
	*buf = made;
	return ST_OK;
}

void
object_buffer_free(struct object_buffer *buf)
{
	if (buf == NULL)
		return;
	if (buf->mapped)
		(void) munmap(buf->data, buf->room);
	else
		free(buf->data);
	memset(buf, 0, sizeof *buf);
}

enum status
object_buffer_reserve(struct object_buffer *buf, size_t room,
					  const char *spill_dir, struct err *err)
{
	uint8_t *data = NULL;

	if (buf->data != NULL && !buf->mapped && room <= OBJECT_BUFFER_MEMORY)
		data = realloc(buf->data, room > 0 ? room : 1);
	if (data != NULL)
	{
		*buf = (struct object_buffer){.data = data, .room = room};
		return ST_OK;
	}
	object_buffer_free(buf);
	return object_buffer_new(buf, room, spill_dir, err);
}

void
object_buffer_trim(struct object_buffer *buf)
{
	size_t kept = buf->len > 0 ? buf->len : 1;
	uint8_t *data;

	if (buf->mapped)
	{
		size_t page = (size_t) sysconf(_SC_PAGESIZE);

		kept = (kept + page - 1) / page * page;
		if (kept < buf->room &&
			munmap(buf->data + kept, buf->room - kept) == 0)
			buf->room = kept;
		return;
	}
	data = realloc(buf->data, kept);
	if (data == NULL)
		return;
	buf->data = data;
	buf->room = kept;
}
