/*
 * fuzz_s3_cred.c - what services and files say of credentials, of any bytes
 *
 * What is accepted has a key id and a secret, of bytes that a header takes,
 * and does not end in the past.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/s3_cred_internal.h"

#define DIGEST "0"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const char *text)
{
	if (text[0] == '\0')
		abort();
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text > '~')
			abort();
}

static void
check(struct s3_cred *cred)
{
	const struct s3_credentials *keys = s3_cred_keys(cred);

	check_text(keys->access_key_id);
	check_text(keys->secret_access_key);
	if (keys->session_token != NULL)
		check_text(keys->session_token);
	s3_cred_release(cred);
}

static void
check_printable(const char *text, size_t size)
{
	if (strnlen(text, size) == size)
		abort();
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			abort();
}

static void
read_kept(const uint8_t *data, size_t size)
{
	static const char head[] = "walship s3 credentials 1\n" DIGEST "\n";
	size_t len = sizeof head - 1 + size;
	char *text = malloc(len + S3_SHA256_HEX_SIZE + 1);
	struct s3_cred *cred;

	if (text == NULL)
		abort();
	memcpy(text, head, sizeof head - 1);
	memcpy(text + sizeof head - 1, data, size);

	/* A sum that is right, so that what is behind it is reached. */
	if (!s3_sha256_hex(text, len, text + len))
		abort();
	text[len + S3_SHA256_HEX_SIZE - 1] = '\n';
	text[len + S3_SHA256_HEX_SIZE] = '\0';
	if (s3_cred_cache_parse(text, len + S3_SHA256_HEX_SIZE, DIGEST, &cred))
		check(cred);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	struct s3_cred_xml_error error;
	struct s3_cred *cred;
	struct err err;
	char message[64];

	if (s3_cred_from_json("x", text, size, true, &cred, &err) == ST_OK)
		check(cred);
	s3_cred_json_message(text, size, message, sizeof message);
	check_printable(message, sizeof message);
	if (s3_cred_from_xml(text, size, &cred, &err) == ST_OK)
		check(cred);
	if (s3_cred_xml_error(text, size, &error))
	{
		check_printable(error.code, sizeof error.code);
		check_printable(error.message, sizeof error.message);
		check_printable(error.request_id, sizeof error.request_id);
	}
	read_kept(data, size);
	return 0;
}
