/*
 * push.c - one WAL file into the repository
 */
#include "walship/push.h"

#include <stdlib.h>
#include <string.h>

#include "common/store.h"

struct comparison
{
	struct wal_file *file;
	uint8_t *chunk;
	size_t room;
};

static enum status
differs(struct err *err)
{
	/* The caller, who knows both names, writes the message. */
	return err_set(err, ST_DIFFERS, "content differs");
}

/* A store_sink: one frame of the stored object against the file. */
static enum status
compare_frame(void *arg, const void *data, size_t len, struct err *err)
{
	struct comparison *c = arg;
	enum status status;

	if (len > c->file->size_bytes - c->file->offset)
		return differs(err);
	if (len > c->room)
	{
		uint8_t *grown = realloc(c->chunk, len);

		if (grown == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		c->chunk = grown;
		c->room = len;
	}
	status = wal_file_read(c->file, c->chunk, len, err);
	if (status != ST_OK)
		return status;
	return memcmp(c->chunk, data, len) == 0 ? ST_OK : differs(err);
}

/* ST_OK if the object of that name has exactly the file's content. */
static enum status
compare_stored(struct repo *repo, struct wal_file *file, const char *name,
			   struct err *err)
{
	struct comparison c = {.file = file};
	char key[STORE_KEY_MAX];
	enum status status;

	wal_file_rewind(file);
	status = repo_get(repo, OBJECT_WAL, name, compare_frame, &c, err);
	free(c.chunk);
	if (status == ST_OK && file->offset != file->size_bytes)
		status = differs(err);
	wal_file_rewind(file);
	repo_key(key, repo->system_identifier, name);
	if (status == ST_DIFFERS)
	{
		(void) err_set(err, ST_DIFFERS,
					   "file \"%s\" differs from object \"%s/%s\"", file->path,
					   repo->cfg->repository, key);
		return err_hint(err, "What is archived is never overwritten. Another "
							 "server may be archiving the same timeline.");
	}
	if (status == ST_CORRUPT && err->hint[0] == '\0')
		(void) err_hint(err, "If the object is damaged, move it away: then "
							 "this file takes its place.");
	if (status != ST_OK)
		return err_context(err,
						   "could not compare file \"%s\" with object "
						   "\"%s/%s\"",
						   file->path, repo->cfg->repository, key);
	return wal_file_unchanged(file, err);
}

/* What sealing takes besides the object itself: a frame, and its codec. */
#define SEALING_BYTES ((uint64_t) OBJECT_FRAME_SIZE + (64 << 10))

/* What comparing takes: an object_reader, a chunk, a frame to come. */
#define COMPARING_BYTES ((uint64_t) 4 << 20)

/* The most memory that sealing a file can take; a mapped file is none. */
static uint64_t
sealing_bytes(const struct wal_file *file)
{
	size_t bound = object_bound(file->size_bytes, OBJECT_FRAME_SIZE);

	return SEALING_BYTES + (bound <= OBJECT_BUFFER_MEMORY ? bound : 0);
}

static enum status
take(const struct push_options *options, uint64_t bytes, struct err *err)
{
	return options->budget == NULL
			   ? ST_OK
			   : budget_take(options->budget, bytes, &options->deadline, err);
}

static void
give(const struct push_options *options, uint64_t bytes)
{
	if (options->budget != NULL)
		budget_give(options->budget, bytes);
}

void
push_room_release(struct push_room *room, struct budget *budget)
{
	object_buffer_free(&room->buf);
	if (room->taken > 0)
		budget_give(budget, room->taken);
	room->taken = 0;
}

/*
 * What to take of the budget for sealing.  Reserving the worst case for WAL
 * that is compressible would let one thread seal while all others wait.
 */
static uint64_t
expected_bytes(const struct push_options *options, uint64_t worst)
{
	uint64_t bytes = SEALING_BYTES + (worst - SEALING_BYTES) / 2;

	if (options->budget == NULL)
		return worst;
	if (options->room->usual > 0)
		bytes =
			options->room->usual + options->room->usual / 4 + SEALING_BYTES;
	return bytes < worst ? bytes : worst;
}

/* Takes bytes for all of the room; waits for them with empty hands only. */
static enum status
widen(const struct push_options *options, uint64_t bytes, struct err *err)
{
	struct push_room *room = options->room;

	give(options, room->taken);
	room->taken = 0;
	if (options->budget != NULL && !budget_try(options->budget, bytes))
	{
		object_buffer_free(&room->buf);
		return take(options, bytes, err);
	}
	return ST_OK;
}

/* Seals into so many bytes at most; ST_NOMEM: that is too little. */
static enum status
seal_within(struct repo *repo, struct wal_file *file, const char *name,
			const struct push_options *options, uint64_t bytes,
			struct err *err)
{
	struct object_id id = {.kind = OBJECT_WAL,
						   .system_identifier = repo->system_identifier,
						   .name = name};
	struct object_buffer *buf = &options->room->buf;
	size_t memory_max = (size_t) (bytes - SEALING_BYTES);
	enum status status;

	wal_file_rewind(file);
	status = object_seal(&id, file->size_bytes, wal_file_read, file,
						 repo->ring, options->spill_dir, memory_max, buf, err);
	if (status == ST_IO && options->spill_dir != NULL)
	{
		/* A full spool must not stop archiving. */
		wal_file_rewind(file);
		status = object_seal(&id, file->size_bytes, wal_file_read, file,
							 repo->ring, NULL, memory_max, buf, err);
	}
	return status;
}

/*
 * Seals a file into the room, which keeps of the budget what it takes.  What
 * does not fit into what was expected is sealed again with the worst case.
 */
static enum status
seal(struct repo *repo, struct wal_file *file, const char *name,
	 const struct push_options *options, struct err *err)
{
	struct push_room *room = options->room;
	uint64_t worst = sealing_bytes(file);
	uint64_t bytes = expected_bytes(options, worst);
	enum status status = widen(options, bytes, err);

	if (status != ST_OK)
		return status;
	status = seal_within(repo, file, name, options, bytes, err);
	if (status == ST_NOMEM && bytes < worst)
	{
		give(options, bytes);
		bytes = worst;
		status = take(options, bytes, err);
		if (status != ST_OK)
			return status;
		status = seal_within(repo, file, name, options, bytes, err);
	}
	if (status == ST_OK)
	{
		uint64_t kept;

		object_buffer_trim(&room->buf);
		kept = room->buf.mapped ? 0 : room->buf.room;
		room->usual = kept + SEALING_BYTES;
		room->taken = options->budget != NULL ? kept : 0;
	}
	give(options, bytes - room->taken);
	return status;
}

static enum status
connect_store(struct repo *repo, const struct push_options *options,
			  struct err *err)
{
	return options->connections == NULL
			   ? ST_OK
			   : connections_take(options->connections, &options->deadline,
								  &repo->store, err);
}

static void
disconnect_store(struct repo *repo, const struct push_options *options)
{
	if (options->connections == NULL)
		return;
	connections_give(options->connections, repo->store);
	repo->store = NULL;
}

static enum status
put(struct repo *repo, const char *name, const struct push_options *options,
	struct err *err)
{
	const struct object_buffer *buf = &options->room->buf;
	char key[STORE_KEY_MAX];
	enum status status = connect_store(repo, options, err);

	if (status != ST_OK)
		return status;
	repo_key(key, repo->system_identifier, name);
	status = store_put(repo->store, key, buf->data, buf->len, err);
	disconnect_store(repo, options);
	return status;
}

/* Seals and puts the file under that name. */
static enum status
put_as(struct repo *repo, struct wal_file *file, const char *name,
	   const struct push_options *options, struct err *err)
{
	enum status status = seal(repo, file, name, options, err);

	if (status == ST_OK)
		status = wal_file_unchanged(file, err);
	if (status == ST_OK)
		status = put(repo, name, options, err);
	if (status != ST_OK || options->room->buf.mapped)
		push_room_release(options->room, options->budget);
	return status;
}

/* Puts under that name, or finds the same content there. */
static enum status
put_or_compare(struct repo *repo, struct wal_file *file, const char *name,
			   const struct push_options *options, bool *present,
			   struct err *err)
{
	enum status status = put_as(repo, file, name, options, err);

	*present = status == ST_EXISTS;
	if (!*present)
		return status;
	status = take(options, COMPARING_BYTES, err);
	if (status != ST_OK)
		return status;
	status = connect_store(repo, options, err);
	if (status == ST_OK)
	{
		status = compare_stored(repo, file, name, err);
		disconnect_store(repo, options);
	}
	give(options, COMPARING_BYTES);
	return status;
}

/* Appends '.' and the digest of the content to a logical name. */
static enum status
name_aside(struct repo *repo, struct wal_file *file, char *name,
		   struct err *err)
{
	char hex[OBJECT_WAL_DIGEST_HEX];
	enum status status;

	wal_file_rewind(file);
	status = object_wal_digest(file->size_bytes, wal_file_read, file,
							   repo->ring, hex, err);
	if (status != ST_OK)
		return status;
	(void) stpcpy(stpcpy(name + strlen(name), "."), hex);
	return ST_OK;
}

enum status
push_file(struct repo *repo, struct wal_file *file,
		  const struct push_options *options, struct push_outcome *outcome,
		  struct err *err)
{
	struct push_outcome o = {.result = PUSH_STORED};
	bool received = options->in_recovery && file->name.kind == WAL_SEGMENT;
	bool complete = true;
	bool present;
	enum status status = ST_OK;

	repo_wal_name(o.object, &file->name);
	if (received)
		status = wal_file_complete(file, &complete, err);
	if (status != ST_OK)
		return status;
	if (complete)
		status = put_or_compare(repo, file, o.object, options, &present, err);
	if (!complete ||
		(status == ST_DIFFERS && (received || file->name.kind == WAL_PARTIAL)))
	{
		o.result = PUSH_SET_ASIDE;
		status = name_aside(repo, file, o.object, err);
		if (status == ST_OK)
			status =
				put_or_compare(repo, file, o.object, options, &present, err);
	}
	else if (status == ST_OK && present)
		o.result = PUSH_PRESENT;
	if (status == ST_OK)
		*outcome = o;
	return status;
}
