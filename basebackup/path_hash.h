/*
 * path_hash.h - a path as a number
 *
 * Pure.  Two paths of one hash are so unlikely with 64 bits that whoever
 * keeps hashes in the place of paths may take them for one.
 */
#ifndef BASEBACKUP_PATH_HASH_H
#define BASEBACKUP_PATH_HASH_H

#include <stdint.h>

#define PATH_HASH_SEED 0xcbf29ce484222325U

/* With another seed: another family of numbers. */
static inline uint64_t
path_hash(uint64_t seed, const char *path)
{
	uint64_t hash = seed;

	for (; *path != '\0'; path++)
		hash = (hash ^ (uint8_t) *path) * 0x100000001b3U;
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93U;
	hash ^= hash >> 32;
	return hash;
}

#endif
