/*
 * ahead.c - stores what waits to be archived before it is asked for
 */
#include "walship/ahead.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "common/log.h"
#include "walship/ahead_file.h"
#include "walship/budget.h"
#include "walship/connections.h"
#include "walship/ready.h"

/*
 * Threads beyond push_workers, so that something is sealed when a connection
 * is free.
 */
#define SEALERS     2
#define THREADS_MAX (64 + SEALERS)

/* A worker's times.  A new one starts within a call or two. */
#define LIFE_MS   60000
#define LINGER_MS 2000

/* Within a call: as many as the archiver of 15 and later takes at a time. */
#define CALL_FILES 64
#define CALL_MS    5000

/* Between two looks at the directory, at the postmaster, at everything. */
#define READ_MS  5
#define WATCH_MS 250
#define BUSY_MS  50

/* Reading a directory of ten thousands shall not take most of the time. */
#define READ_SHARE 10

/* malloc's blocks of this size go back to the system when they are freed. */
#define OWN_MAPPING (512 * 1024)

struct drain
{
	const struct ahead *ahead;
	pthread_mutex_t mutex;
	pthread_cond_t work;   /* something to do, or nothing ever again */
	pthread_cond_t change; /* a file is done */
	struct budget *budget;
	struct connections *connections;
	struct ready ready;
	unsigned begun; /* files so far */
	unsigned busy;
	bool closing; /* no file is begun any more */
	bool failed;
	int64_t read_at_ms; /* when the directory may be read again */
};

/* --- threads -------------------------------------------------------------
 */

/*
 * The next to store, or NULL.  History files go alone: no segment of a
 * timeline is stored before the file that leads a standby onto it.
 */
static struct ready_file *
next_todo(struct drain *drain)
{
	struct ready_file *todo = ready_first(&drain->ready, READY_TODO);
	struct ready_file *busy = ready_first(&drain->ready, READY_BUSY);

	if (todo != NULL && busy != NULL && ready_is_history(busy->name) &&
		!ready_is_history(todo->name))
		return NULL;
	return todo;
}

/* Waits for a file to store; false when there will be none. */
static bool
next_file(struct drain *drain, struct push_room *room,
		  char name[WAL_NAME_MAX + 1])
{
	struct ready_file *file = NULL;

	(void) pthread_mutex_lock(&drain->mutex);
	while (!drain->closing && (file = next_todo(drain)) == NULL)
	{
		push_room_release(room, drain->budget);
		(void) pthread_cond_wait(&drain->work, &drain->mutex);
	}
	if (!drain->closing && file != NULL)
	{
		file->state = READY_BUSY;
		memcpy(name, file->name, sizeof(file->name));
		drain->begun++;
		drain->busy++;
	}
	else
		file = NULL;
	(void) pthread_mutex_unlock(&drain->mutex);
	return file != NULL;
}

static void
file_ended(struct drain *drain, const char *name, bool done)
{
	struct ready_file *file;

	(void) pthread_mutex_lock(&drain->mutex);
	file = ready_find(&drain->ready, name);
	if (file != NULL)
		file->state = READY_DONE;
	drain->busy--;
	if (!done)
	{
		drain->failed = true;
		drain->closing = true;
	}
	if (!done || ready_is_history(name))
		(void) pthread_cond_broadcast(&drain->work);
	(void) pthread_cond_signal(&drain->change);
	(void) pthread_mutex_unlock(&drain->mutex);
}

static void *
store_files(void *arg)
{
	struct drain *drain = arg;
	char name[WAL_NAME_MAX + 1];
	struct ahead_hand hand = {.ahead = drain->ahead,
							  .budget = drain->budget,
							  .connections = drain->connections};

	while (next_file(drain, &hand.room, name))
	{
		struct err err;
		bool done = ahead_file(&hand, name, &err) == ST_OK;

		if (!done)
			log_debug("could not store \"%s\" ahead: %s", name, err.message);
		file_ended(drain, name, done);
	}
	push_room_release(&hand.room, drain->budget);
	return NULL;
}

/* --- the files that are ready --------------------------------------------
 */

/* Its call has been served, or somebody has removed it. */
static void
forget_marker(void *arg, const char *name)
{
	const struct drain *drain = arg;

	spool_remove(drain->ahead->spool, name);
}

/*
 * Removes the markers of files that are ready no more, and what killed
 * processes have left: whoever holds the lock is alone here.
 */
