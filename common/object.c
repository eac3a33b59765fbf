/*
 * object.c - headers of stored objects, and the keys derived from them
 */
#include "common/object.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "common/object_internal.h"

static const char key_context[] = "walship object key v1";

static_assert(KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
			  "an object's key is the cipher's key");
static_assert(OBJECT_HEADER_MAX == HEADER_LEN(OBJECT_NAME_MAX),
			  "the longest header has the longest name");

static const char *
kind_text(unsigned kind)
{
	static const char *const texts[] = {
		[OBJECT_WAL] = "a WAL file",
		[OBJECT_START] = "the start of a backup",
		[OBJECT_PACK] = "a pack",
		[OBJECT_DIGEST] = "page digests",
		[OBJECT_MANIFEST] = "a manifest",
		[OBJECT_MARK] = "a mark",
		[OBJECT_REPORT] = "a report",
	};

	if (kind < OBJECT_WAL || kind >= sizeof texts / sizeof texts[0])
		return NULL;
	return texts[kind];
}

/* A stored name becomes a C string and part of messages: no other bytes. */
static bool
name_valid(const char *name, size_t len)
{
	if (len == 0 || len > OBJECT_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char c = name[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			  (c >= 'a' && c <= 'z') || c == '.' || c == '_' || c == '-' ||
			  c == '/'))
			return false;
	}
	return true;
}

enum status
object_corrupt(struct err *err, uint64_t system_identifier, const char *name,
			   const char *fmt, ...)
{
	char reason[ERR_MESSAGE_MAX / 2];
	va_list args;

	va_start(args, fmt);
	(void) vsnprintf(reason, sizeof reason, fmt, args);
	va_end(args);
	if (name == NULL)
		return err_set(err, ST_CORRUPT,
					   "object of cluster %" PRIu64 " is corrupt: %s",
					   system_identifier, reason);
	return err_set(err, ST_CORRUPT, "object \"%" PRIu64 "/%s\" is corrupt: %s",
				   system_identifier, name, reason);
}

/* The whole header goes in, so that a key never serves two objects. */
static void
derive_key(struct object *obj, const uint8_t *repository_key)
{
	crypto_generichash_state state;

	(void) crypto_generichash_init(&state, repository_key, KEY_BYTES,
								   sizeof obj->key);
	(void) crypto_generichash_update(&state, (const uint8_t *) key_context,
									 sizeof key_context - 1);
	(void) crypto_generichash_update(&state, obj->header, obj->header_len);
	(void) crypto_generichash_final(&state, obj->key, sizeof obj->key);
	sodium_memzero(&state, sizeof state);
}

static void
header_checksum(const uint8_t *header, size_t header_len, uint8_t *out)
{
	(void) crypto_generichash(out, HEADER_CHECKSUM_BYTES, header,
							  header_len - HEADER_CHECKSUM_BYTES, NULL, 0);
}

static void
build_header(struct object *obj, size_t name_len)
{
	uint8_t *h = obj->header;

	obj->header_len = HEADER_LEN(name_len);
	put_le32(h, MAGIC_HEADER);
	put_le32(h + HEADER_LENGTH,
			 (uint32_t) (obj->header_len - OBJECT_HEADER_PREFIX));
	memcpy(h + HEADER_IDENT, HEADER_IDENT_TEXT, sizeof HEADER_IDENT_TEXT - 1);
	h[HEADER_VERSION] = OBJECT_VERSION;
	h[HEADER_KIND] = (uint8_t) obj->kind;
	h[HEADER_SEALED] = obj->sealed;
	put_le32(h + HEADER_FRAME_SIZE, obj->frame_size);
	put_le64(h + HEADER_SYSTEM, obj->system_identifier);
	put_le64(h + HEADER_PLAIN_LEN, obj->plain_len);
	memcpy(h + HEADER_KEY_ID, obj->key_id, KEY_ID_BYTES);
	randombytes_buf(h + HEADER_SALT, OBJECT_SALT_BYTES);
	put_le16(h + HEADER_NAME_LEN, (uint16_t) name_len);
	memcpy(h + HEADER_NAME, obj->name, name_len);
	header_checksum(h, obj->header_len, h + HEADER_NAME + name_len);
}

