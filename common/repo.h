/*
 * repo.h - the repository: a store, its keys, and the names in it
 *
 * Builds every key (grammar in common/FORMAT.md) and moves small objects.
 * A repo handle belongs to one thread, since its store does; the keyring may
 * be shared.
 */
#ifndef COMMON_REPO_H
#define COMMON_REPO_H

#include "common/config.h"
#include "common/key.h"
#include "common/object.h"
#include "common/store.h"
#include "common/walname.h"

struct repo
{
	const struct config *cfg;   /* borrowed */
	const struct keyring *ring; /* borrowed */
	struct store *store;        /* owned */
	uint64_t system_identifier; /* 0 until known */
};

extern enum status
repo_open(struct repo *repo, const struct config *cfg,
		  const struct keyring *ring, uint64_t system_identifier,
		  struct err *err) ERR_CHECK;
extern void repo_close(struct repo *repo);

/*
 * What time it is for what is kept until some time: by the store's clock as of
 * its latest answer, or by ours if that is earlier or the store tells none.
 */
extern int64_t repo_now_s(const struct repo *repo);

/*
 * Settles repo->system_identifier for a command with no cluster at hand: what
 * is set, else the only one in the repository.  ST_CONFIG with the list when
 * there are several, ST_MISSING when there is none.
 */
extern enum status
repo_resolve_cluster(struct repo *repo, struct err *err) ERR_CHECK;

/* Does the repository hold anything of repo->system_identifier? */
extern enum status
repo_holds_cluster(struct repo *repo, bool *out, struct err *err) ERR_CHECK;

/* As repo_resolve_cluster, and ST_MISSING for one that is not there. */
extern enum status
repo_require_cluster(struct repo *repo, struct err *err) ERR_CHECK;

/* Calls visit for every system identifier with a tree in the repository. */
extern enum status
repo_list_clusters(struct repo *repo, void (*visit)(void *arg, uint64_t sysid),
				   void *arg, struct err *err) ERR_CHECK;

/*
 * Names (the part behind "<sysid>/") and keys (with it).  name has room for
 * OBJECT_NAME_MAX + 1 bytes, key for STORE_KEY_MAX.
 */
extern void repo_wal_name(char *name, const struct wal_name *wal);
extern void repo_backup_name(char *name, const char *backup_id,
							 const char *part); /* "start", "manifest", ... */
extern void repo_pack_name(char *name, const char *backup_id, uint32_t n);
extern void repo_digest_name(char *name, const char *backup_id, uint32_t n);
extern bool repo_parse_number(const char *text, uint32_t *n); /* of the two */
extern void repo_report_name(char *name, int64_t time_s, const char *kind);
extern void repo_key(char *key, uint64_t system_identifier, const char *name);

/* Seals content in memory and puts it under name.  Statuses of store_put. */
extern enum status
repo_put_bytes(struct repo *repo, enum object_kind kind, const char *name,
			   const void *plain, size_t len, struct err *err) ERR_CHECK;

/*
 * Gets and opens an object of at most max bytes of content into memory, freed
 * by free(), with a zero byte behind it that out_len does not count.
 */
extern enum status repo_get_bytes(struct repo *repo, enum object_kind kind,
								  const char *name, size_t max, char **out,
								  size_t *out_len, struct err *err) ERR_CHECK;

/* Gets and opens an object, its content going to sink frame by frame. */
extern enum status
repo_get(struct repo *repo, enum object_kind kind, const char *name,
		 store_sink sink, void *arg, struct err *err) ERR_CHECK;

#endif
