/*
 * tempfile.c - files without a name, gone with the process
 */
#include "basebackup/tempfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *
directory(void)
{
	const char *dir = getenv("TMPDIR");

	return dir != NULL && *dir != '\0' ? dir : "/tmp";
}

enum status
tempfile_failed(const char *what, int error, struct err *err)
{
	(void) err_set_errno(err, ST_IO, error,
						 "could not %s a temporary file in \"%s\"", what,
						 directory());
	return err_hint(err, "TMPDIR names the directory for temporary files: it "
						 "must be writable and have room.");
}

static int
open_unlinked(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int n;

	/* Not every file system has O_TMPFILE. */
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	n = snprintf(path, sizeof(path), "%s/walship-XXXXXX", dir);
	if (n < 0 || (size_t) n >= sizeof(path))
	{
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void) unlink(path);
	return fd;
}

enum status
tempfile_open(FILE **out, struct err *err)
{
	int fd = open_unlinked(directory());
	FILE *file;

	if (fd < 0)
		return tempfile_failed("make", errno, err);
	file = fdopen(fd, "w+");
	if (file == NULL)
	{
		(void) close(fd);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	*out = file;
	return ST_OK;
}

enum status
tempfile_write(FILE *file, const void *data, size_t len, struct err *err)
{
	if (len > 0 && fwrite(data, len, 1, file) != 1)
		return tempfile_failed("write", errno, err);
	return ST_OK;
}

enum status
tempfile_read(FILE *file, void *data, size_t len, struct err *err)
{
	if (len == 0 || fread(data, len, 1, file) == 1)
		return ST_OK;
	if (ferror(file) != 0)
		return tempfile_failed("read", errno, err);
	return err_set(err, ST_IO, "temporary file is shorter than written");
}

enum status
tempfile_rewind(FILE *file, struct err *err)
{
	if (fflush(file) != 0 || fseeko(file, 0, SEEK_SET) != 0)
		return tempfile_failed("write", errno, err);
	return ST_OK;
}

enum status
tempfile_length(FILE *file, uint64_t *len, struct err *err)
{
	struct stat st;

	if (fflush(file) != 0 || fstat(fileno(file), &st) != 0)
		return tempfile_failed("write", errno, err);
	*len = (uint64_t) st.st_size;
	return ST_OK;
}

enum status
tempfile_read_at(FILE *file, uint64_t at, void *data, size_t len,
				 struct err *err)
{
	char *out = data;

	while (len > 0)
	{
		ssize_t n = pread(fileno(file), out, len, (off_t) at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tempfile_failed("read", errno, err);
		if (n == 0)
			return err_set(err, ST_IO,
						   "temporary file is shorter than written");
		out += n;
		at += (uint64_t) n;
		len -= (size_t) n;
	}
	return ST_OK;
}
