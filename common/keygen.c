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
#define ID_HEX     ((size_t) 2 * KEY_ID_BYTES)

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
	(void) sodium_bin2hex(id_hex, ID_HEX + 1, id, sizeof id);
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

/* A key file that is being changed: what it was, and room for a key more. */
struct change
{
	char path[PATH_MAX]; /* without symbolic links */
	char beside[PATH_MAX];
	int fd; /* of the file beside */
	struct secret_file old;
	char *text; /* secret memory */
	size_t room;
	struct keyring *ring; /* of the old text */
};

static void
change_end(struct change *c)
{
	if (c->fd >= 0)
	{
		(void) close(c->fd);
		(void) unlink(c->beside);
	}
	secret_free(c->text);
	keyring_free(c->ring);
	secret_file_free(&c->old);
}

/*
 * The file beside is made before the old one is read: of two changes at the
 * same time the second would else take away the key that the first has added.
 */
static enum status
make_beside(struct change *c, struct err *err)
{
	int n = snprintf(c->beside, sizeof c->beside, "%s.new", c->path);

	if (n < 0 || (size_t) n >= sizeof c->beside)
		return err_set(err, ST_CONFIG, "the name \"%s\" is too long", c->path);
	c->fd =
		open(c->beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			 S_IRUSR | S_IWUSR);
	if (c->fd >= 0)
		return ST_OK;
	if (errno != EEXIST)
		return err_set_errno(err, ST_IO, errno, "could not create file \"%s\"",
							 c->beside);
	(void) err_set(err, ST_EXISTS, "file \"%s\" exists already", c->beside);
	return err_hint(err, "Another keygen is changing the keys, or has been "
						 "killed: if none runs, remove that file.");
}

/* On failure there is nothing to end. */
static enum status
change_begin(struct change *c, const char *path, struct err *err)
{
	void *memory;
	enum status status;

	*c = (struct change){.fd = -1};
	if (realpath(path, c->path) == NULL)
		return err_set_errno(err, errno == ENOENT ? ST_MISSING : ST_IO, errno,
							 "could not find file \"%s\"", path);
	status = make_beside(c, err);
	if (status == ST_OK)
		status = secret_file_read(c->path, FILE_MAX, &c->old, err);
	if (status == ST_OK)
		status = secret_file_check(&c->old, path, err);
	if (status == ST_OK && memchr(c->old.text, '\0', c->old.len) != NULL)
		status = err_set(err, ST_CONFIG, "file \"%s\" is no text", path);
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

/* Owner and mode are those of the old file. */
static enum status
write_beside(const struct change *c, struct err *err)
{
	const struct stat *old = &c->old.stat;

	if ((old->st_uid != geteuid() || old->st_gid != getegid()) &&
		fchown(c->fd, old->st_uid, old->st_gid) != 0)
		return err_set_errno(err, ST_IO, errno,
							 "could not give \"%s\" the owner of \"%s\"",
							 c->beside, c->path);
	if (fchmod(c->fd, old->st_mode & MODE_ALL) != 0)
		return err_set_errno(err, ST_IO, errno,
							 "could not set the mode of \"%s\"", c->beside);
	return write_all(c->fd, c->beside, c->text, err);
}

/*
 * Renames the new text over the old, so that whoever reads meanwhile has one
 * of them, whole.  Nothing is written that could not be read again.
 */
static enum status
change_commit(struct change *c, const char *path, struct err *err)
{
	struct keyring *ring = NULL;
	enum status status =
		keyring_parse(path, c->text, strlen(c->text), &ring, err);
	int fd = c->fd;

	keyring_free(ring);
	if (status == ST_OK)
		status = write_beside(c, err);
	if (status != ST_OK)
		return status;
	c->fd = -1;
	if (close(fd) != 0)
		status = err_set_errno(err, ST_IO, errno,
							   "could not close file \"%s\"", c->beside);
	else if (rename(c->beside, c->path) != 0)
		status = err_set_errno(err, ST_IO, errno, "could not replace \"%s\"",
							   c->path);
	if (status == ST_OK)
		return sync_parent(c->path, err);
	(void) unlink(c->beside);
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

/* The id in a key's line, which key.c has taken; NULL: it is no key's. */
static const char *
line_id(const char *line)
{
	const size_t magic = sizeof KEY_LINE_MAGIC - 1;

	if (strncmp(line, KEY_LINE_MAGIC, magic) != 0)
		return NULL;
	return line + magic + strspn(line + magic, " \t");
}

/* Where the line of a key begins; id_hex NULL: of the first one. */
static const char *
find_line(const char *text, const char *id_hex)
{
	while (text != NULL && *text != '\0')
	{
		const char *id = line_id(text);

		if (id != NULL && (id_hex == NULL || strncmp(id, id_hex, ID_HEX) == 0))
			return text;
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return NULL;
}

static enum status
no_such_key(const char *path, const char *id_hex, const char *text,
			struct err *err)
{
	char ids[ERR_DETAIL_MAX] = "";
	size_t len = 0;

	for (; len + ID_HEX + 2 < sizeof ids &&
		   (text = find_line(text, NULL)) != NULL;
		 text += strcspn(text, "\n"))
		len += (size_t) snprintf(ids + len, sizeof ids - len, "%s%.*s",
								 len > 0 ? ", " : "", (int) ID_HEX,
								 line_id(text));
	(void) err_set(err, ST_MISSING, "file \"%s\" has no key \"%s\"", path,
				   id_hex);
	return err_detail(err, "It has %s.", ids);
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
	if (strlen(id_hex) == ID_HEX)
		line = find_line(c.old.text, id_hex);
	if (line == NULL)
		status = no_such_key(path, id_hex, c.old.text, err);
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
