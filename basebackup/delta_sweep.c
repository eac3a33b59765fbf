/*
 * delta_sweep.c - removing what a backup does not have
 */
#include "basebackup/delta.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "basebackup/path_set.h"
#include "basebackup/sweep.h"
#include "basebackup/takeover.h"
#include "common/cli.h"
#include "common/log.h"

struct judge
{
	const struct delta_job *job;
	const struct path_set *set;
	uint32_t area;
};

/* The directories that a file system or PostgreSQL has and no backup. */
static bool
is_fixed(const struct delta_job *job, enum sweep_type type, const char *path)
{
	if (type != SWEEP_DIR)
		return strcmp(path, TAKEOVER_MARKER) == 0;
	if (strcmp(path, "pg_tblspc") == 0)
		return true;
	return job->request->link_wal == NULL &&
		   (strcmp(path, "pg_wal") == 0 ||
			strcmp(path, "pg_wal/archive_status") == 0);
}

/* Where a link of the data directory should lead; NULL: it should not be. */
static const char *
link_target(const struct delta_job *job, const char *path)
{
	static const char prefix[] = "pg_tblspc/";
	uint64_t oid;

	if (strcmp(path, "pg_wal") == 0)
		return job->request->link_wal;
	if (strncmp(path, prefix, sizeof(prefix) - 1) != 0 ||
		!parse_uint64(path + sizeof(prefix) - 1, UINT32_MAX, &oid))
		return NULL;
	for (size_t i = 0; i < job->plan->ntablespaces; i++)
		if (job->plan->tablespaces[i].oid == oid)
			return restore_location(job->request, &job->plan->tablespaces[i]);
	return NULL;
}

static enum sweep_verdict
judge_link(const struct delta_job *job, const char *path, int fd,
		   const char *name)
{
	const char *wanted = link_target(job, path);
	char to[PATH_MAX];
	ssize_t len = readlinkat(fd, name, to, sizeof(to) - 1);

	if (len < 0)
		return SWEEP_REMOVE;
	to[len] = '\0';
	if (wanted != NULL && strcmp(wanted, to) == 0)
		return SWEEP_LEAVE;
	log_warning("removing the link \"%s\" to \"%s\"; what lies there is left "
				"as it is",
				path, to);
	return SWEEP_REMOVE;
}

static enum sweep_verdict
judge_data(void *arg, enum sweep_type type, const char *path, int fd,
		   const char *name)
{
	const struct judge *j = arg;
	bool keep = false;

	if (strcmp(path, "lost+found") == 0)
		return SWEEP_LEAVE;
	switch (type)
	{
		case SWEEP_LINK:
			return judge_link(j->job, path, fd, name);
		case SWEEP_DIR:
			keep = is_fixed(j->job, type, path) ||
				   (path_set_has(j->set, j->area, PLAN_DIR, path) &&
					(j->job->request->link_wal == NULL ||
					 strcmp(path, "pg_wal") != 0));
			break;
		case SWEEP_FILE:
			keep = is_fixed(j->job, type, path) ||
				   path_set_has(j->set, j->area, PLAN_FILE, path);
			break;
		case SWEEP_OTHER:
			break;
	}
	return keep ? SWEEP_KEEP : SWEEP_REMOVE;
}

/* Beside a tablespace's own directory there may be those of other servers. */
static enum sweep_verdict
judge_tablespace(void *arg, enum sweep_type type, const char *path, int fd,
				 const char *name)
{
	const struct judge *j = arg;
	bool keep = type == SWEEP_DIR
					? path_set_has(j->set, j->area, PLAN_DIR, path)
					: type == SWEEP_FILE &&
						  path_set_has(j->set, j->area, PLAN_FILE, path);

	(void) fd;
	(void) name;
	if (keep)
		return SWEEP_KEEP;
	return strchr(path, '/') == NULL ? SWEEP_LEAVE : SWEEP_REMOVE;
}

/* pg_wal elsewhere: empty but for its directories. */
static enum sweep_verdict
judge_wal(void *arg, enum sweep_type type, const char *path, int fd,
		  const char *name)
{
	(void) arg;
	(void) fd;
	(void) name;
	if (strcmp(path, "lost+found") == 0)
		return SWEEP_LEAVE;
	return type == SWEEP_DIR && strcmp(path, "archive_status") == 0
			   ? SWEEP_KEEP
			   : SWEEP_REMOVE;
}

enum status
delta_sweep(const struct delta_job *job, struct err *err)
{
	struct judge j = {.job = job};
	struct path_set *set = NULL;
	enum status st = path_set_new(job->plan, &set, err);

	j.set = set;
	if (st == ST_OK)
		st = sweep_directory(tree_fd(job->tree, PLAN_DATA),
							 tree_path(job->tree, PLAN_DATA), judge_data, &j,
							 err);
	for (size_t i = 0; st == ST_OK && i < job->plan->ntablespaces; i++)
	{
		j.area = PLAN_TABLESPACE + (uint32_t) i;
		st = sweep_directory(tree_fd(job->tree, j.area),
							 tree_path(job->tree, j.area), judge_tablespace,
							 &j, err);
	}
	if (st == ST_OK && job->request->link_wal != NULL)
		st = sweep_directory(tree_fd(job->tree, job->wal_area),
							 job->request->link_wal, judge_wal, &j, err);
	path_set_free(set);
	return st;
}
