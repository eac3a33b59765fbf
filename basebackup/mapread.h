/*
 * mapread.h - the maps of a stored backup's files
 */
#ifndef BASEBACKUP_MAPREAD_H
#define BASEBACKUP_MAPREAD_H

#include <stdint.h>

#include "basebackup/pack_reader.h"
#include "basebackup/packlist.h"
#include "basebackup/stored.h"
#include "common/err.h"

/* All borrowed. */
struct map_source
{
	struct pack_reader *reader; /* of the digest objects */
	const struct packlist *packs;
	uint32_t page_size;
};

/*
 * Receives an extent, its pack being a number of the list of packs.  Any
 * status but ST_OK ends the reading with it.
 */
typedef enum status (*map_sink)(void *arg, const struct extent *extent,
								struct err *err);

/*
 * Reads the maps of a file of size bytes, one for each part, digest being a
 * number of the list of digest objects.  ST_CORRUPT if they do not make up
 * the file, or name a pack that the manifest does not.
 */
extern enum status
map_read(const struct map_source *source, const struct digest_range *maps,
		 size_t nmaps, uint64_t size, map_sink sink, void *arg,
		 struct err *err) ERR_CHECK;

#endif
