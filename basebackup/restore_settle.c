/*
 * restore_settle.c - all that comes before the first byte
 */
#include "basebackup/restore.h"

enum status
restore_prepare(struct repo *repo, const struct restore_request *request,
				struct restore_choice *choice, struct plan **plan,
				struct err *err)
{
	enum status st;

	if ((st = repo_resolve_cluster(repo, err)) != ST_OK ||
		(st = restore_choose(repo, request, choice, err)) != ST_OK)
		return st;
	st = plan_load(repo, choice->backup.id, plan, err);
	if (st != ST_OK)
		restore_choice_free(choice);
	return st;
}

/* What archived storage has, is there to be read afterwards. */
static enum status
warm(struct repo *repo, const struct restore_request *r,
	 struct restore_choice *choice, struct restore_survey *survey,
	 struct err *err)
{
	struct cold_list *lists[] = {&survey->cold, &choice->cold};
	enum status st = ST_OK;

	for (size_t i = 0; st == ST_OK && i < 2; i++)
		if (lists[i]->nobjects > 0 && r->thaw_days == 0)
			st = cold_refuse(lists[i], err);
	for (size_t i = 0; st == ST_OK && i < 2 && !r->dry_run; i++)
		if (lists[i]->nobjects > 0)
			st =
				cold_thaw(lists[i], repo->store, r->thaw_days, r->cancel, err);
	return st;
}

enum status
restore_settle(struct repo *repo, const struct restore_request *request,
			   struct restore_choice *choice, const struct plan *plan,
			   void (*say)(const char *line), struct err *err)
{
	struct restore_survey survey;
	enum status st = restore_survey(repo, request, plan, &survey, err);

	if (st != ST_OK)
		return st;
	if (request->json != NULL)
		restore_json_plan(request->json, request, choice, plan, &survey);
	else
		restore_tell_plan(request, choice, plan, &survey, say);
	st = restore_check_room(&survey, err);
	if (st == ST_OK)
		st = warm(repo, request, choice, &survey, err);
	if (st == ST_OK && choice->cold.nobjects == 0)
		st = restore_check_reach(repo, request, choice, err);
	restore_survey_free(&survey);
	return st;
}
