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
 * FORMAT.md section 7, step 5: lists the store and looks for each of them, of
 * the size that it must have.  ST_CORRUPT names what is gone.
 */
extern enum status publish_prove_objects(const struct publication *pub,
										 struct err *err) ERR_CHECK;

#endif
