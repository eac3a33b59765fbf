/*
 * status_spool.c - what lies in this host's spool
 */
#include "basebackup/status_spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/spool.h"

/* Called for each entry of a directory but those that begin with a dot. */
typedef void (*entry_sink)(struct status_spool *out, int dir,
						   const char *name);

static void
each_entry(int above, const char *path, struct status_spool *out,
		   entry_sink sink)
{
	int fd =
		openat(above, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (dir == NULL)
	{
		if (fd >= 0)
			(void) close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			sink(out, dirfd(dir), entry->d_name);
	(void) closedir(dir);
}

/* A marker has the name of its file. */
static void
take_pushed(struct status_spool *out, int dir, const char *name)
{
	struct wal_name wal;
	struct err ignored;

	(void) dir;
	if (wal_name_parse(&wal, name, &ignored) != ST_OK)
		return;
	out->pushed_files++;
	if (wal.kind == WAL_SEGMENT && out->npushed < STATUS_SPOOL_PUSHED_MAX)
		(void) snprintf(out->pushed[out->npushed++], sizeof(wal.text), "%s",
						wal.text);
}

static void
take_ahead(struct status_spool *out, int dir, const char *name)
{
	struct wal_name wal;
	struct err ignored;
	struct stat st;

	if (wal_name_parse(&wal, name, &ignored) != ST_OK ||
		wal.kind != WAL_SEGMENT || fstatat(dir, name, &st, 0) != 0)
		return;
	out->ahead_files++;
	out->ahead_bytes += (uint64_t) st.st_size;
}

static void
take_directory(struct status_spool *out, int dir, const char *name)
{
	if (strncmp(name, "push-", 5) == 0)
		each_entry(dir, name, out, take_pushed);
	else if (strncmp(name, "fetch-", 6) == 0)
		each_entry(dir, name, out, take_ahead);
}

void
status_spool_look(const struct config *cfg, const struct keyring *ring,
				  uint64_t system_identifier, struct status_spool *out)
{
	struct spool spool;

	*out = (struct status_spool){.usable = false};
	(void) snprintf(out->path, sizeof(out->path), "%s",
					cfg->spool != NULL ? cfg->spool : "");
	spool_open_top(&spool, cfg, NULL);
	out->usable = spool.fd >= 0;
	spool_close(&spool);
	if (!out->usable)
		return;

	/* wal-push keeps its files by the key, wal-fetch, which need not read
	 * keys, by where they are. */
	if (ring != NULL)
	{
		spool_open(&spool, cfg, ring, system_identifier, NULL);
		if (spool.fd >= 0)
			each_entry(spool.fd, ".", out, take_directory);
		spool_close(&spool);
	}
	spool_open_unread(&spool, cfg, system_identifier, NULL);
	if (spool.fd >= 0)
		each_entry(spool.fd, ".", out, take_directory);
	spool_close(&spool);
}
