/*
 * expire_wal.c - the archived files that nothing needs any more
 */
#include "basebackup/expire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/object.h"

/* '.' and the digest of a file that was set aside (FORMAT.md, section 5) */
#define ASIDE_LEN ((size_t) OBJECT_WAL_DIGEST_HEX)

struct walk
{
	const struct keep_wal *wal;
	store_lister lister;
	void *arg;
};

bool
expire_parse_wal(const char *text, struct wal_name *name)
{
	char plain[WAL_NAME_MAX + 1];
	struct err ignored;
	size_t len = strlen(text);

	if (wal_name_parse(name, text, &ignored) == ST_OK)
		return true;
	if (len <= ASIDE_LEN || len - ASIDE_LEN > WAL_NAME_MAX ||
		text[len - ASIDE_LEN] != '.' ||
		strspn(text + len - ASIDE_LEN + 1, "0123456789abcdef") !=
			ASIDE_LEN - 1)
		return false;
	memcpy(plain, text, len - ASIDE_LEN);
	plain[len - ASIDE_LEN] = '\0';
	return wal_name_parse(name, plain, &ignored) == ST_OK;
}

static enum status
look_at(void *arg, const struct store_entry *entry, struct err *err)
{
	const struct walk *walk = arg;
	const char *slash = strrchr(entry->key, '/');
	struct wal_name name;

	if (slash == NULL || !expire_parse_wal(slash + 1, &name) ||
		keep_wal_needed(walk->wal, &name))
		return ST_OK;
	return walk->lister(walk->arg, entry, err);
}

enum status
expire_list_wal(struct repo *repo, const struct keep_wal *wal,
				store_lister lister, void *arg, struct err *err)
{
	struct walk walk = {.wal = wal, .lister = lister, .arg = arg};
	char prefix[STORE_KEY_MAX];
	enum status status;

	(void) snprintf(prefix, sizeof(prefix), "%" PRIu64 "/wal/",
					repo->system_identifier);
	status = store_list(repo->store, prefix, NULL, false, look_at, &walk, err);
	return status == ST_OK ? ST_OK
						   : err_context(err, "could not go through the WAL");
}
