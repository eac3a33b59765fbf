/*
 * fetch_local.c - what the server's pg_wal has that the archive lacks
 */
#include "walship/fetch_local.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "walship/fetch_target.h"

#define COPY_BYTES ((size_t) 256 << 10)

bool
fetch_local_beside(const char *path, const char *name, char *out, size_t room)
{
	const char *slash = strrchr(path, '/');
	int dir = slash != NULL ? (int) (slash - path + 1) : 0;
	int n = snprintf(out, room, "%.*s%s", dir, path, name);

	return n >= 0 && (size_t) n < room;
}

enum status
fetch_local_copy(struct wal_file *file, const char *path, struct err *err)
{
	uint8_t *chunk = malloc(COPY_BYTES);
	struct fetch_target target;
	enum status status;

	if (chunk == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = fetch_target_open(&target, path, err);
	if (status != ST_OK)
	{
		free(chunk);
		return status;
	}
	while (status == ST_OK && file->offset < file->size_bytes)
	{
		/* A segment's size is a multiple of this. */
		status = wal_file_read(file, chunk, COPY_BYTES, err);
		if (status == ST_OK)
			status = fetch_target_write(&target, chunk, COPY_BYTES, err);
	}
	if (status == ST_OK)
		status = fetch_target_publish(&target, err);
	fetch_target_abort(&target);
	free(chunk);
	return status;
}

enum fetch_local
fetch_local_salvage(const struct wal_name *name, const char *path,
					uint64_t system_identifier)
{
	char own[PATH_MAX];
	struct wal_file file;
	struct err err;
	bool complete = false;
	bool done;

	if (!fetch_local_beside(path, name->text, own, sizeof(own)) ||
		strcmp(own, path) == 0 ||
		wal_file_open(&file, own, system_identifier, &err) != ST_OK)
		return LOCAL_NOTHING;
	done = wal_file_complete(&file, &complete, &err) == ST_OK && complete &&
		   fetch_local_copy(&file, path, &err) == ST_OK;
	wal_file_close(&file);
	if (done)
		log_info("\"%s\" is not archived; its copy in pg_wal is used",
				 name->text);
	return done ? LOCAL_USED : LOCAL_PART;
}

bool
fetch_local_knows_newer(const char *path, uint32_t timeline)
{
	char wal_dir[PATH_MAX];
	bool newer = false;
	struct dirent *entry;
	DIR *dir;

	if (!fetch_local_beside(path, ".", wal_dir, sizeof(wal_dir)))
		return true;
	dir = opendir(wal_dir);
	if (dir == NULL)
		return true;
	while (!newer && (entry = readdir(dir)) != NULL)
	{
		struct wal_name name;
		struct err ignored;

		newer = wal_name_parse(&name, entry->d_name, &ignored) == ST_OK &&
				name.kind == WAL_HISTORY && name.timeline > timeline;
	}
	(void) closedir(dir);
	return newer;
}
