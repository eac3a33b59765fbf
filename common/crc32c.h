/*
 * crc32c.h - CRC-32C (Castagnoli), as PostgreSQL's backup manifests use it
 *
 * Pure.  Values are finished ones, as a manifest prints them: the CRC of no
 * bytes is 0, and crc32c_update(crc32c_update(0, a), b) is the CRC of a and b
 * joined.  Uses the processor's instruction where there is one.
 */
#ifndef COMMON_CRC32C_H
#define COMMON_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of what crc stands for with len bytes of data behind it. */
extern uint32_t crc32c_update(uint32_t crc, const void *data, size_t len);

/* The same by table, whatever the processor; for tests. */
extern uint32_t
crc32c_update_table(uint32_t crc, const void *data, size_t len);

/* The CRC of A and B joined, from theirs and B's length. */
extern uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);

/* The same for many B of one length, whose power is computed once. */
extern uint32_t crc32c_power(uint64_t len_b);
extern uint32_t
crc32c_combine_by(uint32_t crc_a, uint32_t crc_b, uint32_t power);

/* The CRC of A with len zero bytes behind it. */
extern uint32_t crc32c_zeros(uint32_t crc, uint64_t len);

#endif
