/*
 * wal_times.c - when did the transactions in some WAL end?
 */
#include "basebackup/wal_times.h"

#include <string.h>

#include "common/bytes.h"

#define SHORT_HEADER    24
#define LONG_HEADER     40
#define INFO_CONTRECORD 0x0001
#define INFO_LONG       0x0002
#define RECORD_HEADER   24

#define RM_XACT 1

/* What follows a record's header (xlogrecord.h). */
#define ID_DATA_SHORT   255
#define ID_DATA_LONG    254
#define ID_ORIGIN       253
#define ID_TOPLEVEL_XID 252

/* From 1970 to PostgreSQL's 2000. */
#define EPOCH_US (INT64_C(946684800) * 1000000)

void
wal_times_begin(struct wal_times *t)
{
	memset(t, 0, sizeof(*t));
}

/* The end of a transaction, if the record is one. */
static void
take_record(struct wal_times *t)
{
	uint8_t op = t->head[16] & 0x70;
	size_t at = RECORD_HEADER;
	int64_t time_us;

	/* Commit, abort, and both of prepared transactions. */
	if (t->head[17] != RM_XACT ||
		(op != 0x00 && op != 0x20 && op != 0x30 && op != 0x40))
		return;
	while (at < t->head_len && t->head[at] == ID_TOPLEVEL_XID)
		at += 5;
	while (at < t->head_len && t->head[at] == ID_ORIGIN)
		at += 3;
	if (at < t->head_len && t->head[at] == ID_TOPLEVEL_XID)
		at += 5;
	if (at < t->head_len && t->head[at] == ID_DATA_SHORT)
		at += 2;
	else if (at < t->head_len && t->head[at] == ID_DATA_LONG)
		at += 5;
	else
		return;
	if (at + sizeof(uint64_t) > t->head_len)
		return;
	time_us = (int64_t) get_native64(t->head + at) + EPOCH_US;
	if (!t->any || time_us > t->latest_us)
		t->latest_us = time_us;
	t->any = true;
}

/* Part of the record: len bytes of the page. */
static void
take_part(struct wal_times *t, const uint8_t *data, size_t len)
{
	size_t room = sizeof(t->head) - t->head_len;

	if (!t->skipping)
	{
		size_t n = len < room ? len : room;

		memcpy(t->head + t->head_len, data, n);
		t->head_len += n;
	}
	t->left -= len;
	if (t->left > 0)
		return;
	if (!t->skipping)
	{
		t->any_record = true;
		t->last = t->begun;
		take_record(t);
	}
	t->skipping = false;
	t->head_len = 0;
}

/* Where the records begin on the page; 0: there is none. */
static size_t
page_begin(struct wal_times *t)
{
	uint16_t info = get_native16(t->page + 2);
	uint64_t rest = get_native32(t->page + 16);

	if (get_native16(t->page) == 0)
		return 0;
	if ((info & INFO_CONTRECORD) == 0)
		t->left = 0; /* what was begun was given up by the server */
	else if (t->left != rest)
	{
		t->left = rest;
		t->skipping = true;
	}
	if (t->left == 0)
	{
		t->head_len = 0;
		t->skipping = false;
	}
	return (info & INFO_LONG) != 0 ? LONG_HEADER : SHORT_HEADER;
}

static void
take_page(struct wal_times *t)
{
	size_t at = page_begin(t);

	t->ended = t->ended || at == 0;
	while (!t->ended && at + 8 <= t->page_size)
	{
		size_t n = t->page_size - at;

		if (t->left == 0)
		{
			t->begun = t->fed + at;
			t->left = get_native32(t->page + at);
			if (t->left < RECORD_HEADER)
			{
				t->left = 0;
				t->ended = true;
				break;
			}
		}
		if (n > t->left)
			n = (size_t) t->left;
		take_part(t, t->page + at, n);
		at = (at + n + 7) & ~(size_t) 7;
	}
	t->fed += t->page_size;
}

enum status
wal_times_feed(void *arg, const void *data, size_t len, struct err *err)
{
	struct wal_times *t = arg;
	const uint8_t *at = data;

	(void) err;
	while (len > 0 && !t->ended)
	{
		size_t want = t->page_size == 0 ? LONG_HEADER : t->page_size;
		size_t n = want - t->page_len;

		if (n > len)
			n = len;
		memcpy(t->page + t->page_len, at, n);
		t->page_len += n;
		at += n;
		len -= n;
		if (t->page_len < want)
			break;
		if (t->page_size == 0)
		{
			/* The long header that every segment begins with. */
			t->page_size = get_native32(t->page + 36);
			if (t->page_size < 1024 || t->page_size > WAL_TIMES_PAGE_MAX)
				t->ended = true;
			continue;
		}
		take_page(t);
		t->page_len = 0;
	}
	return ST_OK;
}

bool
wal_times_open(const struct wal_times *t)
{
	return !t->ended && t->left > 0;
}
