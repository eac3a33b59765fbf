/*
 * fuzz_key.c - any bytes as a key file
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/key.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keyring *ring;
	struct err err;

	if (keyring_parse("f", (const char *) data, size, &ring, &err) != ST_OK)
	{
		if (err.status != ST_CONFIG)
			abort();
		return 0;
	}
	if (!keyring_sealed(ring) ||
		keyring_find(ring, keyring_first_id(ring)) == NULL)
		abort();
	keyring_free(ring);
	return 0;
}
