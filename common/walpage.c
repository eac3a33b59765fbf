/*
 * walpage.c - what a WAL segment and pg_control say about themselves
 *
 * Both are written in the byte order of the server's machine, on which we
 * run, so they are read without conversion; a foreign byte order fails the
 * checks of magic and version.
 */
#include "common/walpage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/bytes.h"

/* XLogLongPageHeaderData, as laid out on every 64-bit platform. */
#define PAGE_MAGIC             0
#define PAGE_INFO              2
#define PAGE_TIMELINE          4
#define PAGE_ADDRESS           8
#define PAGE_SHORT_BYTES       24
#define PAGE_SYSTEM_IDENTIFIER 24
#define PAGE_SEGMENT_SIZE      32
#define PAGE_PAGE_SIZE         36

#define INFO_LONG_HEADER 0x0002

/* Every release so far has a magic of its own within these 256. */
#define MAGIC_MASK   0xFF00
#define MAGIC_FAMILY 0xD100

#define PAGE_SIZE_MIN 1024
#define PAGE_SIZE_MAX 65536

/* ControlFileData, the beginning of which has not changed since 9.0. */
#define CONTROL_SYSTEM_IDENTIFIER 0
#define CONTROL_VERSION           8
#define CONTROL_STATE             16

#define CONTROL_VERSION_MIN 1300
#define CONTROL_VERSION_MAX 9999

/* enum DBState */
#define STATE_SHUTDOWNED_IN_RECOVERY 2
#define STATE_IN_ARCHIVE_RECOVERY    5
#define STATE_MAX                    6

static bool
page_size_valid(uint32_t bytes)
{
	return bytes >= PAGE_SIZE_MIN && bytes <= PAGE_SIZE_MAX &&
		   (bytes & (bytes - 1)) == 0;
}

enum status
wal_page_parse(struct wal_page *page, const void *data, size_t len,
			   struct err *err)
{
	const uint8_t *at = data;
	struct wal_page p;

	if (len < WAL_LONG_HEADER_BYTES)
		return err_set(err, ST_CORRUPT, "too short for a WAL page header");
	p.magic = get_native16(at + PAGE_MAGIC);
	p.info = get_native16(at + PAGE_INFO);
	p.timeline = get_native32(at + PAGE_TIMELINE);
	p.page_address = get_native64(at + PAGE_ADDRESS);
	p.system_identifier = get_native64(at + PAGE_SYSTEM_IDENTIFIER);
	p.segment_size = get_native32(at + PAGE_SEGMENT_SIZE);
	p.page_size = get_native32(at + PAGE_PAGE_SIZE);
	if ((p.magic & MAGIC_MASK) != MAGIC_FAMILY)
		return err_set(err, ST_CORRUPT, "WAL page has invalid magic %04X",
					   p.magic);
	if ((p.info & INFO_LONG_HEADER) == 0)
		return err_set(err, ST_CORRUPT,
					   "WAL page lacks the long header that "
					   "begins a segment");
	if (!wal_segment_size_valid(p.segment_size) ||
		!page_size_valid(p.page_size))
		return err_set(err, ST_CORRUPT,
					   "WAL page has invalid segment size %" PRIu32
					   " or page size %" PRIu32,
					   p.segment_size, p.page_size);
	if (p.timeline == 0 || p.system_identifier == 0)
		return err_set(err, ST_CORRUPT,
					   "WAL page lacks a timeline or system identifier");
	*page = p;
	return ST_OK;
}

/* The header's timeline may be an ancestor's only where that one was valid. */
static enum status
check_timeline(const struct wal_page *page, const struct wal_name *name,
			   const struct timeline_history *history, struct err *err)
{
	const struct timeline_entry *entry;

	if (page->timeline > name->timeline)
		return err_set(err, ST_CORRUPT,
					   "WAL page is of timeline %" PRIu32
					   ", which is newer than the file's",
					   page->timeline);
	if (history == NULL)
		return ST_OK;
	entry = timeline_history_find(history, page->timeline);
	if (entry == NULL)
		return err_set(err, ST_CORRUPT,
					   "WAL page is of timeline %" PRIu32
					   ", which is not in the history of timeline %" PRIu32,
					   page->timeline, history->timeline);
	if (page->page_address < entry->begin || page->page_address >= entry->end)
		return err_set(err, ST_CORRUPT,
					   "WAL page is of timeline %" PRIu32
					   ", which in the history of timeline %" PRIu32
					   " does not cover its address",
					   page->timeline, history->timeline);
	return ST_OK;
}

