/*
 * stream.h - BASE_BACKUP: what the server answers
 *
 * Source: PostgreSQL's chapter "Streaming Replication Protocol".  Knows
 * servers 15 and later: one COPY whose messages say what they are.  A stream
 * is pulled event by event from a replication connection, which it borrows.
 */
#ifndef BASEBACKUP_STREAM_H
#define BASEBACKUP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/pgconn.h"
#include "common/deadline.h"
#include "common/err.h"

/* The CopyData messages.  Pure. */
enum stream_kind
{
	STREAM_ARCHIVE,  /* a tar archive begins */
	STREAM_MANIFEST, /* the server's manifest begins */
	STREAM_DATA,     /* bytes of the archive or of the manifest */
	STREAM_PROGRESS, /* bytes read by the server so far */
	STREAM_END       /* no more messages: stream_finish follows */
};

struct stream_event
{
	enum stream_kind kind;
	const char *archive;  /* its name: "base.tar", "<oid>.tar" */
	const char *location; /* of its tablespace; empty: the data directory */
	const uint8_t *data;
	size_t len;
	uint64_t progress;
};

/* The event's pointers go into data.  ST_CORRUPT: not such a message. */
extern enum status
stream_parse_message(const uint8_t *data, size_t len, struct stream_event *out,
					 struct err *err) ERR_CHECK;

/*
 * The oid in "<oid>.tar", 0 for "base.tar", with ".lz4" behind if compressed;
 * false for any other name.
 */
extern bool stream_parse_archive(const char *archive, bool lz4, uint32_t *oid);

struct stream_options
{
	const char *label; /* without control characters */
	bool fast_checkpoint;
	uint32_t max_rate_kb; /* 0: unlimited */
	bool verify_checksums;
	bool incremental; /* only changes; the server has seen a manifest */
	bool lz4;         /* the server is to compress the archives */
	int64_t wait_ms;  /* the longest silence of the server */
	const volatile sig_atomic_t *cancel;
};

struct stream_tablespace
{
	uint32_t oid;
	char *location; /* relative for one inside the data directory */
};

struct stream_start
{
	uint64_t lsn;
	uint32_t timeline;
	uint64_t total_bytes; /* the server's estimate of the whole */
	size_t ntablespaces;
	struct stream_tablespace *tablespaces;
};

struct stream;

/* Starts the backup and waits for the server's checkpoint. */
extern enum status
stream_begin(struct pgconn *conn, const struct stream_options *options,
			 struct stream **out, struct err *err) ERR_CHECK;
extern void stream_free(struct stream *stream);

/* Lives as long as the stream. */
extern const struct stream_start *stream_start(const struct stream *stream);

/* The event lives until the next call. */
extern enum status stream_next(struct stream *stream, struct stream_event *out,
							   struct err *err) ERR_CHECK;

/*
 * Takes what follows the messages: the backup's end, and an error that only
 * comes after it, such as for a data page with a bad checksum.
 */
extern enum status
stream_finish(struct stream *stream, uint64_t *end_lsn, uint32_t *end_timeline,
			  struct err *err) ERR_CHECK;

#endif