enum status
object_begin(struct object *obj, const struct object_id *id,
			 uint64_t plain_len, uint32_t frame_size,
			 const struct keyring *ring, struct err *err)
{
	size_t name_len = strnlen(id->name, OBJECT_NAME_MAX + 1);
	const uint8_t *repository_key = NULL;

	assert(kind_text(id->kind) != NULL);
	assert(frame_size >= 1 && frame_size <= OBJECT_FRAME_MAX);

	if (!name_valid(id->name, name_len))
		return err_set(err, ST_CONFIG,
					   "cannot store an object of the name \"%.*s\"",
					   OBJECT_NAME_MAX, id->name);
	if (plain_len / frame_size >= UINT32_MAX)
		return err_set(err, ST_CONFIG,
					   "cannot store \"%s\": %" PRIu64 " bytes are too many",
					   id->name, plain_len);
	if (sodium_init() < 0)
		return err_set(err, ST_IO, "could not initialize libsodium");

	memset(obj, 0, sizeof *obj);
	obj->kind = id->kind;
	obj->sealed = keyring_sealed(ring);
	obj->frame_size = frame_size;
	obj->system_identifier = id->system_identifier;
	obj->plain_len = plain_len;
	memcpy(obj->name, id->name, name_len);
	if (obj->sealed)
	{
		memcpy(obj->key_id, keyring_first_id(ring), KEY_ID_BYTES);
		repository_key = keyring_find(ring, obj->key_id);
		assert(repository_key != NULL);
	}
	build_header(obj, name_len);
	if (repository_key != NULL)
		derive_key(obj, repository_key);
	return ST_OK;
}

enum status
object_header_length(const struct object_id *id, const void *data, size_t len,
					 size_t *header_len, struct err *err)
{
	const uint8_t *h = data;
	uint32_t follows;

	if (len < OBJECT_HEADER_PREFIX)
	{
		*header_len = 0;
		return ST_OK;
	}
	follows = get_le32(h + HEADER_LENGTH);
	if (get_le32(h) != MAGIC_HEADER ||
		follows < HEADER_LEN(1) - OBJECT_HEADER_PREFIX ||
		follows > OBJECT_HEADER_MAX - OBJECT_HEADER_PREFIX)
		return object_corrupt(err, id->system_identifier, id->name,
							  "it does not begin with a header of walship");
	*header_len = OBJECT_HEADER_PREFIX + follows;
	return ST_OK;
}

/* Grammar and checksum of a whole header, before anything in it is used. */
static enum status
check_header(const struct object_id *id, const uint8_t *h, size_t header_len,
			 struct err *err)
{
	uint8_t checksum[HEADER_CHECKSUM_BYTES];
	size_t name_len = get_le16(h + HEADER_NAME_LEN);
	uint32_t frame_size = get_le32(h + HEADER_FRAME_SIZE);

	if (memcmp(h + HEADER_IDENT, HEADER_IDENT_TEXT,
			   sizeof HEADER_IDENT_TEXT - 1) != 0)
		return object_corrupt(err, id->system_identifier, id->name,
							  "it does not begin with a header of walship");
	if (h[HEADER_VERSION] != OBJECT_VERSION)
		return object_corrupt(err, id->system_identifier, id->name,
							  "its format version is %u, this program reads "
							  "version %d",
							  h[HEADER_VERSION], OBJECT_VERSION);
	header_checksum(h, header_len, checksum);
	if (memcmp(checksum, h + header_len - sizeof checksum, sizeof checksum) !=
		0)
		return object_corrupt(err, id->system_identifier, id->name,
							  "the header's checksum does not match");
	if (header_len != HEADER_LEN(name_len) ||
		kind_text(h[HEADER_KIND]) == NULL || h[HEADER_SEALED] > 1 ||
		get_le16(h + HEADER_ZERO) != 0 || frame_size < 1 ||
		frame_size > OBJECT_FRAME_MAX ||
		!name_valid((const char *) h + HEADER_NAME, name_len))
		return object_corrupt(err, id->system_identifier, id->name,
							  "the header is malformed");
	return ST_OK;
}

