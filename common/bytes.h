/*
 * bytes.h - integers at any address, little-endian or in our own byte order
 *
 * Pure; no alignment is assumed.
 */
#ifndef COMMON_BYTES_H
#define COMMON_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t
get_le16(const void *at)
{
	const uint8_t *b = at;

	return (uint16_t) (b[0] | b[1] << 8);
}

static inline uint32_t
get_le32(const void *at)
{
	const uint8_t *b = at;

	return (uint32_t) b[0] | (uint32_t) b[1] << 8 | (uint32_t) b[2] << 16 |
		   (uint32_t) b[3] << 24;
}

static inline uint64_t
get_le64(const void *at)
{
	const uint8_t *b = at;

	return get_le32(b) | (uint64_t) get_le32(b + 4) << 32;
}

static inline void
put_le16(void *at, uint16_t value)
{
	uint8_t *b = at;

	b[0] = (uint8_t) value;
	b[1] = (uint8_t) (value >> 8);
}

static inline void
put_le32(void *at, uint32_t value)
{
	uint8_t *b = at;

	put_le16(b, (uint16_t) value);
	put_le16(b + 2, (uint16_t) (value >> 16));
}

static inline void
put_le64(void *at, uint64_t value)
{
	uint8_t *b = at;

	put_le32(b, (uint32_t) value);
	put_le32(b + 4, (uint32_t) (value >> 32));
}

/* As PostgreSQL writes its own files: in the byte order of its host. */
static inline uint16_t
get_native16(const void *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint32_t
get_native32(const void *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint64_t
get_native64(const void *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

#endif
