/*
 * check_store.c - is the repository reachable, and what is it like?
 */
#include "basebackup/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

/* S3 refuses requests that are 15 minutes off; earlier, times mislead. */
#define CLOCK_WARN_MS (INT64_C(5) * 1000)
#define CLOCK_FAIL_MS (INT64_C(15) * 60 * 1000)

static const char probe_content[] = "walship check";

struct finding
{
	const char *key;
	bool found;
};

static enum status
find_key(void *arg, const struct store_entry *entry, struct err *err)
{
	struct finding *finding = arg;

	(void) err;
	if (strcmp(entry->key, finding->key) == 0)
		finding->found = true;
	return ST_OK;
}

static enum status
read_back(struct store *store, const char *key, struct err *err)
{
	struct store_stat stat;
	uint8_t *data;
	size_t len;
	enum status rc = store_head(store, key, &stat, err);

	if (rc == ST_OK)
		rc = store_read(store, key, 4096, &data, &len, err);
	if (rc != ST_OK)
		return rc;
	if (len != sizeof(probe_content) || stat.size_bytes != len ||
		memcmp(data, probe_content, len) != 0)
		rc = err_set(err, ST_CORRUPT,
					 "object \"%s\" came back with other content", key);
	free(data);
	return rc;
}

static enum status
list_back(struct store *store, const char *key, struct err *err)
{
	struct finding finding = {.key = key};
	enum status rc =
		store_list(store, key, NULL, false, find_key, &finding, err);

	if (rc == ST_OK && !finding.found)
		rc = err_set(err, ST_CORRUPT,
					 "object \"%s\" was stored, but a listing lacks it", key);
	return rc;
}

/* FORMAT.md reserves the name for probes. */
static enum status
probe_key(char *key, struct err *err)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_set(err, ST_IO, "could not draw random bytes");
	(void) snprintf(key, STORE_KEY_MAX, ".walship-probe-%016" PRIx64, random);
	return ST_OK;
}

/* True if objects come and go as they should. */
static bool
check_round_trip(struct check *check, struct store *store)
{
	static const char name[] = "store";
	char key[STORE_KEY_MAX];
	const char *const keys[] = {key};
	struct err remove_err;
	enum status removed;
	struct err err;
	enum status rc = probe_key(key, &err);

	if (rc == ST_OK)
		rc = store_put(store, key, probe_content, sizeof(probe_content), &err);
	if (rc != ST_OK)
	{
		(void) err_context(&err, "write");
		check_tell_err(check, CHECK_FAIL, name, &err);
		return false;
	}
	rc = read_back(store, key, &err);
	if (rc != ST_OK)
		(void) err_context(&err, "read");
	else
	{
		rc = list_back(store, key, &err);
		if (rc != ST_OK)
			(void) err_context(&err, "list");
	}
	if (rc != ST_OK)
		check_tell_err(check, CHECK_FAIL, name, &err);

	removed = store_remove(store, keys, 1, NULL, NULL, &remove_err);
	if (removed != ST_OK && rc == ST_OK)
	{
		(void) err_context(&remove_err, "delete");
		(void) err_hint(&remove_err,
						"Archiving and backup work without this right; "
						"expiry needs it.");
		check_tell_err(check, CHECK_WARNING, name, &remove_err);
	}
	else if (rc == ST_OK)
		check_tell(check, CHECK_OK, name, NULL,
				   "an object was written, read, listed and deleted");
	return rc == ST_OK;
}

