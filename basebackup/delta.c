/*
 * delta.c - what of a backup is in the directories already
 */
#include "basebackup/delta.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/deadline.h"

#define READ_BYTES  ((size_t) 1 << 20)
#define PROGRESS_NS 200000000L

struct delta
{
	const struct delta_job *job; /* while comparing */
	uint8_t *states; /* enum delta_state; each written by one thread */
	_Atomic uint32_t next;
	_Atomic uint64_t looked; /* bytes read */
	_Atomic uint64_t kept_files;
	_Atomic uint64_t kept_bytes;
	_Atomic bool failed;
	pthread_mutex_t mutex; /* guards err */
	struct err err;        /* the first failure */
};

struct comparer
{
	struct delta *delta;
	struct tree_cursor *cursor;
	uint8_t *buffer;
	struct plan_entry entry;
	pthread_t thread;
};

/* The CRC of the whole file; false if it could not be read to its end. */
static bool
read_crc(struct comparer *c, int fd, uint64_t size, uint32_t *out)
{
	const volatile sig_atomic_t *cancel = c->delta->job->request->cancel;
	uint32_t crc = 0;
	uint64_t at = 0;

	(void) posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	while (at < size)
	{
		ssize_t n = pread(fd, c->buffer, READ_BYTES, (off_t) at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || (cancel != NULL && *cancel))
			return false;
		crc = crc32c_update(crc, c->buffer, (size_t) n);
		at += (uint64_t) n;
		atomic_fetch_add(&c->delta->looked, (uint64_t) n);
	}
	*out = crc;
	return at == size;
}

static enum status
compare_file(struct comparer *c, enum delta_state *out, struct err *err)
{
	const struct plan_entry *entry = &c->entry;
	uint64_t size;
	uint32_t crc;
	int fd, error = 0;
	enum status st = tree_look(c->cursor, entry->area,
							   plan_pending_path(entry), &fd, &size, err);

	if (st == ST_MISSING)
	{
		*out = DELTA_ABSENT;
		return ST_OK;
	}
	if (st != ST_OK)
		return st;
	*out = DELTA_CHANGED;
	if (size == entry->size && read_crc(c, fd, size, &crc) &&
		crc == entry->crc32c)
	{
		*out = DELTA_KEPT;
		atomic_fetch_add(&c->delta->kept_files, 1);
		atomic_fetch_add(&c->delta->kept_bytes, size);
	}
	else if (size != entry->size && ftruncate(fd, (off_t) entry->size) != 0)
		error = errno;
	if (close(fd) != 0 && error == 0)
		error = errno;
	if (error != 0)
		return err_set_errno(
			err, ST_IO, error, "could not set the size of \"%s/%s\"",
			tree_path(c->delta->job->tree, entry->area), entry->path);
	return ST_OK;
}

static void *
compare(void *arg)
{
	struct comparer *c = arg;
	struct delta *d = c->delta;
	const struct deadline cancelled = deadline_in(-1, d->job->request->cancel);
	uint32_t number;
	enum status st = ST_OK;
	struct err err;

	while (st == ST_OK && !atomic_load(&d->failed) &&
		   (number = atomic_fetch_add(&d->next, 1)) < d->job->plan->nentries)
	{
		enum delta_state state = DELTA_ABSENT;

		st = deadline_check(&cancelled, &err);
		if (st == ST_OK)
			st = plan_get_entry(d->job->plan, number, &c->entry, &err);
		if (st == ST_OK && c->entry.type == PLAN_FILE)
			st = compare_file(c, &state, &err);
		d->states[number] = (uint8_t) state;
	}
	if (st != ST_OK && !atomic_exchange(&d->failed, true))
	{
		pthread_mutex_lock(&d->mutex);
		d->err = err;
		pthread_mutex_unlock(&d->mutex);
	}
	return NULL;
}

