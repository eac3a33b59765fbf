/*
 * path_set.h - which paths a plan has
 *
 * Hashes of paths, see path_hash.h: 8 bytes for each entry.
 */
#ifndef BASEBACKUP_PATH_SET_H
#define BASEBACKUP_PATH_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/plan.h"
#include "common/err.h"

struct path_set;

extern enum status path_set_new(const struct plan *plan, struct path_set **out,
								struct err *err) ERR_CHECK;
extern void path_set_free(struct path_set *set);

/* Is there an entry of that type at that path of that area? */
extern bool path_set_has(const struct path_set *set, uint32_t area,
						 enum plan_type type, const char *path);

#endif
