/*
 * wipe.h - heap memory that forgets what it held
 *
 * For libraries that take their memory functions from us and handle secrets
 * in buffers of their own.  Blocks are ordinary ones of malloc; thread-safe.
 */
#ifndef COMMON_WIPE_H
#define COMMON_WIPE_H

#include <stddef.h>

/* As realloc; the old block is wiped, also when the new one is shorter. */
extern void *wipe_realloc(void *block, size_t size);

/* As free, after wiping; NULL is fine. */
extern void wipe_free(void *block);

#endif
