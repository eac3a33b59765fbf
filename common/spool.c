/*
 * spool.c - a place of our own on this host
 */
#include "common/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/ownplace.h"

#define DIRECTORY  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define HASH_BYTES 8

/* Ours, and nobody else's. */
static bool
is_private(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && own_place(&st))
		return true;
	log_info("spool \"%s\" is not used: it must belong to user %u and have "
			 "mode 0700",
			 path, (unsigned) geteuid());
	return false;
}

static bool
is_same(int dir, const struct stat *st, const void *arg)
{
	const struct stat *wanted = arg;

	(void) dir;
	return st->st_dev == wanted->st_dev && st->st_ino == wanted->st_ino;
}

/* True if the directory is, or lies in, the data directory. */
static bool
is_inside(int fd, const char *datadir)
{
	struct stat wanted;

	return datadir != NULL && stat(datadir, &wanted) == 0 &&
		   own_place_above(fd, is_same, &wanted);
}

/* Replaces *fd by its subdirectory, made if need be; -1 if that fails. */
static void
descend(int *fd, const char *name, const char *path)
{
	int below = -1;

	if (*fd < 0)
		return;
	if (mkdirat(*fd, name, S_IRWXU) == 0 || errno == EEXIST)
		below = openat(*fd, name, DIRECTORY);
	if (below >= 0 && !is_private(below, path))
	{
		(void) close(below);
		below = -1;
	}
	(void) close(*fd);
	*fd = below;
}

/* So that another repository, or another key, has a spool of its own. */
static bool
repository_hash(const struct config *cfg, const uint8_t *key_id,
				char hex[2 * HASH_BYTES + 1])
{
	crypto_generichash_state state;
	uint8_t hash[HASH_BYTES];
	const char *parts[] = {cfg->repository,
						   cfg->s3_endpoint != NULL ? cfg->s3_endpoint : ""};

	if (sodium_init() < 0 ||
		crypto_generichash_init(&state, NULL, 0, sizeof(hash)) != 0)
		return false;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		(void) crypto_generichash_update(&state, (const uint8_t *) parts[i],
										 strlen(parts[i]) + 1);
	if (key_id != NULL)
		(void) crypto_generichash_update(&state, key_id, KEY_ID_BYTES);
	(void) crypto_generichash_final(&state, hash, sizeof(hash));
	(void) sodium_bin2hex(hex, 2 * HASH_BYTES + 1, hash, sizeof(hash));
	return true;
}

void
spool_open_top(struct spool *spool, const struct config *cfg,
			   const char *datadir)
{
	int n;

	spool->fd = -1;
	if (cfg->spool == NULL || cfg->spool[0] != '/')
		return;
	n = snprintf(spool->path, sizeof(spool->path), "%s", cfg->spool);
	if (n < 0 || (size_t) n >= sizeof(spool->path))
		return;
	spool->fd = open(cfg->spool, DIRECTORY);
	if (spool->fd < 0)
		return;
	if (is_inside(spool->fd, datadir))
		log_info("spool \"%s\" is not used: it lies in the data directory",
				 cfg->spool);
	else if (is_private(spool->fd, cfg->spool))
		return;
	spool_close(spool);
}

void
spool_open_known(struct spool *spool, const struct config *cfg,
				 const uint8_t *key_id, uint64_t system_identifier,
				 const char *datadir)
{
	char hash[2 * HASH_BYTES + 1];
	char cluster[24];
	int n;

	spool_open_top(spool, cfg, datadir);
	if (spool->fd < 0)
		return;
	(void) snprintf(cluster, sizeof(cluster), "%" PRIu64, system_identifier);
	if (repository_hash(cfg, key_id, hash))
		n = snprintf(spool->path, sizeof(spool->path), "%s/%s/%s", cfg->spool,
					 hash, cluster);
	else
		n = -1;
	if (n < 0 || (size_t) n >= sizeof(spool->path))
	{
		spool_close(spool);
		return;
	}
	descend(&spool->fd, hash, spool->path);
	descend(&spool->fd, cluster, spool->path);
}

void
spool_open(struct spool *spool, const struct config *cfg,
		   const struct keyring *ring, uint64_t system_identifier,
		   const char *datadir)
{
	spool_open_known(spool, cfg,
					 keyring_sealed(ring) ? keyring_first_id(ring) : NULL,
					 system_identifier, datadir);
}

void
spool_open_unread(struct spool *spool, const struct config *cfg,
				  uint64_t system_identifier, const char *datadir)
{
	const char *said =
		cfg->key_file != NULL ? cfg->key_file : cfg->key_command;
	uint8_t id[crypto_generichash_BYTES];

	spool->fd = -1;
	if (cfg->encryption == ENCRYPTION_NONE || said == NULL)
		said = "";
	if (sodium_init() < 0 ||
		crypto_generichash(id, sizeof(id), (const uint8_t *) said,
						   strlen(said), NULL, 0) != 0)
		return;
	spool_open_known(spool, cfg, id, system_identifier, datadir);
}

void
spool_close(struct spool *spool)
{
	if (spool->fd >= 0)
		(void) close(spool->fd);
	spool->fd = -1;
}

void
spool_open_below(struct spool *below, const struct spool *spool,
				 const char *kind, const char *datadir)
{
	char name[NAME_MAX + 1];
	struct stat st;
	int n;

	below->fd = -1;
	if (spool->fd < 0 || stat(datadir, &st) != 0)
		return;
	n = snprintf(name, sizeof(name), "%s-%jx-%jx", kind, (uintmax_t) st.st_dev,
				 (uintmax_t) st.st_ino);
	if (n < 0 || (size_t) n >= sizeof(name))
		return;
	n = snprintf(below->path, sizeof(below->path), "%s/%s", spool->path, name);
	if (n < 0 || (size_t) n >= sizeof(below->path))
		return;
	below->fd = fcntl(spool->fd, F_DUPFD_CLOEXEC, 0);
	descend(&below->fd, name, below->path);
}

const char *
spool_path(const struct spool *spool)
{
	return spool->fd >= 0 ? spool->path : NULL;
}

int
spool_read(const struct spool *spool, const char *name, void *data,
		   size_t room)
{
	struct stat st;
	ssize_t len = -1;
	int fd;

	if (spool->fd < 0)
		return -1;
	fd = openat(spool->fd, name,
				O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
		st.st_size >= 0 && (size_t) st.st_size <= room && room <= INT_MAX)
		len = read(fd, data, room);
	(void) close(fd);
	return (int) len;
}

bool
spool_write(const struct spool *spool, const char *name, const void *data,
			size_t len)
{
	char temp[NAME_MAX + 1];
	ssize_t written;
	int fd;
	int n;

	n = snprintf(temp, sizeof(temp), ".%s.%ld", name, (long) getpid());
	if (spool->fd < 0 || n < 0 || (size_t) n >= sizeof(temp))
		return false;
	/* The leftover of a killed process that had our id. */
	(void) unlinkat(spool->fd, temp, 0);
	fd = openat(spool->fd, temp,
				O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				S_IRUSR | S_IWUSR);
	if (fd < 0)
		return false;
	written = write(fd, data, len);
	if (close(fd) == 0 && written >= 0 && (size_t) written == len &&
		renameat(spool->fd, temp, spool->fd, name) == 0)
		return true;
	(void) unlinkat(spool->fd, temp, 0);
	return false;
}

void
spool_remove(const struct spool *spool, const char *name)
{
	if (spool->fd >= 0)
		(void) unlinkat(spool->fd, name, 0);
}
