/*
 * datadir.c - the data directory that a WAL file belongs to
 */
#include "walship/datadir.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Cuts the last component off; false if there is none. */
static bool
cut_component(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL)
		return false;
	while (slash > path && slash[-1] == '/')
		slash--;
	if (slash == path)
		slash++;
	*slash = '\0';
	return true;
}

/* The directory above the file's; false if the path does not have one. */
static bool
above(const char *wal_path, char *out, size_t room)
{
	size_t len = strlen(wal_path);

	if (len >= room)
		return false;
	memcpy(out, wal_path, len + 1);
	for (int i = 0; i < 2; i++)
		if (!cut_component(out))
			return false;
	return true;
}

enum status
datadir_find(const char *wal_path, struct datadir *out, struct err *err)
{
	struct datadir cwd = {.path = "."};
	struct datadir other;
	enum status here = pg_control_read(cwd.path, &cwd.control, err);
	enum status there;

	if (here != ST_OK && here != ST_MISSING)
		return here;
	if (!above(wal_path, other.path, sizeof(other.path)))
		there = ST_MISSING;
	else
	{
		there = pg_control_read(other.path, &other.control, err);
		if (there != ST_OK && there != ST_MISSING)
			return there;
	}
	if (here == ST_OK && there == ST_OK &&
		cwd.control.system_identifier != other.control.system_identifier)
		return err_set(err, ST_CONFIG,
					   "the working directory belongs to the cluster with "
					   "system identifier %" PRIu64 ", but \"%s\" to %" PRIu64,
					   cwd.control.system_identifier, wal_path,
					   other.control.system_identifier);
	/* Two servers of one cluster may share a host: the file's own counts. */
	if (there == ST_OK)
		*out = other;
	else if (here == ST_OK)
		*out = cwd;
	else
		return err_set(err, ST_MISSING,
					   "neither the working directory nor the one above "
					   "\"%s\" is a data directory",
					   wal_path);
	return ST_OK;
}

bool
datadir_has(const char *path, const char *name)
{
	char file[PATH_MAX];
	int n = snprintf(file, sizeof(file), "%s/%s", path, name);

	return n > 0 && (size_t) n < sizeof(file) && access(file, F_OK) == 0;
}
