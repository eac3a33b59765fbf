/*
 * begin.h - a backup's first steps: its base, its name, its start
 *
 * Steps 1 and 2 of the protocol in common/FORMAT.md section 7: a base is
 * chosen and read, "start" is put, which names it, and then the base must not
 * be marked as expired; else all begins again with another.  Backups that died
 * are bases, too, for their packs.
 */
#ifndef BASEBACKUP_BEGIN_H
#define BASEBACKUP_BEGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/backup_id.h"
#include "basebackup/base.h"
#include "basebackup/page.h"
#include "basebackup/server_facts.h"
#include "common/err.h"
#include "common/repo.h"

/* The most attempts whose packs are used. */
#define BEGIN_DEAD_MAX 16

/* All borrowed. */
struct begin_request
{
	struct repo *repo; /* its configuration: full_every, pack_max_age */
	const struct server_facts *facts;
	const char *host;
	bool full; /* refer to nothing older */
};

struct begun
{
	char id[BACKUP_ID_MAX];
	struct base *base;        /* NULL: none; freed by begun_free */
	char full[BACKUP_ID_MAX]; /* the backup that began the chain */
	uint8_t digest_key[PAGE_KEY_BYTES];
	int64_t start_put_ms; /* publish_clock_ms before start was put */
	const char *why_full; /* for the log; NULL: there is a base */

	/*
	 * Backups since the newest that counts which have not been finished, and
	 * digest pages with the same key: what they have stored may be used.  The
	 * oldest first.  Whether they died, or still run, is of no account.
	 */
	size_t ndead;
	char dead[BEGIN_DEAD_MAX][BACKUP_ID_MAX];
};

/*
 * Puts "start".  An older backup that cannot serve as base costs a warning.
 * out is set as far as it went, also on failure.
 */
extern enum status backup_begin(const struct begin_request *request,
								struct begun *out, struct err *err) ERR_CHECK;
extern void begun_free(struct begun *begun);

#endif
