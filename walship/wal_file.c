/*
 * wal_file.c - a WAL file in pg_wal
 */
#include "walship/wal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/wal_history.h"
#include "common/walscan.h"

#define CHUNK_BYTES ((size_t) 1 << 20)

static const char BACKUP_BEGINNING[] = "START WAL LOCATION: ";

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

enum status
wal_file_read(void *arg, void *data, size_t len, struct err *err)
{
	struct wal_file *file = arg;
	uint8_t *at = data;

	while (len > 0)
	{
		ssize_t n = pread(file->fd, at, len, (off_t) file->offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, ST_IO, errno,
								 "could not read file \"%s\"", file->path);
		if (n == 0)
			return err_set(err, ST_IO,
						   "file \"%s\" ended at byte %" PRIu64
						   " while it was read",
						   file->path, file->offset);
		at += n;
		len -= (size_t) n;
		file->offset += (uint64_t) n;
	}
	return ST_OK;
}

void
wal_file_rewind(struct wal_file *file)
{
	file->offset = 0;
}

static enum status
check_segment(struct wal_file *file, uint64_t system_identifier,
			  struct err *err)
{
	uint8_t header[WAL_LONG_HEADER_BYTES];
	enum status status;

	if (file->size_bytes < sizeof(header))
		return err_set(err, ST_CORRUPT,
					   "file \"%s\" is too short for a WAL segment",
					   file->path);
	status = wal_file_read(file, header, sizeof(header), err);
	if (status != ST_OK)
		return status;
	status = wal_page_parse(&file->page, header, sizeof(header), err);
	if (status == ST_OK)
		status = wal_page_check(&file->page, &file->name, file->size_bytes,
								system_identifier, NULL, err);
	return status == ST_OK ? ST_OK
						   : err_context(err, "file \"%s\"", file->path);
}

static enum status
check_text(struct wal_file *file, struct err *err)
{
	enum status status;
	char *text;

	if (file->size_bytes > WAL_HISTORY_BYTES_MAX)
		return err_set(err, ST_CORRUPT, "file \"%s\" is too long for its name",
					   file->path);
	text = malloc((size_t) file->size_bytes);
	if (text == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = wal_file_read(file, text, (size_t) file->size_bytes, err);
	if (status != ST_OK)
	{
		free(text);
		return status;
	}
	if (file->name.kind == WAL_HISTORY)
		status = wal_history_check(file->name.timeline, text,
								   (size_t) file->size_bytes, err);
	else if (file->size_bytes < sizeof(BACKUP_BEGINNING) - 1 ||
			 memcmp(text, BACKUP_BEGINNING, sizeof(BACKUP_BEGINNING) - 1) != 0)
		status = err_set(err, ST_CORRUPT, "not a backup history file");
	free(text);
	return status == ST_OK ? ST_OK
						   : err_context(err, "file \"%s\"", file->path);
}

/* Everything that an open descriptor tells. */
static enum status
identify(struct wal_file *file, uint64_t system_identifier, struct err *err)
{
	enum status status;

	if (fstat(file->fd, &file->opened) != 0)
		return err_set_errno(err, ST_IO, errno, "could not stat file \"%s\"",
							 file->path);
	if (!S_ISREG(file->opened.st_mode))
		return err_set(err, ST_CONFIG, "\"%s\" is not a regular file",
					   file->path);
	file->size_bytes = (uint64_t) file->opened.st_size;
	if (file->size_bytes == 0)
		return err_set(err, ST_CORRUPT, "file \"%s\" is empty", file->path);
	if (file->name.kind == WAL_SEGMENT || file->name.kind == WAL_PARTIAL)
		status = check_segment(file, system_identifier, err);
	else
		status = check_text(file, err);
	wal_file_rewind(file);
	return status;
}

enum status
wal_file_open(struct wal_file *file, const char *path,
			  uint64_t system_identifier, struct err *err)
{
	struct wal_file f = {.path = path, .fd = -1};
	enum status status = wal_name_parse(&f.name, base_name(path), err);

	if (status != ST_OK)
		return status;
	/* Without O_NONBLOCK a pipe would never be opened. */
	f.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (f.fd < 0)
		return err_set_errno(err, ST_IO, errno, "could not open file \"%s\"",
							 path);
	status = identify(&f, system_identifier, err);
	if (status != ST_OK)
	{
		wal_file_close(&f);
		return status;
	}
	*file = f;
	return ST_OK;
}

void
wal_file_close(struct wal_file *file)
{
	if (file->fd >= 0)
		(void) close(file->fd);
	file->fd = -1;
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

enum status
wal_file_unchanged(const struct wal_file *file, struct err *err)
{
	struct stat now;

	if (fstat(file->fd, &now) != 0)
		return err_set_errno(err, ST_IO, errno, "could not stat file \"%s\"",
							 file->path);
	if (now.st_dev != file->opened.st_dev ||
		now.st_ino != file->opened.st_ino ||
		now.st_size != file->opened.st_size ||
		!same_time(&now.st_mtim, &file->opened.st_mtim) ||
		!same_time(&now.st_ctim, &file->opened.st_ctim))
		return err_set(err, ST_IO, "file \"%s\" changed while it was read",
					   file->path);
	return ST_OK;
}

enum status
wal_file_complete(struct wal_file *file, bool *complete, struct err *err)
{
	uint8_t *chunk = malloc(CHUNK_BYTES);
	struct wal_scan scan;
	enum status status = ST_OK;

	if (chunk == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	wal_scan_begin(&scan, &file->page);
	wal_file_rewind(file);
	while (status == ST_OK && file->offset < file->size_bytes)
	{
		/* A segment's size is a multiple of the chunk's. */
		status = wal_file_read(file, chunk, CHUNK_BYTES, err);
		if (status == ST_OK && !wal_scan_feed(&scan, chunk, CHUNK_BYTES))
			break;
	}
	wal_file_rewind(file);
	free(chunk);
	if (status == ST_OK)
		*complete = wal_scan_complete(&scan);
	return status;
}
