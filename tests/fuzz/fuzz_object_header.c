/*
 * fuzz_object_header.c - headers of stored objects, as they are and with a
 * checksum that fits
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/object_internal.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key_text[] =
	"walship-key-v1 c88881365555b10c "
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

static struct keyring *rings[2];

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static void
parse(const uint8_t *data, size_t len, const struct keyring *ring)
{
	struct object_id id = {OBJECT_WAL, 0, NULL};
	struct object obj;
	struct err err;

	if (len > HEADER_PLAIN_LEN && data[HEADER_KIND] >= OBJECT_WAL &&
		data[HEADER_KIND] <= OBJECT_REPORT)
	{
		id.kind = (enum object_kind) data[HEADER_KIND];
		id.system_identifier = get_le64(data + HEADER_SYSTEM);
	}
	if (object_parse(&obj, &id, data, len, ring, &err) != ST_OK)
	{
		require(err.status == ST_CORRUPT || err.status == ST_AUTH);
		return;
	}
	require(obj.header_len <= len && obj.header_len <= OBJECT_HEADER_MAX);
	require(strlen(obj.name) == obj.header_len - HEADER_LEN(0));
	require(obj.frame_size >= 1 && obj.frame_size <= OBJECT_FRAME_MAX);
	require(obj.sealed == keyring_sealed(ring));
	require(memcmp(obj.header, data, obj.header_len) == 0);
	object_wipe(&obj);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t h[OBJECT_HEADER_MAX];
	size_t len = size < sizeof h ? size : sizeof h;
	struct err err;

	if (rings[0] == NULL)
	{
		require(keyring_none(&rings[0], &err) == ST_OK);
		require(keyring_parse("key", key_text, sizeof key_text - 1, &rings[1],
							  &err) == ST_OK);
	}
	for (int sealed = 0; sealed < 2; sealed++)
	{
		parse(data, size, rings[sealed]);
		if (len < HEADER_LEN(1))
			continue;
		memcpy(h, data, len);
		put_le32(h, MAGIC_HEADER);
		put_le32(h + HEADER_LENGTH, (uint32_t) len - OBJECT_HEADER_PREFIX);
		memcpy(h + HEADER_IDENT, HEADER_IDENT_TEXT,
			   sizeof HEADER_IDENT_TEXT - 1);
		h[HEADER_VERSION] = OBJECT_VERSION;
		(void) crypto_generichash(h + len - HEADER_CHECKSUM_BYTES,
								  HEADER_CHECKSUM_BYTES, h,
								  len - HEADER_CHECKSUM_BYTES, NULL, 0);
		parse(h, len, rings[sealed]);
	}
	return 0;
}
