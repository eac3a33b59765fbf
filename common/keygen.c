/*
 * keygen.c - makes a repository key
 */
#include "common/key_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/secretfile.h"

#define ID_CONTEXT "walship key id v1"

_Static_assert(KEY_BYTES >= crypto_generichash_blake2b_KEYBYTES_MIN &&
				   KEY_BYTES <= crypto_generichash_blake2b_KEYBYTES_MAX,
			   "a repository key must be a BLAKE2b key");

/* Secret memory for a new key and the text of its file. */
struct draft
{
	uint8_t key[KEY_BYTES];
	char key_hex[2 * KEY_BYTES + 1];
	char text[512];
};

/* Shorter than libsodium recommends for a digest; this is but a name. */
enum status
key_derive_id(uint8_t id[KEY_ID_BYTES], const uint8_t key[KEY_BYTES],
			  struct err *err)
{
	if (crypto_generichash_blake2b(id, KEY_ID_BYTES,
								   (const unsigned char *) ID_CONTEXT,
								   strlen(ID_CONTEXT), key, KEY_BYTES) != 0)
		return err_set(err, ST_IO, "could not compute a key's id");
	return ST_OK;
}

static enum status
compose(struct draft *draft, char *id_hex, struct err *err)
{
	uint8_t id[KEY_ID_BYTES];
	char now[21];

	randombytes_buf(draft->key, sizeof draft->key);
	if (key_derive_id(id, draft->key, err) != ST_OK)
		return err->status;
	(void) sodium_bin2hex(id_hex, (size_t) 2 * KEY_ID_BYTES + 1, id,
						  sizeof id);
	(void) sodium_bin2hex(draft->key_hex, sizeof draft->key_hex, draft->key,
						  sizeof draft->key);
	(void) snprintf(
		draft->text, sizeof draft->text,
		"# walship repository key of %s.\n"
		"# Without it nothing that it sealed can be read: keep a "
		"copy away from the\n"
		"# database hosts and from the repository.\n" KEY_LINE_MAGIC
		" %s %s\n",
		time_format((int64_t) time(NULL), now), id_hex, draft->key_hex);
	return ST_OK;
}

static enum status
write_all(int fd, const char *path, const char *text, struct err *err)
{
	size_t len = strlen(text);

	while (len > 0)
	{
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, ST_IO, errno,
								 "could not write file \"%s\"", path);
		text += n;
		len -= (size_t) n;
	}
	if (fsync(fd) != 0)
		return err_set_errno(err, ST_IO, errno, "could not sync file \"%s\"",
							 path);
	return ST_OK;
}

static enum status
sync_parent(const char *path, struct err *err)
{
	char *copy = strdup(path);
	enum status status = ST_OK;
	int fd;

	if (copy == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		status = err_set_errno(err, ST_IO, errno,
							   "could not sync the directory of \"%s\"", path);
	if (fd >= 0)
		(void) close(fd);
	free(copy);
	return status;
}

static enum status
create_file(const char *path, const char *text, struct err *err)
{
	enum status status;
	int fd =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EEXIST)
	{
		(void) err_set(err, ST_EXISTS, "file \"%s\" exists already", path);
		return err_hint(err, "A key that is overwritten is lost, and with it "
							 "all that it sealed: choose another name.");
	}
	if (fd < 0)
		return err_set_errno(err, ST_IO, errno, "could not create file \"%s\"",
							 path);

	status = write_all(fd, path, text, err);
	if (close(fd) != 0 && status == ST_OK)
		status = err_set_errno(err, ST_IO, errno,
							   "could not close file \"%s\"", path);
	if (status == ST_OK)
		status = sync_parent(path, err);
	if (status != ST_OK)
		(void) unlink(path);
	return status;
}

enum status
key_generate_file(const char *path, char *id_hex, struct err *err)
{
	void *memory;
	struct draft *draft;
	enum status status;

	if (secret_alloc(sizeof *draft, &memory, err) != ST_OK)
		return err->status;
	draft = memory;
	status = compose(draft, id_hex, err);
	if (status == ST_OK)
		status = create_file(path, draft->text, err);
	secret_free(memory);
	return status;
}
