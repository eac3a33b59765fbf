/*
 * keygen.c - makes a repository key, and changes a key file
 */
#include "common/key_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* --- changing a key file ---------------------------------------------------
 */

#define FILE_MAX ((size_t) 1 << 20)
#define MODE_ALL (S_IRWXU | S_IRWXG | S_IRWXO)

/*
 * Writes text beside the file and renames it over: whoever reads meanwhile has
 * the old or the new one, whole.  Owner and mode stay.  The name beside also
 * keeps two changes apart.
 */
static enum status
replace_file(const char *path, const struct stat *old, const char *text,
			 struct err *err)
{
	char beside[PATH_MAX];
	enum status status = ST_OK;
	int n = snprintf(beside, sizeof beside, "%s.new", path);
	int fd;

	if (n < 0 || (size_t) n >= sizeof beside)
		return err_set(err, ST_CONFIG, "the name \"%s\" is too long", path);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  S_IRUSR | S_IWUSR);
	if (fd < 0)
		return err_set_errno(err, errno == EEXIST ? ST_EXISTS : ST_IO, errno,
							 "could not create file \"%s\"", beside);
	if ((old->st_uid != geteuid() || old->st_gid != getegid()) &&
		fchown(fd, old->st_uid, old->st_gid) != 0)
		status = err_set_errno(err, ST_IO, errno,
							   "could not give \"%s\" the owner of \"%s\"",
							   beside, path);
	if (status == ST_OK && fchmod(fd, old->st_mode & MODE_ALL) != 0)
		status = err_set_errno(err, ST_IO, errno,
							   "could not set the mode of \"%s\"", beside);
	if (status == ST_OK)
		status = write_all(fd, beside, text, err);
	if (close(fd) != 0 && status == ST_OK)
		status = err_set_errno(err, ST_IO, errno,
							   "could not close file \"%s\"", beside);
	if (status == ST_OK && rename(beside, path) != 0)
		status =
			err_set_errno(err, ST_IO, errno, "could not replace \"%s\"", path);
	if (status != ST_OK)
	{
		(void) unlink(beside);
		return status;
	}
	return sync_parent(path, err);
}

/* A key file that is being changed: what it was, and room for a key more. */
struct change
{
	char path[PATH_MAX]; /* without symbolic links */
	struct secret_file old;
	char *text; /* secret memory */
	size_t room;
	struct keyring *ring; /* of the old text */
};

static void
change_end(struct change *c)
{
	secret_free(c->text);
	keyring_free(c->ring);
	secret_file_free(&c->old);
}

/* On failure there is nothing to end. */
static enum status
change_begin(struct change *c, const char *path, struct err *err)
{
	void *memory;
	enum status status;

	*c = (struct change){.text = NULL};
	if (realpath(path, c->path) == NULL)
		return err_set_errno(err, errno == ENOENT ? ST_MISSING : ST_IO, errno,
							 "could not find file \"%s\"", path);
	status = secret_file_read(c->path, FILE_MAX, &c->old, err);
	if (status != ST_OK)
		return status;
	status = secret_file_check(&c->old, path, err);
	if (status == ST_OK)
		status = keyring_parse(path, c->old.text, c->old.len, &c->ring, err);
	c->room = c->old.len + sizeof(struct draft) + 2;
	if (status == ST_OK)
		status = secret_alloc(c->room, &memory, err);
	if (status == ST_OK)
		c->text = memory;
	else
		change_end(c);
	return status;
}

/* Nothing is written that could not be read again. */
static enum status
change_commit(struct change *c, const char *path, struct err *err)
{
	struct keyring *ring = NULL;
	enum status status =
		keyring_parse(path, c->text, strlen(c->text), &ring, err);

	keyring_free(ring);
	if (status == ST_OK)
		status = replace_file(c->path, &c->old.stat, c->text, err);
	return status;
}

enum status
key_add_to_file(const char *path, char *id_hex, struct err *err)
{
	struct change c;
	void *memory;
	struct draft *draft;
	enum status status = change_begin(&c, path, err);

	if (status != ST_OK)
		return status;
	status = secret_alloc(sizeof *draft, &memory, err);
	if (status == ST_OK)
	{
		draft = memory;
		status = compose(draft, id_hex, err);
		if (status == ST_OK)
		{
			bool ended = c.old.len > 0 && c.old.text[c.old.len - 1] == '\n';

			(void) snprintf(c.text, c.room, "%s%s%s", c.old.text,
							ended ? "" : "\n", draft->text);
			status = change_commit(&c, path, err);
		}
		secret_free(memory);
	}
	change_end(&c);
	return status;
}

/* Where the line of a key begins; id_hex NULL: of the first one. */
static const char *
find_line(const char *text, const char *id_hex)
{
	const char magic[] = KEY_LINE_MAGIC " ";
	size_t id_len = (size_t) 2 * KEY_ID_BYTES;

	while (text != NULL && *text != '\0')
	{
		if (strncmp(text, magic, sizeof magic - 1) == 0 &&
			(id_hex == NULL ||
			 strncmp(text + sizeof magic - 1, id_hex, id_len) == 0))
			return text;
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return NULL;
}

enum status
key_use_in_file(const char *path, const char *id_hex, struct err *err)
{
	struct change c;
	const char *first;
	const char *line = NULL;
	enum status status = change_begin(&c, path, err);

	if (status != ST_OK)
		return status;
	first = find_line(c.old.text, NULL);
	if (strlen(id_hex) == (size_t) 2 * KEY_ID_BYTES)
		line = find_line(c.old.text, id_hex);
	if (line == NULL || first == NULL)
		status = err_set(err, ST_MISSING, "file \"%s\" has no key \"%s\"",
						 path, id_hex);
	else if (line != first)
	{
		size_t before = (size_t) (first - c.old.text);
		size_t between = (size_t) (line - first);
		size_t len = strcspn(line, "\n");
		const char *rest = line[len] == '\n' ? line + len + 1 : line + len;

		(void) snprintf(c.text, c.room, "%.*s%.*s\n%.*s%s", (int) before,
						c.old.text, (int) len, line, (int) between, first,
						rest);
		status = change_commit(&c, path, err);
	}
	change_end(&c);
	return status;
}
