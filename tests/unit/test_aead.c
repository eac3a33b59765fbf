/* Both libraries' ways to the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/aead.h"

#define LONGEST ((size_t) 70000)

static const struct aead_engine *const engines[] = {NULL,
													&walship_aead_libcrypto};
#define ENGINES (sizeof engines / sizeof engines[0])

static uint8_t key[AEAD_KEY_BYTES];
static uint8_t nonce[AEAD_NONCE_BYTES];

static void
fill(uint8_t *data, size_t len, uint8_t first)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t) (first + i);
}

static struct aead
message(const uint8_t *in, uint8_t *out, size_t len)
{
	return (struct aead){.key = key,
						 .nonce = nonce,
						 .ad = "header",
						 .ad_len = 6,
						 .in = in,
						 .out = out,
						 .len = len};
}

/* draft-irtf-cfrg-xchacha-03, appendix A.3.1. */
static void
test_known_answer(void **state)
{
	static const char text[] =
		"Ladies and Gentlemen of the class of '99: If I could offer you only "
		"one tip for the future, sunscreen would be it.";
	static const uint8_t ad[] = {0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
								 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7};
	static const uint8_t begins[] = {0xbd, 0x6d, 0x17, 0x9d,
									 0x3e, 0x83, 0xd4, 0x3b};
	static const uint8_t tag_wanted[] = {0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7,
										 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8,
										 0x78, 0x0a, 0xcf, 0x49};
	uint8_t out[sizeof text];
	uint8_t tag[AEAD_TAG_BYTES];
	struct aead a;

	(void) state;
	fill(key, sizeof key, 0x80);
	fill(nonce, sizeof nonce, 0x40);
	a = message((const uint8_t *) text, out, sizeof text - 1);
	a.ad = ad;
	a.ad_len = sizeof ad;
	for (size_t i = 0; i < ENGINES; i++)
	{
		assert_true(aead_use(engines[i]));
		memset(out, 0, sizeof out);
		assert_true(aead_seal(&a, tag));
		assert_memory_equal(out, begins, sizeof begins);
		assert_memory_equal(tag, tag_wanted, sizeof tag);
	}
}

/* What one seals in its place, the other opens, however long it is. */
static void
test_both_ways(void **state)
{
	static const size_t lens[] = {0,   1,   15,  16,   17,   63,
								  64,  65,  255, 256,  257,  1023,
								  512, 513, 640, 4096, 4097, LONGEST};
	static uint8_t plain[LONGEST];
	static uint8_t sealed[LONGEST];
	static uint8_t opened[LONGEST];
	uint8_t tag[AEAD_TAG_BYTES];

	(void) state;
	fill(plain, LONGEST, 7);
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
		for (size_t by = 0; by < ENGINES; by++)
		{
			struct aead seal = message(sealed, sealed, lens[i]);
			struct aead open = message(sealed, opened, lens[i]);

			memcpy(sealed, plain, lens[i]);
			assert_true(aead_use(engines[by]));
			assert_true(aead_seal(&seal, tag));
			assert_true(aead_use(engines[1 - by]));
			memset(opened, 0, LONGEST);
			assert_true(aead_open(&open, tag));
			assert_memory_equal(opened, plain, lens[i]);
		}
}

static void
test_damage(void **state)
{
	uint8_t sealed[300];
	uint8_t opened[300];
	uint8_t tag[AEAD_TAG_BYTES];
	struct aead seal = message(sealed, sealed, sizeof sealed);
	struct aead open = message(sealed, opened, sizeof sealed);

	(void) state;
	fill(sealed, sizeof sealed, 1);
	assert_true(aead_seal(&seal, tag));
	for (size_t i = 0; i < ENGINES; i++)
	{
		assert_true(aead_use(engines[i]));
		assert_true(aead_open(&open, tag));
		sealed[299] ^= 1;
		assert_false(aead_open(&open, tag));
		sealed[299] ^= 1;
		tag[15] ^= 0x80;
		assert_false(aead_open(&open, tag));
		tag[15] ^= 0x80;
		open.ad_len--;
		assert_false(aead_open(&open, tag));
		open.ad_len++;
		nonce[0] ^= 1;
		assert_false(aead_open(&open, tag));
		nonce[0] ^= 1;
		nonce[AEAD_NONCE_BYTES - 1] ^= 1;
		assert_false(aead_open(&open, tag));
		nonce[AEAD_NONCE_BYTES - 1] ^= 1;
		key[31] ^= 1;
		assert_false(aead_open(&open, tag));
		key[31] ^= 1;
	}
}

static bool
copy(const struct aead *a, uint8_t *tag)
{
	memcpy(a->out, a->in, a->len);
	memset(tag, 0, AEAD_TAG_BYTES);
	return true;
}

static bool
refuse(const struct aead *a, uint8_t *tag)
{
	(void) a;
	memset(tag, 0, AEAD_TAG_BYTES);
	return false;
}

static bool
refuse_open(const struct aead *a, const uint8_t *tag)
{
	(void) a;
	(void) tag;
	return false;
}

/* One that does not encrypt is not taken; one that cannot open is no lie. */
static void
test_bad_engines(void **state)
{
	static const struct aead_engine liar = {copy, refuse_open};
	static const struct aead_engine none = {refuse, refuse_open};
	struct aead_engine half = walship_aead_libcrypto;
	uint8_t sealed[300];
	uint8_t opened[300];
	uint8_t tag[AEAD_TAG_BYTES];
	struct aead seal = message(sealed, sealed, sizeof sealed);
	struct aead open = message(sealed, opened, sizeof sealed);

	(void) state;
	assert_true(aead_use(NULL));
	assert_false(aead_use(&liar));
	assert_false(aead_use(&none));
	fill(sealed, sizeof sealed, 1);
	assert_true(aead_seal(&seal, tag));
	half.open = refuse_open;
	assert_true(aead_use(&half));
	assert_true(aead_open(&open, tag));
	assert_int_equal(opened[299], (uint8_t) 300);
	assert_true(aead_use(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answer), cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_damage), cmocka_unit_test(test_bad_engines)};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
