/*
 * marker.c - "this very file is durably stored"
 */
#include "walship/marker.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

#define SUM_BYTES 16
#define SUM_HEX   ((size_t) 2 * SUM_BYTES)

/*
 * A tick is 10 ms at most.  A time without a fraction comes from a file
 * system that counts seconds, or two.
 */
#define TICK_MS   20
#define COARSE_MS 3000

static const char context[] = "walship marker v1";

/* The first line, with its end; 0 if it does not fit. */
static size_t
format_identity(char *text, size_t room, const struct marker_file *file)
{
	const struct stat *st = file->stat;
	int n = snprintf(text, room,
					 "walship-pushed-v1 %" PRIu64 " %s %s %jx %jx %jx "
					 "%jx.%lx %jx.%lx\n",
					 file->system_identifier, file->boot, file->name,
					 (uintmax_t) st->st_size, (uintmax_t) st->st_dev,
					 (uintmax_t) st->st_ino, (uintmax_t) st->st_mtim.tv_sec,
					 (unsigned long) st->st_mtim.tv_nsec,
					 (uintmax_t) st->st_ctim.tv_sec,
					 (unsigned long) st->st_ctim.tv_nsec);

	return n > 0 && (size_t) n < room ? (size_t) n : 0;
}

static void
format_sum(char hex[SUM_HEX + 1], const char *text, size_t len)
{
	uint8_t sum[SUM_BYTES];

	/* The context is a key only to tell this sum from others. */
	(void) crypto_generichash(sum, sizeof(sum), (const uint8_t *) text, len,
							  (const uint8_t *) context, sizeof(context) - 1);
	(void) sodium_bin2hex(hex, SUM_HEX + 1, sum, sizeof(sum));
}

size_t
marker_format(char text[MARKER_TEXT_MAX], const struct marker_file *file,
			  const char *object)
{
	size_t len = format_identity(text, MARKER_TEXT_MAX, file);
	size_t object_len = strlen(object);

	if (len == 0 || object_len > OBJECT_NAME_MAX ||
		len + object_len + 1 + SUM_HEX + 1 > MARKER_TEXT_MAX - 1)
		return 0;
	(void) stpcpy(stpcpy(text + len, object), "\n");
	len += object_len + 1;
	format_sum(text + len, text, len);
	len += SUM_HEX;
	text[len++] = '\n';
	return len;
}

bool
marker_parse(const char *text, size_t len, const struct marker_file *file,
			 char object[OBJECT_NAME_MAX + 1])
{
	char expected[MARKER_TEXT_MAX];
	size_t identity = format_identity(expected, sizeof(expected), file);
	char name[OBJECT_NAME_MAX + 1];
	size_t object_len;

	/* Everything is as this file's marker has to be, or it is none. */
	if (identity == 0 || len < identity + 1 + SUM_HEX + 1)
		return false;
	object_len = len - identity - 1 - SUM_HEX - 1;
	if (object_len > OBJECT_NAME_MAX)
		return false;
	memcpy(name, text + identity, object_len);
	name[object_len] = '\0';
	if (strlen(name) != object_len || strchr(name, '\n') != NULL ||
		marker_format(expected, file, name) != len ||
		memcmp(expected, text, len) != 0)
		return false;
	memcpy(object, name, object_len + 1);
	return true;
}

int64_t
marker_settles_ms(const struct stat *stat, const struct timespec *now)
{
	int64_t needed = stat->st_ctim.tv_nsec == 0 ? COARSE_MS : TICK_MS;
	int64_t age_s = (int64_t) now->tv_sec - (int64_t) stat->st_ctim.tv_sec;
	int64_t age_ms;

	/* A change in the future: a clock was set, or is another host's. */
	if (age_s < -1)
		return COARSE_MS;
	if (age_s > COARSE_MS)
		return 0;
	age_ms = age_s * 1000 + (now->tv_nsec - stat->st_ctim.tv_nsec) / 1000000;
	return age_ms >= needed ? 0 : needed - age_ms;
}

bool
marker_boot(char boot[MARKER_BOOT_MAX])
{
	int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t len;

	if (fd < 0)
		return false;
	len = read(fd, boot, MARKER_BOOT_MAX - 1);
	(void) close(fd);
	if (len <= 1 || boot[len - 1] != '\n')
		return false;
	boot[len - 1] = '\0';
	return strspn(boot, "0123456789abcdef-") == (size_t) len - 1;
}

bool
marker_leave(const struct spool *spool, const struct marker_file *file,
			 const char *object)
{
	char text[MARKER_TEXT_MAX];
	size_t len = marker_format(text, file, object);

	return len > 0 && spool_write(spool, file->name, text, len);
}

bool
marker_find(const struct spool *spool, const struct marker_file *file,
			char object[OBJECT_NAME_MAX + 1])
{
	char text[MARKER_TEXT_MAX];
	int len = spool_read(spool, file->name, text, sizeof(text));

	return len > 0 && marker_parse(text, (size_t) len, file, object);
}
