/*
 * s3_error.h - what an S3 server's refusal means to us
 *
 * Pure.  Which status an answer becomes decides whether a server that recovers
 * is told "there is no more WAL", so "missing" is said only where the store
 * said NoSuchKey itself.
 */
#ifndef COMMON_S3_ERROR_H
#define COMMON_S3_ERROR_H

#include <stdint.h>

#include "common/err.h"
#include "common/s3_http.h"
#include "common/s3_sign.h"
#include "common/s3_url.h"

/* What was asked for, as far as an explanation needs it. */
struct s3_question
{
	const char *what;       /* get "key" */
	const char *permission; /* "s3:GetObject" */
	bool may_be_missing;    /* NoSuchKey means absent; otherwise an error */
	int64_t now_s;          /* our clock */
};

/*
 * Fills err from an answer that is no success, and returns its status:
 * ST_MISSING, ST_EXISTS (412), ST_RETRY, ST_AUTH or ST_CONFIG.  A message
 * that repeats a credential or a signature is withheld.
 */
extern enum status
s3_error_explain(const struct s3_address *address,
				 const struct s3_credentials *credentials,
				 const struct s3_question *question,
				 const struct s3_answer *answer, struct err *err);

/* The same for one key's error inside the answer to a multi-object delete. */
extern enum status
s3_error_explain_code(const struct s3_question *question, const char *code,
					  const char *message, struct err *err);

/* True if the answer is an S3 error document with this code. */
extern bool s3_error_is(const struct s3_answer *answer, const char *code);

#endif
