/*
 * fetch.h - one WAL file out of the repository
 *
 * Gets, authenticates, verifies and publishes, tries as long as the policy
 * says, and tells what was found.  What that means to the server is
 * fetch_policy.h's affair.
 */
#ifndef WALSHIP_FETCH_H
#define WALSHIP_FETCH_H

#include <signal.h>

#include "common/err.h"
#include "common/repo.h"
#include "common/walname.h"
#include "walship/fetch_policy.h"
#include "common/spool.h"

struct fetch
{
	struct repo *repo; /* its system identifier is known */
	const struct spool *spool;
	const struct wal_name *name;
	const char *path; /* where the server wants it */
	enum fetch_mode mode;
	struct fetch_patience patience;
	const volatile sig_atomic_t *cancel; /* or NULL */
};

/*
 * After FOUND the file is at path, whole, synced, and what its name says:
 * authenticated; a segment with the right size, first page, cluster and
 * timeline; a history that can be read.  After anything else there is no
 * file, and err says why.
 */
extern enum fetch_finding
fetch_file(const struct fetch *fetch, struct err *err) ERR_CHECK;

#endif
