/*
 * object_digest.c - the digest in the names of WAL files that differ
 */
#include "common/object.h"

#include <sodium.h>
#include <stdlib.h>

#define DIGEST_BYTES 8
#define CHUNK_BYTES  ((size_t) 256 << 10)

static const char context[] = "walship wal digest v1";

enum status
object_wal_digest(uint64_t plain_len, object_source read, void *arg,
				  const struct keyring *ring, char *hex, struct err *err)
{
	crypto_generichash_state state;
	uint8_t digest[DIGEST_BYTES];
	const uint8_t *key = NULL;
	uint8_t *chunk;
	enum status status = ST_OK;

	if (keyring_sealed(ring))
		key = keyring_find(ring, keyring_first_id(ring));
	if (sodium_init() < 0 ||
		crypto_generichash_init(&state, key, key != NULL ? KEY_BYTES : 0,
								sizeof digest) != 0)
		return err_set(err, ST_IO, "could not initialize libsodium");
	chunk = malloc(CHUNK_BYTES);
	if (chunk == NULL)
		status = err_set(err, ST_NOMEM, "out of memory");
	else
		(void) crypto_generichash_update(&state, (const uint8_t *) context,
										 sizeof context - 1);
	while (status == ST_OK && plain_len > 0)
	{
		size_t len =
			plain_len < CHUNK_BYTES ? (size_t) plain_len : CHUNK_BYTES;

		status = read(arg, chunk, len, err);
		if (status == ST_OK)
			(void) crypto_generichash_update(&state, chunk, len);
		plain_len -= len;
	}
	if (status == ST_OK)
	{
		(void) crypto_generichash_final(&state, digest, sizeof digest);
		(void) sodium_bin2hex(hex, OBJECT_WAL_DIGEST_HEX, digest,
							  sizeof digest);
	}
	sodium_memzero(&state, sizeof state);
	free(chunk);
	return status;
}
