/*
 * repo_each.h - many small requests to a repository, several at a time
 *
 * What is asked of each backup takes a round trip or two; in a row that is
 * minutes for a year of backups that lie far away.
 */
#ifndef BASEBACKUP_REPO_EACH_H
#define BASEBACKUP_REPO_EACH_H

#include <stddef.h>

#include "common/err.h"
#include "common/repo.h"

/*
 * Asks for item i, through a handle of its own thread: so whatever else it
 * shares with other items it has to guard.
 */
typedef enum status (*repo_visitor)(struct repo *repo, size_t i, void *arg,
									struct err *err);

/*
 * Calls visit for the items 0 to count - 1, in any order.  The first failure
 * ends it: no further item is begun.  A few items are visited one after the
 * other, by the caller's own handle.
 */
extern enum status
repo_each(struct repo *repo, size_t count, repo_visitor visit, void *arg,
		  struct err *err) ERR_CHECK;

#endif
