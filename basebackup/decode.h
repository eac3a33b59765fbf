/*
 * decode.h - hexadecimal and base64 to bytes
 *
 * Pure.  All return false, out being unspecified, unless the text is exactly
 * what is asked for.
 */
#ifndef BASEBACKUP_DECODE_H
#define BASEBACKUP_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Eight lower-case hex digits. */
extern bool hex_parse32(const char *text, uint32_t *out);

/* Lower-case hex to exactly len bytes. */
extern bool hex_decode(const char *hex, uint8_t *out, size_t len);

/*
 * Lower-case hex to a text without zero bytes, which with its terminating
 * zero fits into size bytes.
 */
extern bool hex_decode_text(const char *hex, char *out, size_t size);

/* Base64, standard alphabet with padding, of 1 to size bytes. */
extern bool
base64_decode(const char *text, uint8_t *out, size_t size, size_t *out_len);

#endif
