/*
 * plan.c - what a restore has to do, from a backup's manifest
 */
#include "basebackup/plan_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/manifest_stored.h"
#include "basebackup/plan_maps.h"
#include "basebackup/plan_record.h"
#include "basebackup/tempfile.h"
#include "common/cli.h"

#define DISK_BLOCK 4096 /* what a file is rounded up to on most disks */

/* pg_subscription, empty until the first one; VACUUM FULL renames it. */
#define SUBSCRIPTIONS "global/6100"

/* While the manifest is read. */
struct builder
{
	struct repo *repo;
	struct plan *plan;
	struct plan_maps *maps;
	uint64_t entries_len, packs_len; /* of their files so far */
	bool control;
};

static enum status
nomem(struct err *err)
{
	return err_set(err, ST_NOMEM, "out of memory");
}

static enum status
take_summary(void *arg, const struct backup_summary *summary, struct err *err)
{
	struct builder *b = arg;

	(void) err;
	b->plan->summary = *summary;
	return ST_OK;
}

/* One whose location is relative lies in the data directory itself. */
static enum status
take_tablespace(void *arg, uint32_t oid, const char *location, struct err *err)
{
	struct plan *plan = ((struct builder *) arg)->plan;
	struct plan_tablespace *grown;

	if (location[0] != '/')
		return ST_OK;
	for (size_t i = 0; i < plan->ntablespaces; i++)
		if (plan->tablespaces[i].oid == oid)
			return err_set(err, ST_CORRUPT, "tablespace %u occurs twice", oid);
	grown = reallocarray(plan->tablespaces, plan->ntablespaces + 1,
						 sizeof(*grown));
	if (grown == NULL)
		return nomem(err);
	plan->tablespaces = grown;
	grown += plan->ntablespaces;
	*grown =
		(struct plan_tablespace){.oid = oid, .location = strdup(location)};
	if (grown->location == NULL)
		return nomem(err);
	plan->ntablespaces++;
	return ST_OK;
}

static enum status
take_setting(void *arg, const char *name, const char *value, struct err *err)
{
	struct plan *plan = ((struct builder *) arg)->plan;
	struct plan_setting *grown;

	/* Grows by doubling, at the powers of two. */
	if ((plan->nrecorded & (plan->nrecorded + 1)) == 0)
	{
		grown = reallocarray(plan->recorded, 2 * (plan->nrecorded + 1),
							 sizeof(*grown));
		if (grown == NULL)
			return nomem(err);
		plan->recorded = grown;
	}
	grown = &plan->recorded[plan->nrecorded++];
	*grown = (struct plan_setting){strdup(name), strdup(value)};
	return grown->name == NULL || grown->value == NULL ? nomem(err) : ST_OK;
}

/* The area of a path of the manifest; *rest is what is left of the path. */
static uint32_t
find_area(const struct plan *plan, const char *path, const char **rest)
{
	static const char prefix[] = "pg_tblspc/";
	const char *end;
	uint64_t oid;
	char text[16];

	*rest = path;
	if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
		return PLAN_DATA;
	path += sizeof(prefix) - 1;
	end = strchrnul(path, '/');
	if (end - path >= (ptrdiff_t) sizeof(text))
		return PLAN_DATA;
	snprintf(text, sizeof(text), "%.*s", (int) (end - path), path);
	if (!parse_uint64(text, UINT32_MAX, &oid))
		return PLAN_DATA;
	for (size_t i = 0; i < plan->ntablespaces; i++)
		if (plan->tablespaces[i].oid == oid)
		{
			*rest = *end == '/' ? end + 1 : ".";
			return PLAN_TABLESPACE + (uint32_t) i;
		}
	return PLAN_DATA;
}

static enum status
grow_entries(struct plan_files *files, uint32_t nentries, struct err *err)
{
	size_t size = files->entries_size == 0 ? 4096 : files->entries_size * 2;
	uint64_t *at;
	_Atomic uint32_t *crc;

	if (nentries < files->entries_size)
		return ST_OK;
	at = reallocarray(files->entry_at, size, sizeof(*at));
	if (at == NULL)
		return nomem(err);
	files->entry_at = at;
	crc = reallocarray(files->crc_left, size, sizeof(*crc));
	if (crc == NULL)
		return nomem(err);
	files->crc_left = crc;
	files->entries_size = size;
	return ST_OK;
}

