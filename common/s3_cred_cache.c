/*
 * s3_cred_cache.c - temporary credentials in the spool
 *
 * <spool>/s3-credentials-<digest, shortened>, mode 0600, replaced at once:
 *
 *   file = "walship s3 credentials 1" LF
 *          digest LF               of the configuration they are for
 *          obtained SP expires LF  seconds since 1970
 *          key id LF secret LF token LF
 *          sha256 LF               of all above, in hex
 *
 * Nothing but a regular file of ours that nobody else may read, in a
 * directory that is nobody else's and in no data directory (whose base
 * backups would carry it away), is believed.  Not synced: losing it costs a
 * request.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ownplace.h"
#include "common/s3_cred_internal.h"
#include "common/secretfile.h"

#define MAGIC     "walship s3 credentials 1"
#define FILE_SIZE ((size_t) 16 * 1024)
#define NAME_SIZE 64
#define NAME_HEX  32

/* --- content ------------------------------------------------------------- */

/* Cuts the next line off; NULL at the end, or if it has no newline. */
static char *
next_line(char **at)
{
	char *line = *at;
	char *newline = strchr(line, '\n');

	if (newline == NULL)
		return NULL;
	*newline = '\0';
	*at = newline + 1;
	return line;
}

/* Digits, ended by end. */
static bool
take_seconds(char **at, char end, int64_t *out)
{
	int64_t value = 0;
	char *s = *at;

	for (; *s >= '0' && *s <= '9' && value < INT64_MAX / 10 - 1; s++)
		value = value * 10 + (*s - '0');
	if (s == *at || *s != end)
		return false;
	*at = s + 1;
	*out = value;
	return true;
}

static bool
sum_matches(const char *text, size_t len, const char *sum)
{
	char actual[S3_SHA256_HEX_SIZE];

	return s3_sha256_hex(text, len, actual) && strcmp(actual, sum) == 0;
}

bool
s3_cred_cache_parse(char *text, size_t len, const char *digest,
					struct s3_cred **out)
{
	size_t sum_len = S3_SHA256_HEX_SIZE; /* with its newline */
	char *lines[6];
	char *at = text;
	int64_t obtained_s;
	int64_t expires_s;
	struct err ignored;

	if (strlen(text) != len || len <= sum_len || text[len - 1] != '\n')
		return false;
	text[len - 1] = '\0';
	if (!sum_matches(text, len - sum_len, text + len - sum_len))
		return false;
	text[len - sum_len] = '\0';
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		if ((lines[i] = next_line(&at)) == NULL)
			return false;
	if (*at != '\0' || strcmp(lines[0], MAGIC) != 0 ||
		strcmp(lines[1], digest) != 0)
		return false;
	if (!take_seconds(&lines[2], ' ', &obtained_s) ||
		!take_seconds(&lines[2], '\0', &expires_s) ||
		s3_cred_new(lines[3], lines[4], lines[5], expires_s, out, &ignored) !=
			ST_OK)
		return false;
	(*out)->obtained_s = obtained_s;
	return true;
}

/* Returns the length, 0 if it does not fit. */
static size_t
format(const struct s3_cred *cred, const char *digest, char *text, size_t size)
{
	char sum[S3_SHA256_HEX_SIZE];
	int len =
		snprintf(text, size, "%s\n%s\n%" PRId64 " %" PRId64 "\n%s\n%s\n%s\n",
				 MAGIC, digest, cred->obtained_s, cred->expires_s, cred->id,
				 cred->secret, cred->token);
	size_t used = (size_t) len;

	if (len < 0 || used + sizeof sum + 1 > size ||
		!s3_sha256_hex(text, used, sum))
		return 0;
	len = snprintf(text + used, size - used, "%s\n", sum);
	return used + (size_t) len;
}

/* --- the file ------------------------------------------------------------ */

static bool
is_datadir(int dir, const struct stat *st, const void *arg)
{
	(void) st;
	(void) arg;
	return faccessat(dir, "PG_VERSION", F_OK, 0) == 0;
}

