/*
 * aead.h - XChaCha20-Poly1305, the cipher of all that is stored
 *
 * draft-irtf-cfrg-xchacha-03: HChaCha20 makes a key of the first 16 bytes of
 * the nonce, and RFC 8439's ChaCha20-Poly1305 does the rest.  That rest is
 * libsodium's, or libcrypto's where a program has that loaded anyway: half the
 * time, the same bytes.
 */
#ifndef COMMON_AEAD_H
#define COMMON_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY_BYTES   32
#define AEAD_NONCE_BYTES 24
#define AEAD_TAG_BYTES   16

/* One message: in and out are the same or do not overlap. */
struct aead
{
	const uint8_t *key;
	const uint8_t *nonce;
	const void *ad; /* authenticated beside it */
	size_t ad_len;
	const uint8_t *in;
	uint8_t *out;
	size_t len;
};

/* Encrypts; false if out of memory, and then out is garbage. */
extern bool aead_seal(const struct aead *a, uint8_t *tag);

/* Decrypts; false if it is not what was sealed, and then out is garbage. */
extern bool aead_open(const struct aead *a, const uint8_t *tag);

/*
 * RFC 8439's part by another library, with a nonce of AEAD_INNER_NONCE_BYTES.
 * open's false may also mean that it could not try.
 */
#define AEAD_INNER_NONCE_BYTES 12
struct aead_engine
{
	bool (*seal)(const struct aead *a, uint8_t *tag);
	bool (*open)(const struct aead *a, const uint8_t *tag);
};

/*
 * From now on, in all threads, if it seals a message as libsodium does: a
 * library that keeps to FIPS 140 has no such cipher.  NULL: libsodium again.
 * Returns whether it is used.
 */
extern bool aead_use(const struct aead_engine *engine);

/* libcrypto's, of programs and modules that are linked to it. */
#define AEAD_LIBCRYPTO_SYMBOL "walship_aead_libcrypto"
__attribute__((visibility(
	"default"))) extern const struct aead_engine walship_aead_libcrypto;

#endif
