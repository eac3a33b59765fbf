/*
 * aead.c - XChaCha20-Poly1305 by libsodium, or in part by another library
 */
#include "common/aead.h"

#include <assert.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

/* HChaCha20 takes this much of the nonce. */
#define OUTER_NONCE_BYTES crypto_core_hchacha20_INPUTBYTES

static_assert(AEAD_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES &&
				  AEAD_NONCE_BYTES ==
					  crypto_aead_xchacha20poly1305_ietf_NPUBBYTES &&
				  AEAD_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES,
			  "the sizes are the cipher's");

static _Atomic(const struct aead_engine *) current;

/* What the engine is given: a key of its own, the rest of the nonce. */
struct inner
{
	struct aead aead;
	uint8_t key[AEAD_KEY_BYTES];
	uint8_t nonce[AEAD_INNER_NONCE_BYTES];
};

static void
make_inner(struct inner *inner, const struct aead *a)
{
	size_t rest = AEAD_NONCE_BYTES - OUTER_NONCE_BYTES;

	(void) crypto_core_hchacha20(inner->key, a->nonce, a->key, NULL);
	memset(inner->nonce, 0, sizeof inner->nonce);
	memcpy(inner->nonce + sizeof inner->nonce - rest,
		   a->nonce + OUTER_NONCE_BYTES, rest);
	inner->aead = *a;
	inner->aead.key = inner->key;
	inner->aead.nonce = inner->nonce;
}

static bool
seal_by(const struct aead_engine *engine, const struct aead *a, uint8_t *tag)
{
	struct inner inner;
	bool done;

	if (engine == NULL)
		return crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
				   a->out, tag, NULL, a->in, a->len, a->ad, a->ad_len, NULL,
				   a->nonce, a->key) == 0;
	make_inner(&inner, a);
	done = engine->seal(&inner.aead, tag);
	sodium_memzero(&inner, sizeof inner);
	return done;
}

/* The shortest message that the fast paths of all of them take in pieces. */
#define PROBE_BYTES 1000

bool
aead_use(const struct aead_engine *engine)
{
	static const uint8_t key[AEAD_KEY_BYTES] = {1};
	static const uint8_t nonce[AEAD_NONCE_BYTES] = {2};
	static const uint8_t text[PROBE_BYTES] = {3};
	uint8_t ours[PROBE_BYTES + AEAD_TAG_BYTES];
	uint8_t theirs[PROBE_BYTES + AEAD_TAG_BYTES];
	struct aead a = {.key = key,
					 .nonce = nonce,
					 .ad = nonce,
					 .ad_len = sizeof nonce,
					 .in = text,
					 .out = ours,
					 .len = sizeof text};

	if (!seal_by(NULL, &a, ours + a.len))
		return false;
	a.out = theirs;
	if (!seal_by(engine, &a, theirs + a.len) ||
		memcmp(ours, theirs, sizeof ours) != 0)
		return false;
	atomic_store(&current, engine);
	return true;
}

bool
aead_seal(const struct aead *a, uint8_t *tag)
{
	return seal_by(atomic_load(&current), a, tag);
}

bool
aead_open(const struct aead *a, const uint8_t *tag)
{
	const struct aead_engine *engine = atomic_load(&current);
	struct inner inner;
	bool done = false;

	/* Not over its own input: after a failure that is tried once more. */
	if (engine != NULL && a->in != a->out)
	{
		make_inner(&inner, a);
		done = engine->open(&inner.aead, tag);
		sodium_memzero(&inner, sizeof inner);
	}
	return done || crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
					   a->out, NULL, a->in, a->len, tag, a->ad, a->ad_len,
					   a->nonce, a->key) == 0;
}
