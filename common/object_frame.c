/*
 * object_frame.c - sealing and opening single frames of an object
 *
 * A frame is compressed straight into its place and sealed there; opening
 * needs one scratch buffer, since the stored bytes belong to the caller.
 */
#include "common/object.h"

#include <assert.h>
#include <inttypes.h>
#include <lz4frame.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/aead.h"
#include "common/bytes.h"
#include "common/object_internal.h"

/* Around a frame's plaintext: our prefix, LZ4's frame, block, checksums. */
#define FRAME_OVERHEAD 96

/*
 * LZ4's frame descriptor, fixed by FORMAT.md to the last bit: version 01,
 * independent blocks, no dictionary.
 */
#define LZ4_MAGIC            0x184D2204u
#define LZ4_FLG              4
#define LZ4_BD               5
#define LZ4_CONTENT_SIZE     6
#define LZ4_DESCRIPTOR       15
#define LZ4_DESCRIPTOR_EMPTY 7
#define LZ4_WORD             4 /* a block's length, a checksum, the end mark */
#define LZ4_BLOCK_LENGTH     0x7fffffffu
#define FLG_BASE             0x60
#define FLG_CONTENT_SIZE     0x08
#define FLG_CHECKSUMS        0x14 /* of each block, of the content */
#define BD_SHIFT             4

static_assert(SEALED_TAG_BYTES == AEAD_TAG_BYTES, "the tag is the cipher's");
static_assert(OBJECT_FRAME_PREFIX == PLAIN_LZ4,
			  "the prefix tells a frame's length and whose it is");
static_assert(SEALED_LZ4 + LZ4_FRAME_MIN + SEALED_TAG_BYTES >=
				  OBJECT_FRAME_PREFIX,
			  "no frame is shorter than the prefix");

struct object_codec
{
	LZ4F_cctx *compressor;
	LZ4F_dctx *decompressor;
	uint8_t *scratch; /* one decrypted, still compressed frame */
	size_t scratch_room;
};

