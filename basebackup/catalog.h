/*
 * catalog.h - which backups a repository holds of a cluster
 *
 * There is no index: the catalogue is what a listing says (FORMAT.md section
 * 4).  One LIST finds the backups, one each tells its state, and one ranged
 * GET each reads its summary, several at a time.  Backups that are marked as
 * expired do not count.
 */
#ifndef BASEBACKUP_CATALOG_H
#define BASEBACKUP_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basebackup/manifest_read.h"
#include "common/err.h"
#include "common/repo.h"

enum backup_state
{
	BACKUP_COMPLETE,
	BACKUP_UNFINISHED, /* running, or died */
	BACKUP_UNREADABLE, /* there is a manifest, but it cannot be read */
	BACKUP_EXPIRED     /* marked; what is left of it is being deleted */
};

struct catalog_backup
{
	char id[BACKUP_ID_MAX];
	enum backup_state state;
	bool keep;                     /* pinned */
	int64_t started;               /* by the store's clock; 0: not known */
	uint64_t manifest_size;        /* bytes as stored; 0: there is none */
	struct backup_summary summary; /* BACKUP_COMPLETE */
	struct err *why;               /* BACKUP_UNREADABLE */
};

/* In the order of their ids, so of their LSNs. */
struct catalog
{
	size_t nbackups;
	struct catalog_backup *backups;
};

/*
 * Reads the catalogue of repo->system_identifier.  A manifest that is damaged
 * or needs another key makes its backup BACKUP_UNREADABLE; what may be a
 * passing trouble (ST_RETRY and the like) fails the whole.  An empty catalogue
 * is no error.  Without a keyring in repo every manifest is unreadable.  *out
 * is freed with catalog_free.
 */
extern enum status catalog_load(struct repo *repo, struct catalog *out,
								struct err *err) ERR_CHECK;

/* The same with BACKUP_EXPIRED ones, of which no summary is read. */
extern enum status catalog_load_all(struct repo *repo, struct catalog *out,
									struct err *err) ERR_CHECK;
extern void catalog_free(struct catalog *catalog);

/* The backup of that id, or NULL. */
extern const struct catalog_backup *
catalog_find(const struct catalog *catalog, const char *id);

#endif
