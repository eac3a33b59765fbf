/*
 * manifest_stored.c - reading the manifest of a stored backup
 */
#include "basebackup/manifest_stored.h"

enum status
manifest_read_stored(struct repo *repo, const char *backup_id,
					 const struct manifest_handler *handler, void *arg,
					 struct err *err)
{
	char name[OBJECT_NAME_MAX + 1];
	struct manifest_reader *reader = NULL;
	enum status status = manifest_reader_new(handler, arg, &reader, err);

	repo_backup_name(name, backup_id, "manifest");
	if (status == ST_OK)
		status = repo_get(repo, OBJECT_MANIFEST, name, manifest_reader_feed,
						  reader, err);
	if (status == ST_OK)
		status = manifest_reader_end(reader, err);
	manifest_reader_free(reader);
	return status;
}
