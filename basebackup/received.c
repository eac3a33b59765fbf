/*
 * received.c - the list of received files, held against the server's own
 */
#include "basebackup/received.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "basebackup/incremental.h"
#include "basebackup/tempfile.h"

#define PATH_MAX_BYTES 4096

/* What the file holds for each, the path behind it. */
struct entry
{
	uint64_t size;
	uint32_t crc32c;
	uint32_t path_len;
	struct received_file made;
};

struct received
{
	FILE *entries;
	FILE *hashes; /* of each path, 8 bytes, to find a path that came twice */
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	uint64_t added;
	uint64_t compared;
	char path[PATH_MAX_BYTES + 1];
	char whole[PATH_MAX_BYTES + 1];
};

enum status
received_new(struct received **out, struct err *err)
{
	struct received *r = calloc(1, sizeof(*r));
	enum status status;

	if (r == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	randombytes_buf(r->hash_key, sizeof(r->hash_key));
	status = tempfile_open(&r->entries, err);
	if (status == ST_OK)
		status = tempfile_open(&r->hashes, err);
	if (status != ST_OK)
	{
		received_free(r);
		return status;
	}
	*out = r;
	return ST_OK;
}

void
received_free(struct received *r)
{
	if (r == NULL)
		return;
	if (r->entries != NULL)
		(void) fclose(r->entries);
	if (r->hashes != NULL)
		(void) fclose(r->hashes);
	free(r);
}

/* Of the file that is meant: it may come once, whole or as changes. */
static void
hash_path(struct received *r, const char *path,
		  const struct received_file *made, uint8_t *out)
{
	const char *whole = path;

	if (made->changes && incremental_path(path, r->whole))
		whole = r->whole;
	(void) crypto_shorthash(out, (const unsigned char *) whole, strlen(whole),
							r->hash_key);
}

enum status
received_add(struct received *r, const char *path, uint64_t size,
			 uint32_t crc32c, const struct received_file *made,
			 struct err *err)
{
	size_t len = strlen(path);
	struct entry entry = {size, crc32c, (uint32_t) len, *made};
	uint8_t hash[crypto_shorthash_BYTES];
	enum status status;

	if (len > PATH_MAX_BYTES)
		return err_set(err, ST_CORRUPT, "path \"%.100s...\" is too long",
					   path);
	hash_path(r, path, made, hash);
	status = tempfile_write(r->entries, &entry, sizeof(entry), err);
	if (status == ST_OK)
		status = tempfile_write(r->entries, path, len, err);
	if (status == ST_OK)
		status = tempfile_write(r->hashes, hash, sizeof(hash), err);
	if (status == ST_OK)
		r->added++;
	return status;
}

/* The next entry, its path in r->path. */
static enum status
next_entry(struct received *r, struct entry *entry, struct err *err)
{
	enum status status = tempfile_read(r->entries, entry, sizeof(*entry), err);

	if (status == ST_OK && entry->path_len > PATH_MAX_BYTES)
		status = err_set(err, ST_IO, "temporary file is damaged");
	if (status == ST_OK)
		status = tempfile_read(r->entries, r->path, entry->path_len, err);
	if (status == ST_OK)
		r->path[entry->path_len] = '\0';
	return status;
}

enum status
received_compare(struct received *r, const struct server_manifest_file *file,
				 struct received_file *made, struct err *err)
{
	struct entry entry;
	enum status status = ST_OK;

	if (r->compared == 0)
		status = tempfile_rewind(r->entries, err);
	if (status != ST_OK)
		return status;
	if (r->compared == r->added)
		return err_set(err, ST_CORRUPT,
					   "the server's manifest lists \"%s\", which the server "
					   "did not send",
					   file->path);
	status = next_entry(r, &entry, err);
	if (status != ST_OK)
		return status;
	r->compared++;
	if (strcmp(r->path, file->path) != 0)
		return err_set(err, ST_CORRUPT,
					   "the server sent \"%s\", but its manifest lists \"%s\"",
					   r->path, file->path);
	if (entry.size != file->size)
		return err_set(err, ST_CORRUPT,
					   "file \"%s\" arrived with %llu bytes, but the server's "
					   "manifest says %llu",
					   r->path, (unsigned long long) entry.size,
					   (unsigned long long) file->size);
	if (entry.crc32c != file->crc32c)
		return err_set(err, ST_CORRUPT,
					   "file \"%s\" arrived with CRC %08x, but the server's "
					   "manifest says %08x",
					   r->path, entry.crc32c, file->crc32c);
	*made = entry.made;
	return ST_OK;
}

static int
order_hashes(const void *a, const void *b)
{
	return memcmp(a, b, crypto_shorthash_BYTES);
}

/* Names the path of that hash; two of one hash are one path. */
static enum status
name_duplicate(struct received *r, const uint8_t *hash, struct err *err)
{
	enum status status = tempfile_rewind(r->entries, err);

	for (uint64_t i = 0; i < r->added && status == ST_OK; i++)
	{
		struct entry entry;
		uint8_t other[crypto_shorthash_BYTES];

		status = next_entry(r, &entry, err);
		if (status != ST_OK)
			break;
		hash_path(r, r->path, &entry.made, other);
		if (memcmp(other, hash, sizeof(other)) == 0)
			return err_set(err, ST_CORRUPT, "the server sent \"%s\" twice",
						   r->path);
	}
	return status;
}

/*
 * Sorts the hashes in the temporary file itself.  That two paths of ten
 * million have one hash by chance is a matter of one to a few hundred
 * thousand, and costs a repeated backup.
 */
static enum status
find_duplicate(struct received *r, struct err *err)
{
	size_t len = (size_t) r->added * crypto_shorthash_BYTES;
	enum status status = tempfile_rewind(r->hashes, err);
	uint8_t *map;

	if (status != ST_OK || r->added < 2)
		return status;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			   fileno(r->hashes), 0);
	if (map == MAP_FAILED)
		return err_set(err, ST_IO, "could not map a temporary file");
	qsort(map, (size_t) r->added, crypto_shorthash_BYTES, order_hashes);
	for (size_t at = crypto_shorthash_BYTES; at < len && status == ST_OK;
		 at += crypto_shorthash_BYTES)
	{
		if (memcmp(map + at - crypto_shorthash_BYTES, map + at,
				   crypto_shorthash_BYTES) == 0)
			status = name_duplicate(r, map + at, err);
	}
	(void) munmap(map, len);
	return status;
}

enum status
received_finish(struct received *r, struct err *err)
{
	struct entry entry;
	enum status status;

	if (r->compared == r->added)
		return find_duplicate(r, err);
	if (r->compared == 0 &&
		(status = tempfile_rewind(r->entries, err)) != ST_OK)
		return status;
	status = next_entry(r, &entry, err);
	if (status != ST_OK)
		return status;
	return err_set(err, ST_CORRUPT,
				   "the server sent \"%s\", which its manifest does not list",
				   r->path);
}