static void
join(struct comparer *c, struct progress *progress)
{
	struct timespec until;
	int error;

	do
	{
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += PROGRESS_NS;
		if (until.tv_nsec >= 1000000000)
		{
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		error = pthread_timedjoin_np(c->thread, NULL, &until);
		progress_update(progress, atomic_load(&c->delta->looked));
	} while (error == ETIMEDOUT);
}

static enum status
run(struct delta *d, struct comparer *comparers, int n, struct err *err)
{
	struct progress progress;
	int started = 0, error = 0;
	enum status st = ST_OK;

	for (int i = 0; st == ST_OK && i < n; i++)
	{
		comparers[i].delta = d;
		comparers[i].buffer = malloc(READ_BYTES);
		st = comparers[i].buffer == NULL
				 ? err_set(err, ST_NOMEM, "out of memory")
				 : tree_cursor_new(d->job->tree, &comparers[i].cursor, err);
	}
	if (st != ST_OK)
		return st;
	progress_begin(&progress, d->job->request->terminal,
				   d->job->plan->summary.bytes);
	progress.verb = "compared";
	while (started < n && error == 0)
	{
		error = pthread_create(&comparers[started].thread, NULL, compare,
							   &comparers[started]);
		if (error == 0)
			started++;
	}
	for (int i = 0; i < started; i++)
		join(&comparers[i], &progress);
	progress_end(&progress);
	if (started == 0)
		return err_set_errno(err, ST_IO, error, "could not start a thread");
	if (!atomic_load(&d->failed))
		return ST_OK;
	*err = d->err;
	return err->status;
}

/* Zeros over what the file held there. */
static enum status
clear(void *arg, const struct plan_zeros *zeros, struct err *err)
{
	struct comparer *c = arg;
	const struct tree *tree = c->delta->job->tree;
	int fd, error = 0;
	enum status st;

	if (c->delta->states[zeros->entry] != DELTA_CHANGED)
		return ST_OK;
	if ((st = plan_get_entry(c->delta->job->plan, zeros->entry, &c->entry,
							 err)) != ST_OK ||
		(st = tree_open(c->cursor, c->entry.area, plan_pending_path(&c->entry),
						&fd, err)) != ST_OK)
		return st;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  (off_t) zeros->at, (off_t) zeros->length) != 0)
	{
		uint64_t done = 0;

		memset(c->buffer, 0, READ_BYTES);
		while (done < zeros->length && error == 0)
		{
			uint64_t left = zeros->length - done;
			size_t len = left < READ_BYTES ? (size_t) left : READ_BYTES;
			ssize_t n = pwrite(fd, c->buffer, len, (off_t) (zeros->at + done));

			if (n > 0)
				done += (uint64_t) n;
			else if (n == 0 || errno != EINTR)
				error = n == 0 ? ENOSPC : errno;
		}
	}
	if (close(fd) != 0 && error == 0)
		error = errno;
	return error == 0
			   ? ST_OK
			   : err_set_errno(err, ST_IO, error, "could not write \"%s/%s\"",
							   tree_path(tree, c->entry.area), c->entry.path);
}

enum status
delta_compare(const struct delta_job *job, struct delta **out, struct err *err)
{
	struct comparer *comparers =
		calloc((size_t) job->workers, sizeof(*comparers));
	struct delta *d = calloc(1, sizeof(*d));
	enum status st;

	if (d == NULL || comparers == NULL)
	{
		free(d);
		free(comparers);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	d->job = job;
	pthread_mutex_init(&d->mutex, NULL);
	d->states = calloc((size_t) job->plan->nentries + 1, 1);
	st = d->states == NULL ? err_set(err, ST_NOMEM, "out of memory")
						   : run(d, comparers, job->workers, err);
	if (st == ST_OK)
		st = plan_each_zeros(job->plan, clear, &comparers[0], err);
	for (int i = 0; i < job->workers; i++)
	{
		tree_cursor_free(comparers[i].cursor);
		free(comparers[i].buffer);
	}
	free(comparers);
	if (st == ST_OK)
		*out = d;
	else
		delta_free(d);
	return st;
}

void
delta_free(struct delta *delta)
{
	if (delta == NULL)
		return;
	pthread_mutex_destroy(&delta->mutex);
	free(delta->states);
	free(delta);
}

enum delta_state
delta_state(const struct delta *delta, uint32_t entry)
{
	return (enum delta_state) delta->states[entry];
}

void
delta_kept(const struct delta *delta, uint64_t *files, uint64_t *bytes)
{
	*files = delta->kept_files;
	*bytes = delta->kept_bytes;
}
