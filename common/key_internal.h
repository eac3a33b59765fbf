/*
 * key_internal.h - what key.c and keygen.c share
 */
#ifndef COMMON_KEY_INTERNAL_H
#define COMMON_KEY_INTERNAL_H

#include "common/key.h"

#define KEY_LINE_MAGIC "walship-key-v1"

/* FORMAT.md, section 3. */
extern enum status
key_derive_id(uint8_t id[KEY_ID_BYTES], const uint8_t key[KEY_BYTES],
			  struct err *err) ERR_CHECK;

#endif
