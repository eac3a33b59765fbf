/*
 * secretfile.h - files that may hold secrets, and the memory for them
 *
 * Contents go to memory of sodium_malloc: locked, guarded, left out of core
 * files, and wiped when freed.
 */
#ifndef COMMON_SECRETFILE_H
#define COMMON_SECRETFILE_H

#include <stddef.h>
#include <sys/stat.h>

#include "common/err.h"

struct secret_file
{
	char *text; /* len bytes and a zero */
	size_t len;
	struct stat stat; /* of the descriptor that was read */
};

/*
 * Reads a regular file of at most max bytes; symbolic links are followed,
 * what counts is what was opened.  ST_MISSING: there is none; ST_CONFIG: not
 * a regular file, or too large; ST_IO.
 */
extern enum status
secret_file_read(const char *path, size_t max, struct secret_file *out,
				 struct err *err) ERR_CHECK;
extern void secret_file_free(struct secret_file *file);

/*
 * PostgreSQL's rule for ssl_key_file: owned by the user without group or
 * world access, or by root and at most 0640.  Else ST_CONFIG.
 */
extern enum status
secret_file_check(const struct secret_file *file, const char *path,
				  struct err *err) ERR_CHECK;

/* size bytes of such memory, freed with secret_free, which wipes it. */
extern enum status
secret_alloc(size_t size, void **out, struct err *err) ERR_CHECK;
extern void secret_free(void *memory);

#endif
