/*
 * aead_libcrypto.c - ChaCha20-Poly1305 (RFC 8439) by libcrypto
 */
#include "common/aead.h"

#include <limits.h>
#include <openssl/evp.h>

/* Both directions up to the last byte; the tag is set, or asked for, after. */
static bool
run(EVP_CIPHER_CTX *ctx, const struct aead *a, bool sealing)
{
	int n;

	/* A library that keeps to FIPS 140 has no such cipher. */
	return ctx != NULL && a->len <= INT_MAX && a->ad_len <= INT_MAX &&
		   EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, a->key,
							 a->nonce, sealing) == 1 &&
		   EVP_CipherUpdate(ctx, NULL, &n, a->ad, (int) a->ad_len) == 1 &&
		   EVP_CipherUpdate(ctx, a->out, &n, a->in, (int) a->len) == 1;
}

static bool
encrypt(const struct aead *a, uint8_t *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t none[1];
	int n;
	bool done = run(ctx, a, true) && EVP_CipherFinal_ex(ctx, none, &n) == 1 &&
				EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES,
									tag) == 1;

	EVP_CIPHER_CTX_free(ctx);
	return done;
}

static bool
decrypt(const struct aead *a, const uint8_t *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t expected[AEAD_TAG_BYTES];
	uint8_t none[1];
	int n;
	bool done = run(ctx, a, false);

	for (size_t i = 0; i < sizeof expected; i++)
		expected[i] = tag[i];
	done = done &&
		   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof expected,
							   expected) == 1 &&
		   EVP_CipherFinal_ex(ctx, none, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return done;
}

const struct aead_engine walship_aead_libcrypto = {.seal = encrypt,
												   .open = decrypt};
