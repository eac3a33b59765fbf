/*
 * restore_check.c - can the restore be carried out?
 */
#include "basebackup/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "basebackup/repo_each.h"
#include "basebackup/sweep.h"
#include "basebackup/takeover.h"
#include "basebackup/tree.h"
#include "common/cli.h"

/* One pack that is needed, while those that exist are listed. */
struct wanted
{
	uint32_t n;
	bool seen;
	uint64_t size;
};

struct pack_lister
{
	size_t prefix_len;
	const char *backup;
	struct wanted *wanted; /* by number */
	size_t nwanted;
	struct pack_check *check;
};

/* The packs of several backups, looked for at a time. */
struct pack_check
{
	const struct plan *plan;
	pthread_mutex_t mutex; /* guards what follows */
	struct restore_survey *survey;
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

static int
compare_wanted(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	return x->n < y->n ? -1 : x->n > y->n;
}

/* "00000012" */
static bool
parse_number(const char *text, uint32_t *out)
{
	uint32_t value = 0;

	if (strlen(text) != 8)
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text >= '0' && *text <= '9')
			value = value << 4 | (uint32_t) (*text - '0');
		else if (*text >= 'a' && *text <= 'f')
			value = value << 4 | (uint32_t) (*text - 'a' + 10);
		else
			return false;
	}
	*out = value;
	return true;
}

static enum status
see_pack(void *arg, const struct store_entry *entry, struct err *err)
{
	struct pack_lister *l = arg;
	struct wanted key, *found;
	enum status st;

	if (!parse_number(entry->key + l->prefix_len, &key.n))
		return ST_OK;
	found = bsearch(&key, l->wanted, l->nwanted, sizeof(key), compare_wanted);
	if (found == NULL)
		return ST_OK;
	found->seen = true;
	if (entry->stat.size_bytes != found->size)
		return err_set(err, ST_CORRUPT,
					   "pack \"backup/%s/pack/%08" PRIx32 "\" has %" PRIu64
					   " bytes instead of %" PRIu64,
					   l->backup, key.n, entry->stat.size_bytes, found->size);
	pthread_mutex_lock(&l->check->mutex);
	st = cold_add(&l->check->survey->cold, entry, err);
	pthread_mutex_unlock(&l->check->mutex);
	return st;
}

/* The packs in use of one backup; *out is freed by free(). */
static enum status
collect_packs(const struct plan *plan, size_t backup, struct wanted **out,
			  size_t *count, struct err *err)
{
	struct plan_pack *pack = malloc(sizeof(*pack));
	struct wanted *wanted = calloc(plan->npacks + 1, sizeof(*wanted));
	enum status st = ST_OK;
	size_t n = 0;

	if (pack == NULL || wanted == NULL)
	{
		free(pack);
		free(wanted);
		return nomem(err);
	}
	for (uint32_t i = 0; st == ST_OK && i < plan->npacks; i++)
	{
		uint64_t size;

		if (!plan_uses_pack(plan, i))
			continue;
		st = plan_get_pack(plan, i, pack, err);
		if (st != ST_OK || pack->backup != plan->backups[backup])
			continue;
		size = pack->header_len;
		for (size_t f = 0; f < pack->nframes; f++)
			size += pack->frames[f];
		wanted[n++] = (struct wanted){.n = pack->n, .size = size};
	}
	free(pack);
	if (st != ST_OK)
	{
		free(wanted);
		return st;
	}
	qsort(wanted, n, sizeof(*wanted), compare_wanted);
	*out = wanted;
	*count = n;
	return ST_OK;
}

/* A repo_visitor: one backup's. */
static enum status
check_backup_packs(struct repo *repo, size_t backup, void *arg,
				   struct err *err)
{
	struct pack_check *check = arg;
	const struct plan *plan = check->plan;
	struct pack_lister l = {.backup = plan->backups[backup], .check = check};
	char prefix[STORE_KEY_MAX];
	size_t missing = 0;
	uint32_t first = 0;
	enum status st;

