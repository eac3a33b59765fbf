/*
 * received.h - the list of received files, held against the server's own
 *
 * The server lists files in the order in which it sends them, so the two
 * lists are compared side by side, and memory does not grow with them: ours
 * waits in a temporary file.
 */
#ifndef BASEBACKUP_RECEIVED_H
#define BASEBACKUP_RECEIVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/server_manifest.h"
#include "common/err.h"

struct received;

extern enum status
received_new(struct received **out, struct err *err) ERR_CHECK;
extern void received_free(struct received *received);

/* What was made of a file, of which perhaps only changes were sent. */
struct received_file
{
	bool changes;
	uint64_t size;
	uint32_t crc32c;
};

/* First all files are added, path, size and CRC being as they were sent, */
extern enum status
received_add(struct received *received, const char *path, uint64_t size,
			 uint32_t crc32c, const struct received_file *made,
			 struct err *err) ERR_CHECK;

/* then each is compared, in the same order; */
extern enum status
received_compare(struct received *received,
				 const struct server_manifest_file *file,
				 struct received_file *made, struct err *err) ERR_CHECK;

/* then there must be none left, and no path may have come twice. */
extern enum status
received_finish(struct received *received, struct err *err) ERR_CHECK;

#endif
