/*
 * fuzz_wal_times.c - however WAL comes in pieces, the same times come out
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "basebackup/wal_times.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wal_times whole, parts;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step = size == 0 ? 1 : 1 + data[0] % 100U;
	struct err err;

	wal_times_begin(&whole);
	wal_times_begin(&parts);
	if (wal_times_feed(&whole, data, size, &err) != ST_OK)
		abort();
	for (size_t at = 0; at < size; at += step)
	{
		size_t n = size - at < step ? size - at : step;

		if (wal_times_feed(&parts, data + at, n, &err) != ST_OK)
			abort();
	}
	if (whole.any != parts.any || whole.ended != parts.ended ||
		(whole.any && whole.latest_us != parts.latest_us) ||
		wal_times_open(&whole) != wal_times_open(&parts))
		abort();
	return 0;
}