	st = collect_packs(plan, backup, &l.wanted, &l.nwanted, err);
	if (st != ST_OK)
		return st;
	snprintf(prefix, sizeof(prefix), "%" PRIu64 "/backup/%s/pack/",
			 repo->system_identifier, l.backup);
	l.prefix_len = strlen(prefix);
	pthread_mutex_lock(&check->mutex);
	check->survey->npacks += (uint32_t) l.nwanted;
	pthread_mutex_unlock(&check->mutex);
	if (l.nwanted > 0)
		st = store_list(repo->store, prefix, NULL, true, see_pack, &l, err);
	for (size_t i = l.nwanted; st == ST_OK && i > 0; i--)
		if (!l.wanted[i - 1].seen)
		{
			missing++;
			first = l.wanted[i - 1].n;
		}
	free(l.wanted);
	if (st != ST_OK || missing == 0)
		return st;
	err_set(err, ST_MISSING,
			"pack \"backup/%s/pack/%08" PRIx32 "\" is missing", l.backup,
			first);
	if (missing > 1)
		err_detail(err, "%zu packs of that backup are missing.", missing);
	return err_hint(err, "Backup %s cannot be restored; choose another.",
					plan->summary.id);
}

static enum status
check_packs(struct repo *repo, const struct plan *plan,
			struct restore_survey *survey, struct err *err)
{
	struct pack_check check = {
		.plan = plan, .mutex = PTHREAD_MUTEX_INITIALIZER, .survey = survey};
	enum status st =
		repo_each(repo, plan->nbackups, check_backup_packs, &check, err);

	pthread_mutex_destroy(&check.mutex);
	return st == ST_OK ? cold_settle(&survey->cold, repo->store, err) : st;
}

/*
 * May we write in the place, or make it below path, which is there?  rest is
 * what is to be made.
 */
static enum status
check_writable(const struct restore_place *place, const char *path,
			   const char *rest, const struct stat *stat, struct err *err)
{
	size_t len = strlen(rest);

	if (len == 0 && stat->st_uid != geteuid())
		return takeover_refuse_owner(path, err);
	/* The mode of what is ours already is set anew. */
	if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) != 0 &&
		(len > 0 || errno != EACCES))
		return err_set_errno(err, ST_CONFIG, errno,
							 "cannot write \"%s\" in directory \"%s\"",
							 place->path, path);
	if (strstr(rest, "/../") != NULL ||
		(len >= 3 && strcmp(rest + len - 3, "/..") == 0))
		return err_set(err, ST_CONFIG,
					   "\"%s\" leads through a directory that does not exist",
					   place->path);
	return ST_OK;
}

/* Looks at path, which is the place, or above it; rest is what is below. */
static enum status
look_above(struct restore_place *place, const char *path, const char *rest,
		   const struct stat *stat, struct err *err)
{
	struct statvfs vfs;
	char *real = realpath(path, NULL);
	enum status st = ST_OK;

	if (real == NULL || statvfs(path, &vfs) != 0)
		st = err_set_errno(err, ST_IO, errno, "could not look at \"%s\"",
						   place->path);
	else if (asprintf(&place->resolved, "%s%s",
					  strcmp(real, "/") == 0 ? "" : real, rest) < 0)
	{
		place->resolved = NULL;
		st = nomem(err);
	}
	free(real);
	if (st != ST_OK)
		return st;
	place->dev = stat->st_dev;
	place->free_bytes = (uint64_t) vfs.f_bavail * vfs.f_frsize;
	return check_writable(place, path, rest, stat, err);
}

/* Looks at the file system where the place is, or will be. */
static enum status
look_at(struct restore_place *place, struct err *err)
{
	char *path = strdup(place->path);
	struct stat stat_buf;
	size_t len;
	int error = 0;
	enum status st;

	if (path == NULL)
		return nomem(err);
	while (error == 0 && stat(path, &stat_buf) != 0)
	{
		char *slash = strrchr(path, '/');

		if (errno != ENOENT || slash == NULL)
			error = errno;
		else
			slash[slash == path ? 1 : 0] = '\0';
	}
	len = strcmp(path, "/") == 0 ? 0 : strlen(path);
	st = error != 0
			 ? err_set_errno(err, ST_IO, error, "could not look at \"%s\"",
							 place->path)
			 : look_above(place, path, place->path + len, &stat_buf, err);
	free(path);
	return st;
}

uint64_t
restore_room_needed(const struct restore_survey *survey, size_t i)
{
	uint64_t bytes = 0, there = 0;

	for (size_t j = 0; j < survey->nplaces; j++)
		if (survey->places[j].dev == survey->places[i].dev)
		{
			bytes += survey->places[j].bytes;
			there += survey->places[j].there;
		}
	return bytes > there ? bytes - there : 0;
}