enum status
object_codec_new(struct object_codec **out, struct err *err)
{
	struct object_codec *codec = calloc(1, sizeof *codec);

	if (codec == NULL ||
		LZ4F_isError(
			LZ4F_createCompressionContext(&codec->compressor, LZ4F_VERSION)) ||
		LZ4F_isError(LZ4F_createDecompressionContext(&codec->decompressor,
													 LZ4F_VERSION)))
	{
		object_codec_free(codec);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	if (sodium_init() < 0)
	{
		object_codec_free(codec);
		return err_set(err, ST_IO, "could not initialize libsodium");
	}
	*out = codec;
	return ST_OK;
}

void
object_codec_free(struct object_codec *codec)
{
	if (codec == NULL)
		return;
	(void) LZ4F_freeCompressionContext(codec->compressor);
	(void) LZ4F_freeDecompressionContext(codec->decompressor);
	free(codec->scratch);
	free(codec);
}

size_t
object_frame_bound(size_t plain_len)
{
	return plain_len + FRAME_OVERHEAD;
}

/* The smallest block of LZ4's four sizes that holds the whole frame. */
static LZ4F_blockSizeID_t
block_size_id(size_t plain_len)
{
	if (plain_len <= (size_t) 64 << 10)
		return LZ4F_max64KB;
	if (plain_len <= (size_t) 256 << 10)
		return LZ4F_max256KB;
	if (plain_len <= (size_t) 1 << 20)
		return LZ4F_max1MB;
	return LZ4F_max4MB;
}

/* Returns the length of the LZ4 frame, 0 if out of memory. */
static size_t
compress_frame(struct object_codec *codec, bool sealed, const void *plain,
			   size_t plain_len, uint8_t *out, size_t room)
{
	LZ4F_preferences_t prefs = LZ4F_INIT_PREFERENCES;
	size_t used, n;

	prefs.autoFlush = 1;
	prefs.frameInfo.blockSizeID = block_size_id(plain_len);
	prefs.frameInfo.blockMode = LZ4F_blockIndependent;
	prefs.frameInfo.contentSize = plain_len;
	if (!sealed)
	{
		prefs.frameInfo.blockChecksumFlag = LZ4F_blockChecksumEnabled;
		prefs.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
	}
	n = LZ4F_compressBegin(codec->compressor, out, room, &prefs);
	if (LZ4F_isError(n))
		return 0;
	used = n;
	if (plain_len > 0)
	{
		n = LZ4F_compressUpdate(codec->compressor, out + used, room - used,
								plain, plain_len, NULL);
		if (LZ4F_isError(n))
			return 0;
		used += n;
	}
	n = LZ4F_compressEnd(codec->compressor, out + used, room - used, NULL);
	return LZ4F_isError(n) ? 0 : used + n;
}

/* Each (number, final) is used for one plaintext of an object at most. */
static void
make_nonce(uint8_t *nonce, uint32_t number, bool final)
{
	memset(nonce, 0, AEAD_NONCE_BYTES);
	put_le64(nonce, number);
	nonce[8] = final;
}

/* In its place; the tag goes behind it. */
static bool
encrypt_frame(const struct object *obj, uint32_t number, bool final,
			  uint8_t *lz4, size_t lz4_len)
{
	uint8_t nonce[AEAD_NONCE_BYTES];
	struct aead a = {.key = obj->key,
					 .nonce = nonce,
					 .ad = obj->header,
					 .ad_len = obj->header_len,
					 .in = lz4,
					 .out = lz4,
					 .len = lz4_len};

	make_nonce(nonce, number, final);
	return aead_seal(&a, lz4 + lz4_len);
}

enum status /* NOLINTNEXTLINE(readability-function-size) */
object_seal_frame(const struct object *obj, struct object_codec *codec,
				  uint32_t number, bool final, const void *plain,
				  size_t plain_len, void *out, size_t *out_len,
				  struct err *err)
{
	uint8_t *frame = out;
	size_t begin = obj->sealed ? SEALED_LZ4 : PLAIN_LZ4;
	size_t end = obj->sealed ? SEALED_TAG_BYTES : 0;
	size_t room = object_frame_bound(plain_len) - begin - end;
	size_t lz4_len;

	assert(plain_len <= obj->frame_size);
	assert(plain_len > 0 || (obj->plain_len == 0 && number == 0 && final));

	lz4_len = compress_frame(codec, obj->sealed, plain, plain_len,
							 frame + begin, room);
	if (lz4_len == 0)
		return err_set(err, ST_NOMEM, "out of memory");
	if (obj->sealed)
	{
		put_le32(frame, MAGIC_SEALED);
		put_le32(frame + 4, (uint32_t) (lz4_len + SEALED_TAG_BYTES));
		if (!encrypt_frame(obj, number, final, frame + begin, lz4_len))
			return err_set(err, ST_NOMEM, "out of memory");
	}
	else
	{
		put_le32(frame, MAGIC_PLAIN);
		put_le32(frame + 4, PLAIN_LZ4 - PLAIN_NUMBER);
		put_le32(frame + PLAIN_NUMBER, number);
		put_le32(frame + PLAIN_FINAL, final);
		put_le32(frame + PLAIN_LZ4_LEN, (uint32_t) lz4_len);
		memcpy(frame + PLAIN_BIND,
			   obj->header + obj->header_len - HEADER_CHECKSUM_BYTES,
			   PLAIN_BIND_BYTES);
	}
	*out_len = begin + lz4_len + end;
	return ST_OK;
}

static enum status
bad_frame(const struct object *obj, struct err *err)
{
	return object_corrupt(err, obj->system_identifier, obj->name,
						  "what follows the header is not a frame of it");
}

enum status
object_frame_length(const struct object *obj, const void *data, size_t len,
					size_t *stored_len, struct err *err)
{
	const uint8_t *frame = data;
	size_t begin = obj->sealed ? SEALED_LZ4 : PLAIN_LZ4;
	size_t end = obj->sealed ? SEALED_TAG_BYTES : 0;
	uint64_t total;

	if (len >= 4 &&
		get_le32(frame) != (obj->sealed ? MAGIC_SEALED : MAGIC_PLAIN))
		return bad_frame(obj, err);
	if (len < begin)
	{
		*stored_len = 0;
		return ST_OK;
	}
	if (obj->sealed)
		total = (uint64_t) SEALED_LZ4 + get_le32(frame + 4);
	else
	{
		total = (uint64_t) PLAIN_LZ4 + get_le32(frame + PLAIN_LZ4_LEN);
		if (get_le32(frame + 4) != PLAIN_LZ4 - PLAIN_NUMBER ||
			memcmp(frame + PLAIN_BIND,
				   obj->header + obj->header_len - HEADER_CHECKSUM_BYTES,
				   PLAIN_BIND_BYTES) != 0)
			return bad_frame(obj, err);
	}
	if (total < begin + LZ4_FRAME_MIN + end ||
		total > object_frame_bound(obj->frame_size))
		return bad_frame(obj, err);
	*stored_len = (size_t) total;
	return ST_OK;
}

/*
 * Checks the descriptor and reads the content's size, so that the library
 * sees no dictionary, no linked block, no missing checksum and no block
 * larger than the frame needs.  Returns the descriptor's length, 0 if it is
 * not the one that FORMAT.md allows.
 */
static size_t
check_descriptor(const struct object *obj, const uint8_t *lz4, size_t lz4_len,
				 size_t *plain_len)
{
	uint8_t flags = FLG_BASE | (obj->sealed ? 0 : FLG_CHECKSUMS);
	size_t len = LZ4_DESCRIPTOR_EMPTY;
	uint64_t size = 0;

	if (lz4_len < LZ4_FRAME_MIN || get_le32(lz4) != LZ4_MAGIC)
		return 0;
	if (lz4[LZ4_FLG] != flags)
	{
		len = LZ4_DESCRIPTOR;
		if (lz4[LZ4_FLG] != (flags | FLG_CONTENT_SIZE) ||
			lz4_len < LZ4_DESCRIPTOR + LZ4_WORD)
			return 0;
		size = get_le64(lz4 + LZ4_CONTENT_SIZE);
		if (size == 0)
			return 0;
	}
	if (size > obj->frame_size || size > obj->plain_len)
		return 0;
	*plain_len = (size_t) size;
	return lz4[LZ4_BD] == block_size_id(*plain_len) << BD_SHIFT ? len : 0;
}

/* True if there is one block, or none, and nothing behind the frame's end. */
static bool
check_extent(const struct object *obj, const uint8_t *lz4, size_t lz4_len,
			 size_t descriptor_len, size_t plain_len)
{
	uint64_t expected = descriptor_len + LZ4_WORD;

	if (plain_len > 0)
		expected += LZ4_WORD +
					(get_le32(lz4 + descriptor_len) & LZ4_BLOCK_LENGTH) +
					(obj->sealed ? 0 : LZ4_WORD);
	if (!obj->sealed)
		expected += LZ4_WORD;
	return lz4_len == expected;
}

static bool
decompress_frame(const struct object *obj, struct object_codec *codec,
				 const uint8_t *lz4, size_t lz4_len, void *out,
				 size_t *plain_len)
{
	size_t size, src_len = lz4_len, dst_len = obj->frame_size;
	size_t descriptor_len, left;

	descriptor_len = check_descriptor(obj, lz4, lz4_len, &size);
	if (descriptor_len == 0 ||
		!check_extent(obj, lz4, lz4_len, descriptor_len, size))
		return false;
	LZ4F_resetDecompressionContext(codec->decompressor);
	left = LZ4F_decompress(codec->decompressor, out, &dst_len, lz4, &src_len,
						   NULL);
	*plain_len = size;
	return left == 0 && src_len == lz4_len && dst_len == size;
}

/* Decrypts into the scratch buffer, which is grown to what obj may need. */
static enum status
decrypt_frame(const struct object *obj, struct object_codec *codec,
			  uint32_t number, bool final, const uint8_t *stored,
			  size_t lz4_len, struct err *err)
{
	uint8_t nonce[AEAD_NONCE_BYTES];
	struct aead a = {.key = obj->key,
					 .nonce = nonce,
					 .ad = obj->header,
					 .ad_len = obj->header_len,
					 .in = stored + SEALED_LZ4,
					 .len = lz4_len};
	size_t room = object_frame_bound(obj->frame_size);

	if (codec->scratch_room < room)
	{
		uint8_t *scratch = realloc(codec->scratch, room);

		if (scratch == NULL)
			return err_set(err, ST_NOMEM, "out of memory");
		codec->scratch = scratch;
		codec->scratch_room = room;
	}
	make_nonce(nonce, number, final);
	a.out = codec->scratch;
	if (!aead_open(&a, a.in + lz4_len))
		return object_corrupt(err, obj->system_identifier, obj->name,
							  "frame %" PRIu32 " cannot be authenticated",
							  number);
	return ST_OK;
}

enum status /* NOLINTNEXTLINE(readability-function-size) */
object_open_frame(const struct object *obj, struct object_codec *codec,
				  uint32_t number, bool final, const void *stored,
				  size_t stored_len, void *out, size_t *plain_len,
				  struct err *err)
{
	const uint8_t *frame = stored;
	const uint8_t *lz4;
	size_t expected_len = 0, lz4_len, size;
	enum status status;

	status = object_frame_length(obj, frame, stored_len, &expected_len, err);
	if (status != ST_OK)
		return status;
	if (expected_len == 0 || stored_len != expected_len)
		return object_corrupt(err, obj->system_identifier, obj->name,
							  "frame %" PRIu32 " is not %zu bytes long",
							  number, stored_len);
	if (obj->sealed)
	{
		lz4_len = stored_len - SEALED_LZ4 - SEALED_TAG_BYTES;
		status = decrypt_frame(obj, codec, number, final, frame, lz4_len, err);
		if (status != ST_OK)
			return status;
		lz4 = codec->scratch;
	}
	else
	{
		lz4_len = stored_len - PLAIN_LZ4;
		lz4 = frame + PLAIN_LZ4;
		if (get_le32(frame + PLAIN_NUMBER) != number ||
			get_le32(frame + PLAIN_FINAL) != final)
			return object_corrupt(err, obj->system_identifier, obj->name,
								  "frame %" PRIu32 " is not where it belongs",
								  number);
	}
	if (!decompress_frame(obj, codec, lz4, lz4_len, out, &size))
		return object_corrupt(err, obj->system_identifier, obj->name,
							  "frame %" PRIu32 " cannot be decompressed",
							  number);
	if (size == 0 && (obj->plain_len != 0 || number != 0 || !final))
		return object_corrupt(err, obj->system_identifier, obj->name,
							  "frame %" PRIu32 " is empty", number);
	*plain_len = size;
	return ST_OK;
}