/* The spool's descriptor, or -1 where it is not to be trusted. */
static int
open_spool(const struct s3_cred_settings *settings)
{
	struct stat st;
	int fd;

	if (settings->spool == NULL)
		return -1;
	fd =
		open(settings->spool, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) != 0 || !own_place(&st) ||
					own_place_above(fd, is_datadir, NULL)))
	{
		(void) close(fd);
		fd = -1;
	}
	return fd;
}

static void
name_file(const char *digest, char name[NAME_SIZE])
{
	(void) snprintf(name, NAME_SIZE, "s3-credentials-%.*s", NAME_HEX, digest);
}

/* Reads at most size - 1 bytes and ends them with a zero; 0: not to be used.
 */
static size_t
read_file(int spool, const char *name, char *text, size_t size, bool *existed)
{
	size_t len = 0;
	struct stat st;
	ssize_t n = 1;
	int fd = openat(spool, name,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && own_place(&st) &&
		st.st_nlink == 1 && st.st_size > 0 && (size_t) st.st_size < size)
	{
		*existed = true;
		while (n > 0 && len < size - 1)
		{
			n = read(fd, text + len, size - 1 - len);
			if (n > 0)
				len += (size_t) n;
		}
		if (n < 0)
			len = 0;
	}
	(void) close(fd);
	text[len] = '\0';
	return len;
}

bool
s3_cred_cache_load(const struct s3_cred_settings *settings, const char *digest,
				   int64_t now_s, bool *existed, struct s3_cred **out)
{
	char name[NAME_SIZE];
	struct s3_cred *cred = NULL;
	struct err ignored;
	void *text = NULL;
	size_t len;
	bool good;
	int spool = open_spool(settings);

	*existed = false;
	if (spool < 0)
		return false;
	if (secret_alloc(FILE_SIZE, &text, &ignored) != ST_OK)
	{
		(void) close(spool);
		return false;
	}
	name_file(digest, name);
	len = read_file(spool, name, text, FILE_SIZE, existed);
	good = len > 0 && s3_cred_cache_parse(text, len, digest, &cred);

	/* Obtained in the future: the clock was set back, and may lie on. */
	if (good && (cred->expires_s - now_s <= S3_CRED_LEAST_S ||
				 cred->obtained_s > now_s))
	{
		s3_cred_release(cred);
		good = false;
	}
	secret_free(text);
	(void) close(spool);
	if (good)
		*out = cred;
	return good;
}

static bool
write_all(int fd, const char *text, size_t len)
{
	while (len > 0)
	{
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t) n;
	}
	return true;
}

static void
replace_file(int spool, const char *name, const char *text, size_t len)
{
	char temp[NAME_SIZE + 32];
	bool good;
	int fd;

	(void) snprintf(temp, sizeof temp, ".%s.%ld", name, (long) getpid());

	/* The leftover of a killed process that had our id. */
	(void) unlinkat(spool, temp, 0);
	fd = openat(spool, temp,
				O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				S_IRUSR | S_IWUSR);
	if (fd < 0)
		return;
	good = write_all(fd, text, len);
	good = close(fd) == 0 && good;
	if (!good || renameat(spool, temp, spool, name) != 0)
		(void) unlinkat(spool, temp, 0);
}

void
s3_cred_cache_store(const struct s3_cred_settings *settings,
					const char *digest, const struct s3_cred *cred)
{
	char name[NAME_SIZE];
	struct err ignored;
	void *text = NULL;
	size_t len;
	int spool;

	if (cred->expires_s == S3_CRED_FOREVER)
		return;
	spool = open_spool(settings);
	if (spool < 0)
		return;
	if (secret_alloc(FILE_SIZE, &text, &ignored) == ST_OK)
	{
		name_file(digest, name);
		len = format(cred, digest, text, FILE_SIZE);
		if (len > 0)
			replace_file(spool, name, text, len);
		secret_free(text);
	}
	(void) close(spool);
}