/* An object that was renamed or moved says here what it is. */
static enum status
check_identity(const struct object_id *id, const struct object *obj,
			   struct err *err)
{
	if (obj->system_identifier != id->system_identifier ||
		(id->name != NULL && strcmp(obj->name, id->name) != 0))
		return object_corrupt(err, id->system_identifier, id->name,
							  "it was stored as \"%" PRIu64 "/%s\"",
							  obj->system_identifier, obj->name);
	if (obj->kind != id->kind)
		return object_corrupt(err, id->system_identifier, id->name,
							  "it is %s, not %s", kind_text(obj->kind),
							  kind_text(id->kind));
	return ST_OK;
}

/* Settles sealed or not, and which key; the header names one key only. */
static enum status
find_key(struct object *obj, const struct keyring *ring, struct err *err)
{
	const uint8_t *repository_key;

	if (!obj->sealed)
	{
		if (keyring_sealed(ring))
		{
			(void) object_corrupt(err, obj->system_identifier, obj->name,
								  "it is not encrypted, but a key is "
								  "configured");
			return err_detail(err, "With a key, only encrypted objects are "
								   "accepted.");
		}
		if (!sodium_is_zero(obj->key_id, KEY_ID_BYTES))
			return object_corrupt(err, obj->system_identifier, obj->name,
								  "the header is malformed");
		return ST_OK;
	}
	if (!keyring_sealed(ring))
	{
		(void) err_set(err, ST_AUTH,
					   "object \"%" PRIu64 "/%s\" is encrypted, but no key is "
					   "configured",
					   obj->system_identifier, obj->name);
		return err_hint(err, "Set key_file or key_command.");
	}
	repository_key = keyring_find(ring, obj->key_id);
	if (repository_key == NULL)
	{
		char id_hex[2 * KEY_ID_BYTES + 1];

		(void) err_set(
			err, ST_AUTH,
			"object \"%" PRIu64 "/%s\" is encrypted with key %s, "
			"which is not configured",
			obj->system_identifier, obj->name,
			sodium_bin2hex(id_hex, sizeof id_hex, obj->key_id, KEY_ID_BYTES));
		return err_hint(err, "Append that key to the key file, from a copy of "
							 "it; nothing else can open the object.");
	}
	derive_key(obj, repository_key);
	return ST_OK;
}

enum status
object_parse(struct object *obj, const struct object_id *id, const void *data,
			 size_t len, const struct keyring *ring, struct err *err)
{
	const uint8_t *h = data;
	struct object parsed;
	size_t header_len = 0;
	enum status status;

	if (sodium_init() < 0)
		return err_set(err, ST_IO, "could not initialize libsodium");
	status = object_header_length(id, data, len, &header_len, err);
	if (status != ST_OK)
		return status;
	if (header_len == 0 || len < header_len)
		return object_corrupt(err, id->system_identifier, id->name,
							  "it ends within its header");
	status = check_header(id, h, header_len, err);
	if (status != ST_OK)
		return status;

	memset(&parsed, 0, sizeof parsed);
	parsed.kind = (enum object_kind) h[HEADER_KIND];
	parsed.sealed = h[HEADER_SEALED] == 1;
	parsed.frame_size = get_le32(h + HEADER_FRAME_SIZE);
	parsed.system_identifier = get_le64(h + HEADER_SYSTEM);
	parsed.plain_len = get_le64(h + HEADER_PLAIN_LEN);
	memcpy(parsed.key_id, h + HEADER_KEY_ID, KEY_ID_BYTES);
	memcpy(parsed.name, h + HEADER_NAME, get_le16(h + HEADER_NAME_LEN));
	memcpy(parsed.header, h, header_len);
	parsed.header_len = header_len;

	status = check_identity(id, &parsed, err);
	if (status == ST_OK)
		status = find_key(&parsed, ring, err);
	if (status == ST_OK)
		*obj = parsed;
	object_wipe(&parsed);
	return status;
}

void
object_wipe(struct object *obj)
{
	sodium_memzero(obj, sizeof *obj);
}