static void
tell_lifecycle(struct check *check, const struct store_features *f,
			   int64_t backup_max_age_ms)
{
	static const char name[] = "lifecycle";
	int days = f->lifecycle_min_days;
	bool early = days * DAY_MS <= backup_max_age_ms;

	if (!f->lifecycle_known)
		check_tell(check, CHECK_WARNING, name,
				   "Allow s3:GetLifecycleConfiguration, or see for yourself "
				   "that no rule expires or archives what backups need.",
				   "the bucket's lifecycle rules could not be read");
	else if (!f->lifecycle_touches)
		check_tell(check, CHECK_OK, name, NULL,
				   "no rule expires or moves objects of this repository");
	else
		check_tell(check, early ? CHECK_FAIL : CHECK_WARNING, name,
				   "A backup refers to older ones' objects, whatever their "
				   "age. Leave deleting to \"walship expire\", or make the "
				   "rule spare this prefix.",
				   "a rule expires or moves objects after %d days", days);
}

static void
tell_clock(struct check *check, int64_t offset_ms)
{
	int64_t off = offset_ms < 0 ? -offset_ms : offset_ms;
	enum check_verdict verdict = CHECK_OK;

	if (off >= CLOCK_FAIL_MS)
		verdict = CHECK_FAIL;
	else if (off >= CLOCK_WARN_MS)
		verdict = CHECK_WARNING;
	if (off < 1000)
	{
		check_tell(check, CHECK_OK, "clock", NULL,
				   "the store's clock agrees with ours");
		return;
	}
	check_tell(check, verdict, "clock",
			   verdict == CHECK_OK
				   ? NULL
				   : "Run a time service on this host and on the store's.",
			   "the store's clock is %" PRId64 " s %s ours", off / 1000,
			   offset_ms < 0 ? "behind" : "ahead of");
}

static void
tell_settings(struct check *check, const struct store_features *f)
{
	check_tell(check, CHECK_OK, "versioning", NULL,
			   f->versioned ? "on: what is deleted stays, and is paid for, "
							  "until a lifecycle rule removes old versions"
							: "off");
	check_tell(check, CHECK_OK, "object_lock", NULL,
			   f->object_lock ? "on: objects cannot be deleted before their "
								"retention ends"
							  : "off");
}

static void
tell_features(struct check *check, const struct session *session,
			  const struct store_features *f)
{
	if (f->conditional_put)
		check_tell(check, CHECK_OK, "conditional_put", NULL,
				   "an object that exists cannot be overwritten");
	else
		check_tell(check, CHECK_WARNING, "conditional_put",
				   "Each object is looked for before it is written, but two "
				   "servers of one cluster that write the same segment in "
				   "the same moment are not told apart. Make sure that a "
				   "failed primary cannot come back.",
				   "the store overwrites existing objects: a split brain is "
				   "not excluded");
	if (f->settings_known)
		tell_settings(check, f);
	tell_lifecycle(check, f, session->cfg->backup_max_age_ms);
	tell_clock(check, f->clock_offset_ms);
}

/* A mount point is an empty directory when nothing is mounted on it. */
static void
check_mount(struct check *check, const char *repository)
{
	char path[4096];
	const char *dir;
	struct stat parent;
	struct stat st;

	if (strncmp(repository, "file://", 7) != 0)
		return;
	dir = repository + 7;
	if (snprintf(path, sizeof(path), "%s/..", dir) >= (int) sizeof(path) ||
		stat(dir, &st) != 0 || stat(path, &parent) != 0)
		return; /* the store's own check tells */
	if (st.st_dev != parent.st_dev)
		check_tell(check, CHECK_WARNING, "mount_point",
				   "Make a directory in it and use that as the repository: "
				   "then an unmounted file system is an error instead of an "
				   "empty repository.",
				   "\"%s\" is itself a mount point", dir);
	else
		check_tell(check, CHECK_OK, "mount_point", NULL,
				   "\"%s\" is not itself a mount point", dir);
}

bool
check_store(struct check *check, const struct session *session)
{
	struct store_features features;
	struct err err;

	memset(&features, 0, sizeof(features));
	check_mount(check, session->cfg->repository);
	if (!check_round_trip(check, session->repo.store))
		return false;
	if (store_features(session->repo.store, &features, &err) != ST_OK)
		check_tell_err(check, CHECK_FAIL, "store_features", &err);
	else
		tell_features(check, session, &features);
	return true;
}
