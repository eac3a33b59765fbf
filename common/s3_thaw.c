/*
 * s3_thaw.c - bringing objects back from archived storage classes
 *
 * S3's RestoreObject: 202 begins it, 200 keeps a copy that is there for
 * longer, RestoreAlreadyInProgress says that somebody has asked before.
 */
#include "common/s3_store.h"

#include <stdio.h>
#include <string.h>

#include "common/s3_error.h"

enum status
s3_thaw(struct store *base, const char *key, int days, struct err *err)
{
	struct s3_store *store = (struct s3_store *) base;
	struct s3_call call = {.method = "POST",
						   .verb = "thaw",
						   .permission = "s3:RestoreObject",
						   .key = key,
						   .may_be_missing = true,
						   .params = {{"restore", ""}},
						   .nparams = 1};
	struct s3_answer answer;
	char body[256];
	enum status status;

	(void) snprintf(body, sizeof body,
					"<RestoreRequest "
					"xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
					"<Days>%d</Days><GlacierJobParameters><Tier>Standard"
					"</Tier></GlacierJobParameters></RestoreRequest>",
					days);
	call.body = body;
	call.body_len = strlen(body);
	status = s3_call_send(store, &call, &answer, err);
	if (status == ST_OK && answer.code != 200 && answer.code != 202 &&
		!s3_error_is(&answer, "RestoreAlreadyInProgress"))
		status = s3_call_refused(store, &call, &answer, err);
	s3_answer_free(&answer);
	return status;
}