static enum status
add_entry(struct builder *b, struct plan_entry_record *record,
		  const char *path, uint32_t crc, struct err *err)
{
	struct plan *plan = b->plan;
	struct plan_files *files = plan->files;
	uint64_t bytes = (record->size + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
	enum status st;

	if (plan->nentries == UINT32_MAX)
		return err_set(err, ST_CORRUPT, "the manifest lists too many files");
	record->path_len = (uint16_t) strlen(path);
	record->crc32c = crc;
	if (record->type == PLAN_DIR)
		bytes = DISK_BLOCK;
	if (record->area == PLAN_DATA)
		plan->data_bytes += bytes;
	else if (record->area == PLAN_CONFIG)
		plan->config_bytes += bytes;
	else
		plan->tablespaces[record->area - PLAN_TABLESPACE].bytes += bytes;
	if ((st = grow_entries(files, plan->nentries, err)) != ST_OK ||
		(st = tempfile_write(files->entries, record, sizeof(*record), err)) !=
			ST_OK ||
		(st = tempfile_write(files->entries, path, record->path_len, err)) !=
			ST_OK)
		return st;
	files->entry_at[plan->nentries] = b->entries_len;
	atomic_init(&files->crc_left[plan->nentries], crc);
	b->entries_len += sizeof(*record) + record->path_len;
	plan->nentries++;
	return ST_OK;
}

static enum status
take_dir(void *arg, const char *path, mode_t mode, struct err *err)
{
	struct builder *b = arg;
	struct plan_entry_record record = {.type = PLAN_DIR, .mode = mode};

	record.area = find_area(b->plan, path, &path);
	return add_entry(b, &record, path, 0, err);
}

static enum status
take_any_file(struct builder *b, uint32_t area, const char *path,
			  const struct manifest_entry *file, struct err *err)
{
	struct plan_entry_record record = {.type = PLAN_FILE,
									   .area = area,
									   .mode = file->mode,
									   .mtime = file->mtime,
									   .size = file->size};
	uint32_t number = b->plan->nentries;
	struct plan_pieces pieces;
	enum status st = add_entry(b, &record, path, file->crc32c, err);

	if (st != ST_OK)
		return st;
	if (file->nmaps > 0)
		return plan_maps_add(b->maps, number, file, err);
	plan_pieces_begin(&pieces, b->plan, number, file->size);
	for (size_t i = 0; st == ST_OK && i < file->nextents; i++)
	{
		const int64_t *e = &file->extents[3 * i];

		st = plan_pieces_add(&pieces, e[0], (uint32_t) e[1], (uint64_t) e[2],
							 err);
	}
	return st == ST_OK ? plan_pieces_end(&pieces, err) : st;
}

/* A backup of a standby holds its signal file, which would win over ours. */
static bool
is_left_out(const char *path)
{
	return strcmp(path, "standby.signal") == 0 ||
		   strcmp(path, "recovery.signal") == 0 ||
		   strncmp(path, "pg_wal/", 7) == 0;
}

static enum status
take_file(void *arg, const struct manifest_entry *file, struct err *err)
{
	struct builder *b = arg;
	const char *path;
	uint32_t area = find_area(b->plan, file->path, &path);

	if (is_left_out(file->path))
		return ST_OK;
	if (strcmp(path, ".") == 0)
		return err_set(err, ST_CORRUPT, "tablespace \"%s\" is a file",
					   file->path);
	if (strcmp(file->path, PLAN_CONTROL_FILE) == 0)
		b->control = true;
	else if (strcmp(file->path, SUBSCRIPTIONS) == 0)
		b->plan->subscribes = file->size > 0;
	return take_any_file(b, area, path, file, err);
}

static enum status
take_config(void *arg, const struct manifest_entry *file, struct err *err)
{
	struct builder *b = arg;

	b->plan->nconfigs++;
	return take_any_file(b, PLAN_CONFIG, file->path + 1, file, err);
}

static enum status
find_backup(struct plan *plan, const char *id, uint32_t *out, struct err *err)
{
	char **grown;

	/* Neighbouring packs are of the same backup, most often. */
	for (size_t i = plan->nbackups; i > 0; i--)
		if (strcmp(plan->backups[i - 1], id) == 0)
		{
			*out = (uint32_t) (i - 1);
			return ST_OK;
		}
	grown = reallocarray(plan->backups, plan->nbackups + 1, sizeof(*grown));
	if (grown == NULL)
		return nomem(err);
	plan->backups = grown;
	grown[plan->nbackups] = strdup(id);
	if (grown[plan->nbackups] == NULL)
		return nomem(err);
	*out = (uint32_t) plan->nbackups++;
	return ST_OK;
}

/*
 * The frames must have room for all that extents want from the pack; how
 * much each really holds is known when it has been opened.
 */
static enum status
check_pack(const struct builder *b, const struct manifest_pack *pack,
		   struct err *err)
{
	char name[OBJECT_NAME_MAX + 1];
	struct object_id id = {OBJECT_PACK, b->repo->system_identifier, name};
	struct object obj;
	size_t header_len;
	uint64_t room;
	enum status st;

	repo_pack_name(name, pack->backup, pack->n);
	st = object_parse(&obj, &id, pack->header, pack->header_len, b->repo->ring,
					  err);
	if (st != ST_OK)
		return err_context(err, "pack %u", pack->index);
	room = (uint64_t) (pack->nframes - 1) * obj.frame_size;
	header_len = obj.header_len;
	object_wipe(&obj);
	if (header_len != pack->header_len || pack->data_used > room)
		return err_set(err, ST_CORRUPT, "pack %u is too short", pack->index);
	return ST_OK;
}

static enum status
take_pack(void *arg, const struct manifest_pack *pack, struct err *err)
{
	struct builder *b = arg;
	struct plan *plan = b->plan;
	struct plan_files *files = plan->files;
	struct plan_pack_record record = {.n = pack->n,
									  .header_len =
										  (uint32_t) pack->header_len,
									  .nframes = (uint32_t) pack->nframes};
	enum status st;

	if (pack->index >= files->packs_size)
	{
		size_t size = files->packs_size == 0 ? 1024 : files->packs_size * 2;
		uint64_t *grown;

		while (size <= pack->index)
			size *= 2;
		grown = reallocarray(files->pack_at, size, sizeof(*grown));
		if (grown == NULL)
			return nomem(err);
		files->pack_at = grown;
		files->packs_size = size;
	}
	if ((st = check_pack(b, pack, err)) != ST_OK ||
		(st = find_backup(plan, pack->backup, &record.backup, err)) != ST_OK ||
		(st = tempfile_write(files->packs, &record, sizeof(record), err)) !=
			ST_OK ||
		(st = tempfile_write(files->packs, pack->header, pack->header_len,
							 err)) != ST_OK)
		return st;
	for (size_t i = 0; st == ST_OK && i < pack->nframes; i++)
	{
		uint32_t len = (uint32_t) pack->frames[i];

		st = tempfile_write(files->packs, &len, sizeof(len), err);
	}
	if (st == ST_OK)
		st = plan_maps_pack(b->maps, pack, err);
	if (st != ST_OK)
		return st;
	files->pack_at[pack->index] = b->packs_len;
	b->packs_len +=
		sizeof(record) + pack->header_len + pack->nframes * sizeof(uint32_t);
	plan->npacks = pack->index + 1;
	return ST_OK;
}

static enum status
take_digest(void *arg, const struct manifest_pack *digest, struct err *err)
{
	struct builder *b = arg;

	return plan_maps_digest(b->maps, digest, err);
}

static const struct manifest_handler plan_handler = {
	.summary = take_summary,
	.tablespace = take_tablespace,
	.setting = take_setting,
	.config = take_config,
	.dir = take_dir,
	.file = take_file,
	.digest = take_digest,
	.pack = take_pack,
};

/* The packs in use, whole. */
static enum status
count_fetch_bytes(struct plan *plan, struct err *err)
{
	struct plan_pack *pack = malloc(sizeof(*pack));
	enum status st = ST_OK;

	if (pack == NULL)
		return nomem(err);
	for (uint32_t i = 0; st == ST_OK && i < plan->npacks; i++)
	{
		if (!plan_uses_pack(plan, i))
			continue;
		st = plan_get_pack(plan, i, pack, err);
		plan->fetch_bytes += pack->header_len;
		for (size_t f = 0; st == ST_OK && f < pack->nframes; f++)
			plan->fetch_bytes += pack->frames[f];
	}
	free(pack);
	return st;
}

/* The pack table may be shorter than the counts of extents, or longer. */
static enum status
finish(struct builder *b, const char *backup_id, struct err *err)
{
	struct plan *plan = b->plan;
	enum status st;

	if (strcmp(plan->summary.id, backup_id) != 0 ||
		plan->summary.system_identifier != b->repo->system_identifier)
		return err_set(err, ST_CORRUPT, "it is the manifest of backup %s",
					   plan->summary.id);
	if (!b->control)
		return err_set(err, ST_CORRUPT, "it lists no \"%s\"",
					   PLAN_CONTROL_FILE);
	if (plan->npacks > 0 && plan->npacks > plan->files->pack_extents_size)
	{
		uint32_t *grown = reallocarray(plan->files->pack_extents, plan->npacks,
									   sizeof(*grown));

		if (grown == NULL)
			return nomem(err);
		memset(grown + plan->files->pack_extents_size, 0,
			   (plan->npacks - plan->files->pack_extents_size) *
				   sizeof(*grown));
		plan->files->pack_extents = grown;
		plan->files->pack_extents_size = plan->npacks;
	}
	if ((st = tempfile_rewind(plan->files->entries, err)) != ST_OK ||
		(st = tempfile_rewind(plan->files->packs, err)) != ST_OK ||
		(st = plan_maps_resolve(b->maps, b->repo, plan, err)) != ST_OK ||
		(st = count_fetch_bytes(plan, err)) != ST_OK)
		return st;
	return plan_order(plan, PLAN_BATCH_MAX, err);
}

static enum status
open_files(struct plan *plan, struct err *err)
{
	enum status st;

	plan->files = calloc(1, sizeof(*plan->files));
	if (plan->files == NULL)
		return nomem(err);
	if ((st = tempfile_open(&plan->files->entries, err)) != ST_OK ||
		(st = tempfile_open(&plan->files->packs, err)) != ST_OK)
		return st;
	return tempfile_open(&plan->files->extents, err);
}

enum status
plan_load(struct repo *repo, const char *backup_id, struct plan **out,
		  struct err *err)
{
	struct builder b = {.repo = repo, .plan = calloc(1, sizeof(*b.plan))};
	enum status st;

	if (b.plan == NULL)
		return nomem(err);
	st = open_files(b.plan, err);
	if (st == ST_OK)
		st = plan_maps_new(&b.maps, err);
	if (st == ST_OK)
		st = manifest_read_stored(repo, backup_id, &plan_handler, &b, err);
	if (st == ST_OK)
		st = finish(&b, backup_id, err);
	plan_maps_free(b.maps);
	if (st != ST_OK)
	{
		plan_free(b.plan);
		return err_context(err, "manifest of backup %s", backup_id);
	}
	*out = b.plan;
	return ST_OK;
}

static void
close_file(FILE *file)
{
	if (file != NULL)
		(void) fclose(file);
}

static void
free_files(struct plan_files *files)
{
	if (files == NULL)
		return;
	if (files->sorted != files->extents)
		close_file(files->sorted);
	close_file(files->extents);
	close_file(files->zeros);
	close_file(files->entries);
	close_file(files->packs);
	free(files->entry_at);
	free(files->crc_left);
	free(files->pack_at);
	free(files->pack_extents);
	free(files->batches);
	free(files);
}

void
plan_free(struct plan *plan)
{
	if (plan == NULL)
		return;
	free_files(plan->files);
	for (size_t i = 0; i < plan->ntablespaces; i++)
		free(plan->tablespaces[i].location);
	free(plan->tablespaces);
	for (size_t i = 0; i < plan->nbackups; i++)
		free(plan->backups[i]);
	free(plan->backups);
	for (size_t i = 0; i < plan->nrecorded; i++)
	{
		free(plan->recorded[i].name);
		free(plan->recorded[i].value);
	}
	free(plan->recorded);
	free(plan);
}