enum status
restore_check_room(const struct restore_survey *survey, struct err *err)
{
	for (size_t i = 0; i < survey->nplaces; i++)
	{
		const struct restore_place *place = &survey->places[i];
		uint64_t bytes = restore_room_needed(survey, i);
		char need[16], have[16];

		if (bytes <= place->free_bytes)
			continue;
		err_set(err, ST_CONFIG,
				"there is not enough room for \"%s\": it takes %s, and %s "
				"are free",
				place->path, size_format(bytes, need),
				size_format(place->free_bytes, have));
		return err_hint(err, "Recovery needs some more on top, for WAL.");
	}
	return ST_OK;
}

const char *
restore_location(const struct restore_request *request,
				 const struct plan_tablespace *tablespace)
{
	for (size_t i = 0; i < request->nmappings; i++)
		if (strcmp(request->mappings[i].from, tablespace->location) == 0)
			return request->mappings[i].to;
	return tablespace->location;
}

static void
list_locations(const struct plan *plan, char *out, size_t size)
{
	size_t len = 0;

	(void) snprintf(out, size, "none");
	for (size_t i = 0; i < plan->ntablespaces && len < size; i++)
		len += (size_t) snprintf(out + len, size - len, "%s\"%s\"",
								 i == 0 ? "" : ", ",
								 plan->tablespaces[i].location);
}

/* A mapping that fits nothing is a mistake that would be noticed too late. */
static enum status
check_mappings(const struct restore_request *request, const struct plan *plan,
			   struct err *err)
{
	char list[ERR_HINT_MAX / 2];

	for (size_t i = 0; i < request->nmappings; i++)
	{
		bool used = false;

		for (size_t j = 0; j < plan->ntablespaces; j++)
			used = used || strcmp(plan->tablespaces[j].location,
								  request->mappings[i].from) == 0;
		if (used)
			continue;
		err_set(err, ST_CONFIG, "the backup has no tablespace at \"%s\"",
				request->mappings[i].from);
		list_locations(plan, list, sizeof(list));
		return err_hint(err, "Its tablespaces: %s.", list);
	}
	return ST_OK;
}

/* Is one path the other, or within it? */
static bool
overlap(const char *a, const char *b)
{
	size_t len_a = strlen(a), len_b = strlen(b);
	size_t len = len_a < len_b ? len_a : len_b;
	const char *longer = len_a < len_b ? b : a;

	return strncmp(a, b, len) == 0 &&
		   (longer[len] == '\0' || longer[len] == '/');
}

/* Is link, below the data directory, a symbolic link to path? */
static bool
leads_to(const struct restore_request *request, const char *link,
		 const char *path)
{
	char *full = NULL, to[PATH_MAX];
	ssize_t len = -1;

	if (asprintf(&full, "%s/%s", request->target_dir, link) >= 0)
	{
		len = readlink(full, to, sizeof(to));
		free(full);
	}
	return len == (ssize_t) strlen(path) &&
		   memcmp(to, path, (size_t) len) == 0;
}

/* A directory beside the data directory, which may have a link to it. */
static enum status
check_beside(const struct restore_request *request, const char *link,
			 struct restore_place *place, struct err *err)
{
	enum status st = tree_check_empty(place->path, err);

	if (st == ST_CONFIG && request->delta &&
		(link == NULL || leads_to(request, link, place->path)))
	{
		place->there = sweep_measure(place->path);
		st = ST_OK;
	}
	return st;
}

static enum status
check_target(const struct repo *repo, const struct restore_request *request,
			 struct restore_place *place, bool *taken, struct err *err)
{
	enum status st = tree_check_empty(request->target_dir, err);

	*taken = false;
	if (st == ST_CONFIG && !request->delta)
		return err_hint(err, "With --delta what is there is written over, as "
							 "far as it differs.  Otherwise empty the "
							 "directory, or name another one.");
	if (st != ST_CONFIG)
		return st;
	st = takeover_check(request->target_dir, repo->system_identifier,
						request->force, err);
	*taken = st == ST_OK;
	if (*taken)
		place->there = sweep_measure(request->target_dir);
	return st;
}

