/*
 * s3_sign.c - AWS Signature Version 4 for S3
 */
#include "common/s3_sign.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/crc32c.h"

#define ALGORITHM   "AWS4-HMAC-SHA256"
#define TERMINATOR  "aws4_request"
#define SHA256_SIZE 32
#define DAY_LEN     8 /* the date in "20130524T000000Z" */

static void
to_hex(const uint8_t *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++)
	{
		*out++ = digits[data[i] >> 4];
		*out++ = digits[data[i] & 15];
	}
	*out = '\0';
}

bool
s3_sha256_hex(const void *data, size_t len, char out[S3_SHA256_HEX_SIZE])
{
	uint8_t hash[SHA256_SIZE];

	if (EVP_Digest(data, len, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	to_hex(hash, sizeof hash, out);
	return true;
}

bool
s3_md5_base64(const void *data, size_t len, char out[S3_MD5_BASE64_SIZE])
{
	uint8_t hash[16];

	if (EVP_Digest(data, len, hash, NULL, EVP_md5(), NULL) != 1)
		return false;
	return EVP_EncodeBlock((unsigned char *) out, hash, sizeof hash) ==
		   S3_MD5_BASE64_SIZE - 1;
}

void
s3_crc32c_base64(const void *data, size_t len, char out[S3_CRC32C_BASE64_SIZE])
{
	uint32_t crc = crc32c_update(0, data, len);
	const uint8_t bytes[] = {(uint8_t) (crc >> 24), (uint8_t) (crc >> 16),
							 (uint8_t) (crc >> 8), (uint8_t) crc};

	(void) EVP_EncodeBlock((unsigned char *) out, bytes, sizeof bytes);
}

/* out = HMAC(key, text); out may be the key. */
static bool
hmac(const void *key, size_t key_len, const char *text, size_t text_len,
	 uint8_t out[SHA256_SIZE])
{
	uint8_t mac[SHA256_SIZE];
	bool ok = HMAC(EVP_sha256(), key, (int) key_len, (const uint8_t *) text,
				   text_len, mac, NULL) != NULL;

	if (ok)
		memcpy(out, mac, sizeof mac);
	OPENSSL_cleanse(mac, sizeof mac);
	return ok;
}

/* The signing key: the secret, narrowed to a day, a region and a service. */
static bool
derive_key(const char *secret, const char *amz_date, const char *region,
		   const char *service, uint8_t key[SHA256_SIZE])
{
	char first[256];
	int len = snprintf(first, sizeof first, "AWS4%s", secret);
	bool ok = len > 0 && (size_t) len < sizeof first;

	ok = ok && hmac(first, (size_t) len, amz_date, DAY_LEN, key) &&
		 hmac(key, SHA256_SIZE, region, strlen(region), key) &&
		 hmac(key, SHA256_SIZE, service, strlen(service), key) &&
		 hmac(key, SHA256_SIZE, TERMINATOR, strlen(TERMINATOR), key);
	OPENSSL_cleanse(first, sizeof first);
	return ok;
}

static bool
add(EVP_MD_CTX *ctx, const char *text)
{
	return EVP_DigestUpdate(ctx, text, strlen(text)) == 1;
}

/* Orders the headers by name, as the canonical request wants them. */
static void
sort_headers(const struct s3_sign_input *input,
			 const struct s3_header *sorted[S3_SIGN_HEADERS_MAX])
{
	for (size_t i = 0; i < input->nheaders; i++)
	{
		const struct s3_header *header = &input->headers[i];
		size_t at = i;

		for (; at > 0 && strcmp(sorted[at - 1]->name, header->name) > 0; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = header;
	}
}

/* "host;range;x-amz-date".  False if it does not fit. */
static bool
name_headers(const struct s3_header *const *sorted, size_t nheaders, char *out,
			 size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < nheaders; i++)
	{
		int len = snprintf(out + used, size - used, "%s%s", i > 0 ? ";" : "",
						   sorted[i]->name);

		if (len < 0 || (size_t) len >= size - used)
			return false;
		used += (size_t) len;
	}
	return true;
}

static bool
hash_canonical_request(const struct s3_sign_input *input,
					   const struct s3_header *const *sorted,
					   const char *names, char out[S3_SHA256_HEX_SIZE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[SHA256_SIZE];
	bool ok;

	ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
		 add(ctx, input->method) && add(ctx, "\n") && add(ctx, input->path) &&
		 add(ctx, "\n") && add(ctx, input->query) && add(ctx, "\n");
	for (size_t i = 0; ok && i < input->nheaders; i++)
		ok = add(ctx, sorted[i]->name) && add(ctx, ":") &&
			 add(ctx, sorted[i]->value) && add(ctx, "\n");
	ok = ok && add(ctx, "\n") && add(ctx, names) && add(ctx, "\n") &&
		 add(ctx, input->payload_hash) &&
		 EVP_DigestFinal_ex(ctx, hash, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (ok)
		to_hex(hash, sizeof hash, out);
	return ok;
}

bool
s3_sign(const struct s3_sign_input *input,
		const struct s3_credentials *credentials, char *out, size_t size)
{
	const struct s3_header *sorted[S3_SIGN_HEADERS_MAX];
	char names[640];
	char scope[128];
	char hash[S3_SHA256_HEX_SIZE];
	char text[512];
	char signature[S3_SHA256_HEX_SIZE] = "";
	const char *service = input->service != NULL ? input->service : "s3";
	uint8_t key[SHA256_SIZE];
	int len;
	bool ok;

	out[0] = '\0';
	if (input->nheaders > S3_SIGN_HEADERS_MAX ||
		strlen(input->amz_date) != S3_AMZ_DATE_SIZE - 1)
		return false;
	sort_headers(input, sorted);
	len = snprintf(scope, sizeof scope, "%.8s/%s/%s/%s", input->amz_date,
				   input->region, service, TERMINATOR);
	if (len < 0 || (size_t) len >= sizeof scope ||
		!name_headers(sorted, input->nheaders, names, sizeof names) ||
		!hash_canonical_request(input, sorted, names, hash))
		return false;

	len = snprintf(text, sizeof text, "%s\n%s\n%s\n%s", ALGORITHM,
				   input->amz_date, scope, hash);
	ok = derive_key(credentials->secret_access_key, input->amz_date,
					input->region, service, key) &&
		 hmac(key, sizeof key, text, (size_t) len, key);
	if (ok)
		to_hex(key, sizeof key, signature);
	OPENSSL_cleanse(key, sizeof key);
	if (!ok)
		return false;

	len = snprintf(
		out, size, "%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		ALGORITHM, credentials->access_key_id, scope, names, signature);
	if (len > 0 && (size_t) len < size)
		return true;
	out[0] = '\0';
	return false;
}
