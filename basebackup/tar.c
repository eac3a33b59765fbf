/*
 * tar.c - the tar archives that PostgreSQL sends
 */
#include "basebackup/tar.h"

#include <stdio.h>
#include <string.h>

/* Offsets in a header block, as POSIX gives them for ustar. */
#define AT_NAME     0
#define AT_MODE     100
#define AT_SIZE     124
#define AT_MTIME    136
#define AT_CHECKSUM 148
#define AT_TYPE     156
#define AT_LINK     157
#define AT_MAGIC    257
#define AT_PREFIX   345

/* A file larger than this is nonsense, and would make sums overflow. */
#define SIZE_MAX_SANE ((uint64_t) 1 << 56)

void
tar_init(struct tar_parser *tar, const struct tar_handler *handler, void *arg)
{
	memset(tar, 0, sizeof(*tar));
	tar->handler = handler;
	tar->arg = arg;
}

bool
tar_path_safe(const char *path)
{
	for (;;)
	{
		size_t n = strcspn(path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') ||
			(n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (path[n] == '\0')
			return true;
		path += n + 1;
	}
}

/* Octal digits, blanks around them; or base-256 behind a first byte 0x80. */
static bool
parse_number(const uint8_t *field, size_t len, uint64_t *out)
{
	uint64_t value = 0;
	size_t i = 0;

	if ((field[0] & 0x80) != 0)
	{
		if (field[0] != 0x80)
			return false;
		for (i = 1; i < len; i++)
		{
			if (value >> 55 != 0)
				return false;
			value = value << 8 | field[i];
		}
		*out = value;
		return true;
	}
	while (i < len && field[i] == ' ')
		i++;
	if (i == len || field[i] < '0' || field[i] > '7')
		return false;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t) (field[i] - '0');
	for (; i < len; i++)
	{
		if (field[i] != ' ' && field[i] != '\0')
			return false;
	}
	*out = value;
	return true;
}

static bool
checksum_right(const uint8_t *block)
{
	uint64_t stored;
	uint64_t sum = 0;

	if (!parse_number(block + AT_CHECKSUM, 8, &stored))
		return false;
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= AT_CHECKSUM && i < AT_CHECKSUM + 8 ? ' ' : block[i];
	return sum == stored;
}

/* A text field of TAR_NAME_MAX bytes; out has one byte more. */
static void
copy_text(const uint8_t *field, char *out)
{
	size_t n = strnlen((const char *) field, TAR_NAME_MAX);

	memcpy(out, field, n);
	out[n] = '\0';
}

static enum status
entry_type(struct tar_entry *e, uint8_t type, struct err *err)
{
	size_t n = strlen(e->name);

	switch (type)
	{
		case '0':
			e->type = TAR_FILE;
			break;
		case '5':
			e->type = TAR_DIRECTORY;
			break;
		case '2':
			e->type = TAR_SYMLINK;
			break;
		default:
			return err_set(err, ST_CORRUPT,
						   "tar entry \"%s\" has the unknown type %u", e->name,
						   (unsigned) type);
	}
	if (e->type != TAR_FILE && n > 0 && e->name[n - 1] == '/')
		e->name[n - 1] = '\0';
	/* The server writes "./pg_wal/archive_status" and the like. */
	if (strncmp(e->name, "./", 2) == 0)
		memmove(e->name, e->name + 2, strlen(e->name + 2) + 1);
	if (!tar_path_safe(e->name))
		return err_set(err, ST_CORRUPT, "tar entry has the unsafe name \"%s\"",
					   e->name);
	if (e->type != TAR_FILE && e->size != 0)
		return err_set(err, ST_CORRUPT,
					   "tar entry \"%s\" is no file, but has "
					   "data",
					   e->name);
	return ST_OK;
}

static enum status
parse_header(struct tar_parser *tar, struct err *err)
{
	const uint8_t *b = tar->block;
	struct tar_entry *e = &tar->entry;
	uint64_t mode;
	uint64_t mtime;

	if (!checksum_right(b))
		return err_set(err, ST_CORRUPT, "tar header has a wrong checksum");
	memset(e, 0, sizeof(*e));
	copy_text(b + AT_NAME, e->name);
	copy_text(b + AT_LINK, e->link);
	if (memcmp(b + AT_MAGIC,
			   "ustar\0"
			   "00",
			   8) != 0 ||
		b[AT_PREFIX] != 0)
		return err_set(err, ST_CORRUPT, "tar entry \"%s\" is not plain ustar",
					   e->name);
	if (!parse_number(b + AT_MODE, 8, &mode) ||
		!parse_number(b + AT_SIZE, 12, &e->size) ||
		!parse_number(b + AT_MTIME, 12, &mtime) || e->size > SIZE_MAX_SANE)
		return err_set(err, ST_CORRUPT, "tar entry \"%s\" has a bad number",
					   e->name);
	e->mode = (uint32_t) (mode & 07777);
	e->mtime = (int64_t) mtime;
	return entry_type(e, b[AT_TYPE], err);
}

static bool
all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static enum status
take_block(struct tar_parser *tar, struct err *err)
{
	enum status status;

	tar->block_len = 0;
	if (all_zero(tar->block, TAR_BLOCK))
	{
		tar->zero_blocks++;
		return ST_OK;
	}
	if (tar->zero_blocks > 0)
		return err_set(err, ST_CORRUPT,
					   "tar archive has an entry behind a zero block");
	status = parse_header(tar, err);
	if (status == ST_OK)
		status = tar->handler->entry(tar->arg, &tar->entry, err);
	if (status != ST_OK || tar->entry.type != TAR_FILE)
		return status;
	tar->data_left = tar->entry.size;
	tar->padding = (uint32_t) (-tar->entry.size % TAR_BLOCK);
	if (tar->data_left == 0)
		return tar->handler->end(tar->arg, err);
	return ST_OK;
}

static enum status
take_data(struct tar_parser *tar, const uint8_t *p, size_t n, struct err *err)
{
	enum status status = tar->handler->data(tar->arg, p, n, err);

	tar->data_left -= n;
	if (status == ST_OK && tar->data_left == 0)
		status = tar->handler->end(tar->arg, err);
	return status;
}

enum status
tar_feed(struct tar_parser *tar, const void *data, size_t len, struct err *err)
{
	const uint8_t *p = data;
	enum status status = ST_OK;

	while (len > 0 && status == ST_OK)
	{
		size_t n;

		if (tar->zero_blocks >= 2)
		{
			if (!all_zero(p, len))
				return err_set(err, ST_CORRUPT,
							   "tar archive goes on behind its end");
			return ST_OK;
		}
		if (tar->data_left > 0)
		{
			n = tar->data_left < len ? (size_t) tar->data_left : len;
			status = take_data(tar, p, n, err);
		}
		else if (tar->padding > 0)
		{
			n = tar->padding < len ? tar->padding : len;
			tar->padding -= (uint32_t) n;
		}
		else
		{
			n = TAR_BLOCK - tar->block_len;
			n = n < len ? n : len;
			memcpy(tar->block + tar->block_len, p, n);
			tar->block_len += n;
			if (tar->block_len == TAR_BLOCK)
				status = take_block(tar, err);
		}
		p += n;
		len -= n;
	}
	return status;
}

enum status
tar_finish(const struct tar_parser *tar, struct err *err)
{
	if (tar->zero_blocks < 2 || tar->block_len > 0)
		return err_set(err, ST_CORRUPT, "tar archive is cut short");
	return ST_OK;
}