enum status
wal_page_check(const struct wal_page *page, const struct wal_name *name,
			   uint64_t file_len, uint64_t system_identifier,
			   const struct timeline_history *history, struct err *err)
{
	char lsn[LSN_TEXT_MAX];
	uint64_t segno;

	if (system_identifier != 0 && page->system_identifier != system_identifier)
		return err_set(err, ST_CORRUPT,
					   "WAL page is of the cluster with system identifier "
					   "%" PRIu64 ", not %" PRIu64,
					   page->system_identifier, system_identifier);
	if (file_len != page->segment_size)
		return err_set(err, ST_CORRUPT,
					   "file has %" PRIu64 " bytes, but its segment size is "
					   "%" PRIu32,
					   file_len, page->segment_size);
	if (!wal_name_segno(name, page->segment_size, &segno))
		return err_set(err, ST_CORRUPT,
					   "no segment of %" PRIu32 " bytes has such a name",
					   page->segment_size);
	if (page->page_address != segno * page->segment_size)
		return err_set(err, ST_CORRUPT,
					   "WAL page has address %s, which is of another segment",
					   lsn_format(page->page_address, lsn));
	return check_timeline(page, name, history, err);
}

static bool
all_zero(const uint8_t *at, size_t len)
{
	return at[0] == 0 && memcmp(at, at + 1, len - 1) == 0;
}

bool
wal_pages_match(const struct wal_page *page, const void *data, size_t len,
				uint64_t offset)
{
	const uint8_t *at = data;
	uint64_t address = page->page_address + offset;

	for (; len >= page->page_size; len -= page->page_size)
	{
		bool own = get_native16(at + PAGE_MAGIC) == page->magic &&
				   get_native64(at + PAGE_ADDRESS) == address;

		if (!own && !all_zero(at, PAGE_SHORT_BYTES))
			return false;
		at += page->page_size;
		address += page->page_size;
	}
	return true;
}

enum status
pg_control_parse(struct pg_control *out, const void *data, size_t len,
				 struct err *err)
{
	const uint8_t *at = data;
	struct pg_control control;
	uint32_t state;

	if (len < PG_CONTROL_BYTES)
		return err_set(err, ST_CORRUPT, "file is too short");
	control.system_identifier = get_native64(at + CONTROL_SYSTEM_IDENTIFIER);
	control.control_version = get_native32(at + CONTROL_VERSION);
	state = get_native32(at + CONTROL_STATE);
	if (control.control_version < CONTROL_VERSION_MIN ||
		control.control_version > CONTROL_VERSION_MAX)
		return err_set(err, ST_CORRUPT, "version %" PRIu32 " is not known",
					   control.control_version);
	if (control.system_identifier == 0 || state > STATE_MAX)
		return err_set(err, ST_CORRUPT,
					   "system identifier or state is not valid");
	control.in_recovery = state == STATE_SHUTDOWNED_IN_RECOVERY ||
						  state == STATE_IN_ARCHIVE_RECOVERY;
	*out = control;
	return ST_OK;
}

/* Reads up to len bytes; fewer only at the end of the file. */
static ssize_t
read_up_to(int fd, uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len)
	{
		ssize_t n = read(fd, data + done, len - done);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			done += (size_t) n;
	}
	return (ssize_t) done;
}

enum status
pg_control_read(const char *pgdata, struct pg_control *out, struct err *err)
{
	char path[4096];
	uint8_t data[PG_CONTROL_BYTES];
	ssize_t len;
	int saved;
	int fd;
	int n = snprintf(path, sizeof(path), "%s/global/pg_control", pgdata);

	if (n < 0 || (size_t) n >= sizeof(path))
		return err_set(err, ST_CONFIG,
					   "path of the data directory is too "
					   "long");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set_errno(err, errno == ENOENT ? ST_MISSING : ST_IO, errno,
							 "could not open \"%s\"", path);
	len = read_up_to(fd, data, sizeof(data));
	saved = errno;
	(void) close(fd);
	if (len < 0)
		return err_set_errno(err, ST_IO, saved, "could not read \"%s\"", path);
	if (pg_control_parse(out, data, (size_t) len, err) != ST_OK)
		return err_context(err, "\"%s\"", path);
	return ST_OK;
}
