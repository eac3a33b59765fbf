/*
 * push_ahead.c - a call's side of working ahead
 */
#include "walship/push_ahead.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cli.h"
#include "walship/ahead_file.h"
#include "walship/key_memo.h"
#include "walship/marker.h"
#include "walship/ready.h"

/* A marker's arrival wakes us; a worker's death does not. */
#define POLL_MS 20

/* The share of the call's time that a worker gets before we do it. */
#define WORKER_SHARE 2

/* In the spool, empty: the last call failed. */
static const char FAILING[] = "failing";

static void
open_spools(struct push_ahead *pa, const uint8_t *key_id)
{
	spool_close(&pa->spool);
	spool_close(&pa->cluster_spool);
	spool_open_known(&pa->cluster_spool, pa->session->cfg, key_id,
					 pa->dir->control.system_identifier, pa->dir->path);
	spool_open_below(&pa->spool, &pa->cluster_spool, "push", pa->dir->path);
}

static const uint8_t *
first_id(const struct keyring *ring)
{
	return keyring_sealed(ring) ? keyring_first_id(ring) : NULL;
}

static bool
is_stored(const struct push_ahead *pa, char object[OBJECT_NAME_MAX + 1])
{
	return ahead_stored(&pa->ahead, pa->path, pa->name,
						pa->dir->control.in_recovery, object);
}

enum status
push_ahead_find(struct push_ahead *pa, bool *stored,
				char object[OBJECT_NAME_MAX + 1], struct err *err)
{
	const struct config *cfg = pa->session->cfg;
	uint8_t id[KEY_ID_BYTES];
	enum status status;

	pa->spool.fd = -1;
	pa->cluster_spool.fd = -1;
	pa->failing = false;
	pa->ahead =
		(struct ahead){.cfg = cfg,
					   .cluster_spool = &pa->cluster_spool,
					   .spool = &pa->spool,
					   .datadir = pa->dir->path,
					   .system_identifier = pa->dir->control.system_identifier,
					   .file_timeout_ms = cfg->push_timeout_ms};
	*stored = false;
	if (cfg->encryption != ENCRYPTION_NONE && cfg->key_command != NULL)
	{
		if (!key_memo_recall(cfg, pa->dir->path, id))
			return ST_OK;
		open_spools(pa, id);
	}
	else
	{
		status = keyring_load(cfg, &pa->session->ring, err);
		if (status != ST_OK)
			return status;
		open_spools(pa, first_id(pa->session->ring));
	}
	*stored = is_stored(pa, object);
	return ST_OK;
}

/* --- worker --------------------------------------------------------------
 */

static int
work(const struct worker *worker, void *arg)
{
	struct push_ahead *pa = arg;

	pa->ahead.worker = worker;
	pa->ahead.datadir = ".";
	/* Of what was open, only the markers' spool is left. */
	spool_open_known(&pa->cluster_spool, pa->session->cfg,
					 first_id(pa->session->ring),
					 pa->dir->control.system_identifier, ".");
	keyring_lock(pa->session->ring);
	return ahead_run(&pa->ahead);
}

static enum worker_outcome
start_worker(struct push_ahead *pa)
{
	char where[PATH_MAX];
	char title[PATH_MAX + 64];
	struct worker_job job = {.spool = &pa->spool,
							 .datadir = pa->dir->path,
							 .title = title,
							 .run = work,
							 .arg = pa};

	(void) snprintf(title, sizeof(title), "wal-push: archiving ahead, %s",
					realpath(pa->dir->path, where) != NULL ? where
														   : pa->dir->path);
	return worker_start(&job);
}

/* A file that counts seconds has to rest too long to be worth waiting for. */
static bool
settles_soon(const struct push_ahead *pa)
{
	struct timespec now;
	struct stat st;

	return stat(pa->path, &st) == 0 &&
		   clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0 &&
		   marker_settles_ms(&st, &now) <= MARKER_SOON_MS;
}