static void
prune_markers(const struct ahead *ahead)
{
	int fd = openat(ahead->spool->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	struct wal_name name;
	struct err err;

	if (dir == NULL)
	{
		if (fd >= 0)
			(void) close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
	{
		bool left = entry->d_name[0] == '.' && entry->d_name[1] != '\0' &&
					entry->d_name[1] != '.';

		if (left || (wal_name_parse(&name, entry->d_name, &err) == ST_OK &&
					 !ready_is(ahead->datadir, name.text)))
			spool_remove(ahead->spool, entry->d_name);
	}
	(void) closedir(dir);
}

/*
 * Reads the directory if nothing is left to do and it may have changed.  To
 * be called with the mutex held, which the threads need only to go on.
 */
static void
look_for_files(struct drain *drain)
{
	int64_t begun_ms = clock_now_ms();

	if (drain->closing || begun_ms < drain->read_at_ms ||
		ready_first(&drain->ready, READY_TODO) != NULL ||
		!ready_changed(&drain->ready))
		return;
	ready_read(&drain->ready, forget_marker, drain);
	drain->read_at_ms = clock_now_ms();
	drain->read_at_ms += READ_MS + READ_SHARE * (drain->read_at_ms - begun_ms);
	if (ready_first(&drain->ready, READY_TODO) != NULL)
		(void) pthread_cond_broadcast(&drain->work);
}

/* --- the main thread -----------------------------------------------------
 */

static void
wait_for_change(struct drain *drain)
{
	/* With files left to do there is no hurry to look for more. */
	bool more = ready_first(&drain->ready, READY_TODO) != NULL;
	struct timespec until = clock_in_ms(more ? BUSY_MS : READ_MS);

	(void) pthread_cond_clockwait(&drain->change, &drain->mutex,
								  CLOCK_MONOTONIC, &until);
}

/* Is it time to begin no other file? */
static bool
is_over(const struct drain *drain, int64_t begun_ms, int64_t idle_ms)
{
	bool worker = drain->ahead->worker != NULL;
	int64_t life_ms = clock_now_ms() - begun_ms;

	if (*cli_cancel() != 0)
		return true;
	if (!worker)
		return drain->begun >= CALL_FILES || life_ms >= CALL_MS || idle_ms > 0;
	return life_ms >= LIFE_MS || idle_ms >= LINGER_MS;
}

/* Until it is over, and the last file has ended. */
static void
watch(struct drain *drain)
{
	int64_t begun_ms = clock_now_ms();
	int64_t active_ms = begun_ms;
	int64_t watched_ms = begun_ms;

	(void) pthread_mutex_lock(&drain->mutex);
	while (!drain->closing || drain->busy > 0)
	{
		int64_t now_ms;

		look_for_files(drain);
		now_ms = clock_now_ms();
		if (drain->busy > 0 || ready_first(&drain->ready, READY_TODO) != NULL)
			active_ms = now_ms;
		if (!drain->closing && is_over(drain, begun_ms, now_ms - active_ms))
		{
			drain->closing = true;
			(void) pthread_cond_broadcast(&drain->work);
			continue;
		}
		wait_for_change(drain);
		if (drain->ahead->worker != NULL && now_ms - watched_ms >= WATCH_MS)
		{
			watched_ms = now_ms;
			(void) worker_wanted(drain->ahead->worker);
		}
	}
	(void) pthread_mutex_unlock(&drain->mutex);
}

/* As many threads as there can be; false if there is none. */
static bool
run_threads(struct drain *drain)
{
	pthread_t threads[THREADS_MAX];
	int wanted = drain->ahead->cfg->push_workers + SEALERS;
	int started = 0;

	while (started < wanted && started < THREADS_MAX &&
		   pthread_create(&threads[started], NULL, store_files, drain) == 0)
		started++;
	if (started > 0)
		watch(drain);
	for (int i = 0; i < started; i++)
		(void) pthread_join(threads[i], NULL);
	return started > 0;
}

/*
 * A marker that cannot be written means storing a file twice: then there is
 * no working ahead.
 */
static bool
can_write(const struct spool *spool)
{
	char text[1024];

	memset(text, 'x', sizeof(text));
	if (!spool_write(spool, "probe", text, sizeof(text)))
		return false;
	spool_remove(spool, "probe");
	return true;
}

int
ahead_run(const struct ahead *ahead)
{
	struct drain *drain;
	struct err err;
	bool good = false;

	if (!can_write(ahead->spool))
		return 1;
	drain = calloc(1, sizeof(*drain));
	if (drain == NULL)
		return 1;
	(void) mallopt(M_MMAP_THRESHOLD, OWN_MAPPING);
	prune_markers(ahead);
	drain->ahead = ahead;
	if (pthread_mutex_init(&drain->mutex, NULL) == 0 &&
		pthread_cond_init(&drain->work, NULL) == 0 &&
		pthread_cond_init(&drain->change, NULL) == 0 &&
		budget_new((uint64_t) ahead->cfg->push_memory_bytes, &drain->budget,
				   &err) == ST_OK &&
		connections_new(ahead->cfg, ahead->cluster_spool,
						(unsigned) ahead->cfg->push_workers,
						&drain->connections, &err) == ST_OK &&
		ready_open(&drain->ready, ahead->datadir))
		good = run_threads(drain) && !drain->failed && *cli_cancel() == 0;
	ready_close(&drain->ready);
	connections_free(drain->connections);
	budget_free(drain->budget);
	free(drain);
	return good ? 0 : 1;
}