/* No place may lie in another. */
static enum status
check_apart(const struct restore_survey *survey, struct err *err)
{
	const struct restore_place *places = survey->places;

	for (size_t i = 0; i < survey->nplaces; i++)
		for (size_t j = 0; j < i; j++)
			if (overlap(places[i].resolved, places[j].resolved))
			{
				err_set(err, ST_CONFIG,
						"\"%s\" and \"%s\" lie within each other",
						places[i].path, places[j].path);
				return err_hint(err, "A tablespace can be put elsewhere with "
									 "--tablespace=OLD=NEW.");
			}
	return ST_OK;
}

/*
 * With --delta what the backup does not have is removed: not what a restore
 * itself needs, nor the next one.
 */
static enum status
check_survives(const struct restore_survey *survey, const char *what,
			   const char *path, struct err *err)
{
	char *real = path == NULL ? NULL : realpath(path, NULL);
	enum status st = ST_OK;

	for (size_t i = 0; real != NULL && st == ST_OK && i < survey->nplaces; i++)
	{
		const struct restore_place *place = &survey->places[i];

		if (strlen(place->resolved) > strlen(real) ||
			!overlap(place->resolved, real))
			continue;
		err_set(err, ST_CONFIG, "\"%s\" holds the %s, \"%s\"", place->path,
				what, path);
		st = err_hint(err, "All that the backup does not have is removed "
						   "there.  Put that elsewhere first.");
	}
	free(real);
	return st;
}

static enum status
check_own_files(const struct config *cfg, const struct restore_survey *survey,
				struct err *err)
{
	static const char scheme[] = "file://";
	size_t len = sizeof(scheme) - 1;
	const char *dir = strncmp(cfg->repository, scheme, len) == 0
						  ? cfg->repository + len
						  : NULL;
	enum status st = check_survives(survey, "repository", dir, err);

	if (st == ST_OK)
		st = check_survives(survey, "key file", cfg->key_file, err);
	if (st == ST_OK)
		st = check_survives(survey, "configuration", cfg->path, err);
	return st;
}

static enum status
check_places(const struct repo *repo, const struct restore_request *request,
			 const struct plan *plan, struct restore_survey *survey,
			 struct err *err)
{
	struct restore_place *place = survey->places;
	bool taken;
	enum status st = check_target(repo, request, place, &taken, err);

	place->path = request->target_dir;
	place++->bytes = plan->data_bytes;
	if (st == ST_OK && plan->nconfigs > 0)
	{
		place->path = request->config_dir;
		place->bytes = plan->config_bytes;
		st = check_beside(request, taken ? NULL : "", place++, err);
	}
	for (size_t i = 0; st == ST_OK && i < plan->ntablespaces; i++)
	{
		char link[64];

		snprintf(link, sizeof(link), "pg_tblspc/%" PRIu32,
				 plan->tablespaces[i].oid);
		place->path = restore_location(request, &plan->tablespaces[i]);
		place->bytes = plan->tablespaces[i].bytes;
		st = check_beside(request, link, place++, err);
		if (st == ST_CONFIG)
			err_hint(err, "A tablespace was there; put it elsewhere with "
						  "--tablespace=OLD=NEW.");
	}
	if (st == ST_OK && request->link_wal != NULL)
	{
		place->path = request->link_wal;
		st = check_beside(request, "pg_wal", place++, err);
	}
	survey->nplaces = (size_t) (place - survey->places);
	for (size_t i = 0; st == ST_OK && i < survey->nplaces; i++)
		st = look_at(&survey->places[i], err);
	if (st == ST_OK)
		st = check_own_files(repo->cfg, survey, err);
	return st == ST_OK ? check_apart(survey, err) : st;
}

enum status
restore_survey(struct repo *repo, const struct restore_request *request,
			   const struct plan *plan, struct restore_survey *out,
			   struct err *err)
{
	enum status st;

	*out = (struct restore_survey){
		.places = calloc(plan->ntablespaces + 3, sizeof(*out->places))};
	if (out->places == NULL)
		return nomem(err);
	if ((st = check_mappings(request, plan, err)) != ST_OK ||
		(st = check_places(repo, request, plan, out, err)) != ST_OK ||
		(st = check_packs(repo, plan, out, err)) != ST_OK)
		restore_survey_free(out);
	return st;
}

void
restore_survey_free(struct restore_survey *survey)
{
	cold_free(&survey->cold);
	for (size_t i = 0; i < survey->nplaces; i++)
		free(survey->places[i].resolved);
	free(survey->places);
	*survey = (struct restore_survey){.nplaces = 0};
}