/* Until a worker is gone, the marker is there, or d has passed. */
static bool
wait_for_marker(const struct push_ahead *pa, const struct deadline *d,
				char object[OBJECT_NAME_MAX + 1])
{
	struct pollfd arrival = {.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
							 .events = POLLIN};
	char events[4096];
	bool stored = false;
	bool runs = true;
	struct err err;

	if (arrival.fd >= 0 &&
		inotify_add_watch(arrival.fd, pa->spool.path, IN_MOVED_TO) < 0)
	{
		(void) close(arrival.fd);
		arrival.fd = -1;
	}
	while (runs && deadline_check(d, &err) == ST_OK)
	{
		/* In this order: a worker's last marker comes before its end. */
		runs = worker_runs(&pa->spool);
		stored = is_stored(pa, object);
		if (stored || !runs)
			break;
		(void) poll(&arrival, 1, POLL_MS);
		if (arrival.fd >= 0)
			while (read(arrival.fd, events, sizeof(events)) > 0)
				;
	}
	if (arrival.fd >= 0)
		(void) close(arrival.fd);
	return stored;
}

/* --- within the call -----------------------------------------------------
 */

static bool
work_here(struct push_ahead *pa, const struct deadline *d,
		  char object[OBJECT_NAME_MAX + 1])
{
	int lock = worker_lock(&pa->spool);

	if (lock < 0)
		return false;
	pa->ahead.file_timeout_ms = deadline_left_ms(d);
	(void) ahead_run(&pa->ahead);
	(void) close(lock);
	return is_stored(pa, object);
}

/* --- both ----------------------------------------------------------------
 */

/* Is the path the file that the archiver has to have archived? */
static bool
is_archivers(const struct push_ahead *pa)
{
	char path[PATH_MAX];
	struct stat given;
	struct stat waiting;
	int n =
		snprintf(path, sizeof(path), "%s/pg_wal/%s", pa->dir->path, pa->name);

	return n > 0 && (size_t) n < sizeof(path) &&
		   ready_is(pa->dir->path, pa->name) && stat(pa->path, &given) == 0 &&
		   stat(path, &waiting) == 0 && given.st_dev == waiting.st_dev &&
		   given.st_ino == waiting.st_ino;
}

bool
push_ahead_wait(struct push_ahead *pa, const struct deadline *d,
				char object[OBJECT_NAME_MAX + 1])
{
	const struct config *cfg = pa->session->cfg;
	struct deadline patience =
		deadline_sooner(*d, deadline_left_ms(d) / WORKER_SHARE);
	char boot[MARKER_BOOT_MAX];
	bool runs;
	char none;

	pa->ahead.ring = pa->session->ring;
	if (cfg->encryption != ENCRYPTION_NONE && cfg->key_command != NULL)
	{
		key_memo_note(cfg, pa->dir->path, pa->session->ring);
		open_spools(pa, first_id(pa->session->ring));
		/* Without the key nobody could look. */
		if (is_stored(pa, object))
			return true;
	}
	if (pa->spool.fd < 0 || cfg->push_workers < 2 || !marker_boot(boot) ||
		!is_archivers(pa))
		return false;
	pa->failing = spool_read(&pa->spool, FAILING, &none, sizeof(none)) >= 0;
	if (pa->failing)
		return false;
	runs = worker_runs(&pa->spool);
	if (!runs && !ready_others(pa->dir->path, pa->name))
		return false;
	if (!settles_soon(pa))
		return false;
	switch (runs ? WORKER_BUSY : start_worker(pa))
	{
		case WORKER_STARTED:
		case WORKER_BUSY:
			return wait_for_marker(pa, &patience, object);
		case WORKER_FORBIDDEN:
			break;
	}
	return work_here(pa, &patience, object);
}

void
push_ahead_ended(struct push_ahead *pa, bool success)
{
	if (success && pa->failing)
		spool_remove(&pa->spool, FAILING);
	else if (!success && !pa->failing)
		(void) spool_write(&pa->spool, FAILING, "", 0);
}

const char *
push_ahead_spill_dir(const struct push_ahead *pa)
{
	return spool_path(&pa->spool);
}

void
push_ahead_close(struct push_ahead *pa)
{
	spool_close(&pa->spool);
	spool_close(&pa->cluster_spool);
}
