/*
 * publish_objects.h - the packs and digest objects that a new manifest names
 */
#ifndef BASEBACKUP_PUBLISH_OBJECTS_H
#define BASEBACKUP_PUBLISH_OBJECTS_H

#include "basebackup/publish.h"

/* Tells the manifest of each, our own and those of older backups in use. */
extern enum status
publish_add_objects(struct publication *pub, struct err *err) ERR_CHECK;

/*
 * The older ones in use are locked for as long as our own, where objects are
 * locked at all: several at once, by threads of its own.
 */
extern enum status publish_retain_objects(const struct publication *pub,
										  struct err *err) ERR_CHECK;

/* Do we refer to the number-th of the older ones? */
extern bool publish_uses(const struct publication *pub, enum pack_kind kind,
						 uint32_t number);

/* The older ones of a kind; NULL: there is no base. */
extern const struct packlist *
publish_older(const struct publication *pub, enum pack_kind kind);

/*
 * FORMAT.md section 7, step 5: lists the store and looks for each of them, of
 * the size that it must have.  ST_CORRUPT names what is gone.
 */
extern enum status publish_prove_objects(const struct publication *pub,
										 struct err *err) ERR_CHECK;

#endif
