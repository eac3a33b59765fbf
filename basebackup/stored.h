/*
 * stored.h - a file as a backup holds it
 */
#ifndef BASEBACKUP_STORED_H
#define BASEBACKUP_STORED_H

#include <stddef.h>
#include <stdint.h>

#define EXTENT_ZEROS (-1)

/* The most extents of a file (common/FORMAT.md, 4.3). */
#define EXTENTS_MAX ((size_t) 1 << 20)

/* Extents that a line of the manifest holds; a file with more has maps. */
#define EXTENTS_INLINE ((size_t) 128)

struct extent
{
	int64_t pack; /* its index, or EXTENT_ZEROS */
	uint64_t position;
	uint64_t length;
};

/* Part of a digest object's data. */
struct digest_range
{
	uint32_t digest; /* its index */
	uint32_t position;
	uint32_t length;
};

/*
 * Adds a range behind the others, which have room for it, as part of the last
 * where the two are one piece.
 */
static inline void
digest_ranges_add(struct digest_range *ranges, size_t *nranges,
				  const struct digest_range *range)
{
	struct digest_range *last = ranges + *nranges;

	if (*nranges > 0)
		last--;
	if (*nranges > 0 && last->digest == range->digest &&
		last->position + last->length == range->position)
		last->length += range->length;
	else
		ranges[(*nranges)++] = *range;
}

struct stored_file
{
	uint64_t size;
	uint32_t crc32c;

	/* In order they make up the file. */
	size_t nextents;
	struct extent *extents;

	/* One for each part of the file; the manifest has them, or extents. */
	size_t nmaps;
	struct digest_range *maps;

	/* Together they hold an entry for each page; 0: there are none. */
	size_t npages;
	struct digest_range *pages;
};

#endif
