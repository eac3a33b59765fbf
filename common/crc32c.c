/*
 * crc32c.c - CRC-32C (Castagnoli)
 */
#include "common/crc32c.h"

#include <pthread.h>
#include <string.h>

/* The polynomial with its bits reflected, as the CRC itself is. */
#define POLYNOMIAL 0x82F63B78U

static pthread_once_t tables_once = PTHREAD_ONCE_INIT;
static uint32_t tables[8][256];

static void
tables_make(void)
{
	for (uint32_t i = 0; i < 256; i++)
	{
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
		tables[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
	{
		for (int t = 1; t < 8; t++)
		{
			uint32_t crc = tables[t - 1][i];

			tables[t][i] = (crc >> 8) ^ tables[0][crc & 0xFF];
		}
	}
}

uint32_t
crc32c_update_table(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	(void) pthread_once(&tables_once, tables_make);
	crc = ~crc;
	for (; len >= 8; p += 8, len -= 8)
	{
		crc ^= (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 |
			   (uint32_t) p[3] << 24;
		crc = tables[7][crc & 0xFF] ^ tables[6][(crc >> 8) & 0xFF] ^
			  tables[5][(crc >> 16) & 0xFF] ^ tables[4][crc >> 24] ^
			  tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^
			  tables[0][p[7]];
	}
	for (; len > 0; p++, len--)
		crc = (crc >> 8) ^ tables[0][(crc ^ *p) & 0xFF];
	return ~crc;
}

/* a * b modulo the polynomial; the highest bit is the constant term. */
static uint32_t
multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (uint32_t bit = (uint32_t) 1 << 31; bit != 0; bit >>= 1)
	{
		if ((a & bit) != 0)
			product ^= b;
		b = (b >> 1) ^ ((b & 1) != 0 ? POLYNOMIAL : 0);
	}
	return product;
}

/* The unfinished CRC after len zero bytes: crc * x^(8 len). */
static uint32_t
shift(uint32_t crc, uint64_t len)
{
	uint32_t power = (uint32_t) 1 << 23; /* x^8 */

	for (; len != 0; len >>= 1)
	{
		if ((len & 1) != 0)
			crc = multiply(power, crc);
		power = multiply(power, power);
	}
	return crc;
}

#ifdef __x86_64__

/*
 * The instruction takes three cycles, but one can begin in each: three lanes
 * side by side, which a table joins.  Two rounds of them and little more make
 * a page.
 */
#define LANE ((size_t) 1360)

static pthread_once_t lanes_once = PTHREAD_ONCE_INIT;
static uint32_t lane_shift[4][256]; /* what LANE zero bytes make of a CRC */

static void
lanes_make(void)
{
	for (unsigned byte = 0; byte < 4; byte++)
	{
		for (uint32_t i = 0; i < 256; i++)
			lane_shift[byte][i] = shift(i << 8 * byte, LANE);
	}
}

static uint32_t
shift_lane(uint32_t crc)
{
	return lane_shift[0][crc & 0xFF] ^ lane_shift[1][(crc >> 8) & 0xFF] ^
		   lane_shift[2][(crc >> 16) & 0xFF] ^ lane_shift[3][crc >> 24];
}

static uint64_t
word_at(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Three lanes of p, behind an unfinished crc. */
__attribute__((target("sse4.2"))) static uint32_t
update_lanes(uint32_t crc, const uint8_t *p)
{
	uint64_t a = crc;
	uint64_t b = 0;
	uint64_t c = 0;

	for (size_t i = 0; i < LANE; i += 8)
	{
		a = __builtin_ia32_crc32di(a, word_at(p + i));
		b = __builtin_ia32_crc32di(b, word_at(p + LANE + i));
		c = __builtin_ia32_crc32di(c, word_at(p + 2 * LANE + i));
	}
	return shift_lane(shift_lane((uint32_t) a) ^ (uint32_t) b) ^ (uint32_t) c;
}

__attribute__((target("sse4.2"))) static uint32_t
update_sse42(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t wide;

	crc = ~crc;
	if (len >= 3 * LANE)
		(void) pthread_once(&lanes_once, lanes_make);
	for (; len >= 3 * LANE; p += 3 * LANE, len -= 3 * LANE)
		crc = update_lanes(crc, p);
	wide = crc;
	for (; len >= 8; p += 8, len -= 8)
		wide = __builtin_ia32_crc32di(wide, word_at(p));
	crc = (uint32_t) wide;
	for (; len > 0; p++, len--)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return ~crc;
}

uint32_t
crc32c_update(uint32_t crc, const void *data, size_t len)
{
	if (__builtin_cpu_supports("sse4.2"))
		return update_sse42(crc, data, len);
	return crc32c_update_table(crc, data, len);
}

#else

uint32_t
crc32c_update(uint32_t crc, const void *data, size_t len)
{
	return crc32c_update_table(crc, data, len);
}

#endif

uint32_t
crc32c_power(uint64_t len)
{
	return shift((uint32_t) 1 << 31, len);
}

uint32_t
crc32c_combine_by(uint32_t crc_a, uint32_t crc_b, uint32_t power)
{
	return multiply(power, crc_a) ^ crc_b;
}

uint32_t
crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b)
{
	return shift(crc_a, len_b) ^ crc_b;
}

uint32_t
crc32c_zeros(uint32_t crc, uint64_t len)
{
	return ~shift(~crc, len);
}
