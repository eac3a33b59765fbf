/*
 * checksums.c - what each checksum that an upload could carry costs
 *
 * Prints milliseconds of processor time for 16 MB, the median of some rounds.
 * The functions are the s3 module's own.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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
	(void) printf("%-8s %6.2f ms\n", name, ms[ROUNDS / 2]);
	return true;
}

int
main(void)
{
	uint8_t *data = malloc(SIZE);
	bool ok = data != NULL;

	for (size_t i = 0; ok && i < SIZE; i++)
		data[i] = (uint8_t) (i * 2654435761U >> 13);
	ok = ok && measure("md5", run_md5, data) &&
		 measure("sha256", run_sha256, data) &&
		 measure("crc32c", run_crc32c, data);
	free(data);
	return ok ? 0 : 1;
}
