/*
 * publish_retain.c - locks of older objects that a new backup needs
 *
 * A lock ends so many days after the object was stored, but this backup is to
 * stay for as many days from now on.  It takes a request for each object.
 */
#include "basebackup/publish_objects.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "basebackup/repo_each.h"
#include "common/log.h"

struct work
{
	const struct publication *pub;
	uint32_t ndigests;      /* which come first, then packs */
	_Atomic uint64_t count; /* extended so far */
};

static enum status
extend(struct repo *repo, const struct stored_object *object, struct err *err)
{
	char name[OBJECT_NAME_MAX + 1];
	char key[STORE_KEY_MAX];

	if (object->kind == OBJECT_PACK)
		repo_pack_name(name, object->backup, object->n);
	else
		repo_digest_name(name, object->backup, object->n);
	repo_key(key, repo->system_identifier, name);
	return store_extend(repo->store, key, err);
}

/* A repo_visitor. */
static enum status
visit(struct repo *repo, size_t i, void *arg, struct err *err)
{
	struct work *work = arg;
	enum pack_kind kind = i < work->ndigests ? PACK_DIGEST : PACK_DATA;
	uint32_t number =
		(uint32_t) (kind == PACK_DIGEST ? i : i - work->ndigests);
	struct stored_object *object;
	enum status st;

	if (!publish_uses(work->pub, kind, number))
		return ST_OK;
	object = malloc(sizeof(*object));
	if (object == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	st = packlist_get(publish_older(work->pub, kind), number, object, err);
	if (st == ST_OK)
		st = extend(repo, object, err);
	free(object);
	atomic_fetch_add(&work->count, 1);
	return st;
}

enum status
publish_retain_objects(const struct publication *pub, struct err *err)
{
	struct work work = {.pub = pub};
	enum status st;

	if (pub->repo->cfg->s3_object_lock == NULL || pub->base == NULL)
		return ST_OK;
	work.ndigests = packlist_count(publish_older(pub, PACK_DIGEST));
	st = repo_each(pub->repo,
				   (size_t) work.ndigests +
					   packlist_count(publish_older(pub, PACK_DATA)),
				   visit, &work, err);
	if (st != ST_OK)
		return err_context(err, "locking what older backups hold");
	log_info("%llu older objects are locked for longer",
			 (unsigned long long) atomic_load(&work.count));
	return ST_OK;
}
