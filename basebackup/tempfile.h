/*
 * tempfile.h - files without a name, gone with the process
 */
#ifndef BASEBACKUP_TEMPFILE_H
#define BASEBACKUP_TEMPFILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

/*
 * The error of one: "could not <what> a temporary file".  Returns ST_IO.
 */
extern enum status
tempfile_failed(const char *what, int error, struct err *err);

/* Opens one for reading and writing in TMPDIR, else /tmp; close by fclose. */
extern enum status tempfile_open(FILE **out, struct err *err) ERR_CHECK;

/* Appends, or fails with ST_IO. */
extern enum status tempfile_write(FILE *file, const void *data, size_t len,
								  struct err *err) ERR_CHECK;

/* Reads exactly len bytes from the present place. */
extern enum status
tempfile_read(FILE *file, void *data, size_t len, struct err *err) ERR_CHECK;

/* Back to the start, to read what was written. */
extern enum status tempfile_rewind(FILE *file, struct err *err) ERR_CHECK;

/*
 * Reads exactly len bytes from offset at on, which were written and flushed
 * (tempfile_rewind).  Any thread may, while nobody writes.
 */
extern enum status tempfile_read_at(FILE *file, uint64_t at, void *data,
									size_t len, struct err *err) ERR_CHECK;

/* How much has been written. */
extern enum status
tempfile_length(FILE *file, uint64_t *len, struct err *err) ERR_CHECK;

#endif
