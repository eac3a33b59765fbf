/*
 * checksums.c - what each checksum that an upload could carry costs, and the
 * cipher of all that is stored, by either library
 *
 * Prints milliseconds of processor time for 16 MB, the median of some rounds.
 * The functions are our own.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sodium.h>

#include "common/aead.h"
#include "common/s3_sign.h"

#define SIZE   ((size_t) 16 * 1024 * 1024)
#define ROUNDS 15

static char text[128]; /* room for any of them */

static bool
run_md5(const void *data)
{
	return s3_md5_base64(data, SIZE, text);
}

static bool
run_sha256(const void *data)
{
	return s3_sha256_hex(data, SIZE, text);
}

static bool
run_crc32c(const void *data)
{
	s3_crc32c_base64(data, SIZE, text);
	return true;
}

/* In pieces, as WAL that LZ4 has made shorter. */
#define PIECE (SIZE / 64)

static bool
run_cipher(const void *data)
{
	static const uint8_t key[AEAD_KEY_BYTES];
	static const uint8_t nonce[AEAD_NONCE_BYTES];
	static uint8_t out[PIECE];
	uint8_t tag[AEAD_TAG_BYTES];
	struct aead a = {
		.key = key, .nonce = nonce, .ad = "", .out = out, .len = PIECE};
	bool ok = true;

	for (size_t at = 0; ok && at < SIZE; at += PIECE)
	{
		a.in = (const uint8_t *) data + at;
		ok = aead_seal(&a, tag);
	}
	return ok;
}

static double
cpu_ms(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

static int
by_value(const void *a, const void *b)
{
	double one = *(const double *) a;
	double two = *(const double *) b;

	return (one > two) - (one < two);
}

static bool
measure(const char *name, bool (*sum)(const void *), const void *data)
{
	double ms[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++)
	{
		double before = cpu_ms();

		if (!sum(data))
			return false;
		ms[i] = cpu_ms() - before;
	}
	qsort(ms, ROUNDS, sizeof ms[0], by_value);
	(void) printf("%-22s %6.2f ms\n", name, ms[ROUNDS / 2]);
	return true;
}

int
main(void)
{
	uint8_t *data = malloc(SIZE);
	bool ok = data != NULL && sodium_init() >= 0;

	for (size_t i = 0; ok && i < SIZE; i++)
		data[i] = (uint8_t) (i * 2654435761U >> 13);
	ok = ok && measure("md5", run_md5, data) &&
		 measure("sha256", run_sha256, data) &&
		 measure("crc32c", run_crc32c, data) &&
		 measure("cipher of libsodium", run_cipher, data) &&
		 aead_use(&walship_aead_libcrypto) &&
		 measure("cipher with libcrypto", run_cipher, data);
	free(data);
	return ok ? 0 : 1;
}
