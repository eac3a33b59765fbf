/*
 * object_internal.h - what the files of the module object share
 *
 *     object = header frame+
 *     header = magic length "walship" version kind sealed 0 0 frame_size
 *              system_identifier plain_len key_id salt name_len name checksum
 *     frame  = magic 20 number final lz4_len bind lz4      (unsealed)
 *            | magic length ciphertext(lz4) tag            (sealed)
 *
 * Normative: common/FORMAT.md, section 2.
 */
#ifndef COMMON_OBJECT_INTERNAL_H
#define COMMON_OBJECT_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/object.h"

/* LZ4's skippable frames; the last digit says what is in them. */
#define MAGIC_HEADER 0x184D2A57u
#define MAGIC_PLAIN  0x184D2A5Du
#define MAGIC_SEALED 0x184D2A5Eu

/* Offsets in the header. */
#define HEADER_LENGTH         4
#define HEADER_IDENT          8
#define HEADER_VERSION        15
#define HEADER_KIND           16
#define HEADER_SEALED         17
#define HEADER_ZERO           18
#define HEADER_FRAME_SIZE     20
#define HEADER_SYSTEM         24
#define HEADER_PLAIN_LEN      32
#define HEADER_KEY_ID         40
#define HEADER_SALT           48
#define HEADER_NAME_LEN       64
#define HEADER_NAME           66
#define HEADER_IDENT_TEXT     "walship"
#define HEADER_CHECKSUM_BYTES 16

/* The length of a header whose name is name_len bytes long. */
#define HEADER_LEN(name_len) (HEADER_NAME + (name_len) + HEADER_CHECKSUM_BYTES)

/* Offsets in an unsealed frame; a sealed one begins with magic and length. */
#define PLAIN_NUMBER     8
#define PLAIN_FINAL      12
#define PLAIN_LZ4_LEN    16
#define PLAIN_BIND       20
#define PLAIN_BIND_BYTES 8
#define PLAIN_LZ4        28
#define SEALED_LZ4       8
#define SEALED_TAG_BYTES 16

/* The shortest LZ4 frame: header without content size, end mark. */
#define LZ4_FRAME_MIN 11

/*
 * The length of the stored header that begins at data, 0 if len is below
 * OBJECT_HEADER_PREFIX; it is at most OBJECT_HEADER_MAX.  id is for the
 * message.
 */
#define OBJECT_HEADER_PREFIX 8
extern enum status
object_header_length(const struct object_id *id, const void *data, size_t len,
					 size_t *header_len, struct err *err) ERR_CHECK;

/* Fills err with ST_CORRUPT; a name of NULL is left out. */
extern enum status
object_corrupt(struct err *err, uint64_t system_identifier, const char *name,
			   const char *fmt, ...) ERR_PRINTF(4, 5);

#endif
