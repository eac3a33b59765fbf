/*
 * receive_file.h - a file of the backup stream on its way into packs
 *
 * A file as the server has it goes into the packs as it comes.  Of a backup
 * of which the server sends only changes, what it sends as INCREMENTAL.<name>
 * is made whole with what the base holds, and backup_label loses the lines
 * with which a server would refuse to start.
 */
#ifndef BASEBACKUP_RECEIVE_FILE_H
#define BASEBACKUP_RECEIVE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/pack.h"
#include "common/err.h"

/* Longer than any path in the stream. */
#define RECEIVE_PATH_ROOM 160

struct receive_file;

/* pages_max: as native_ask says, if only changes are sent; else 0. */
extern enum status
receive_file_new(struct pack_writer *packs, uint32_t page_size,
				 uint32_t pages_max, struct receive_file **out,
				 struct err *err) ERR_CHECK;
extern void receive_file_free(struct receive_file *file);

/* path in the data directory, and size, as sent. */
extern enum status
receive_file_begin(struct receive_file *file, const char *path, uint64_t size,
				   struct err *err) ERR_CHECK;
extern enum status
receive_file_data(struct receive_file *file, const void *data, size_t len,
				  struct err *err) ERR_CHECK;

/* All of it lives until the next file begins. */
struct received_whole
{
	const char *path; /* of the file that is stored */
	bool changes;     /* only they were sent */
	uint32_t sent_crc32c;
	const struct stored_file *stored;
};

extern enum status
receive_file_end(struct receive_file *file, struct received_whole *out,
				 struct err *err) ERR_CHECK;

#endif
