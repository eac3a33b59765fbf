/*
 * s3_http_explain.h - why a request got no answer
 *
 * Part of s3_http.c: what curl says, as a status and with a hint.
 */
#ifndef COMMON_S3_HTTP_EXPLAIN_H
#define COMMON_S3_HTTP_EXPLAIN_H

#include <stdint.h>

#include "common/deadline.h"
#include "common/err.h"

struct s3_http_failure
{
	const char *what;   /* get "key" */
	const char *reason; /* in curl's words; "": none */
	int curl_code;      /* a CURLcode */
	long tunnel_code;   /* a proxy's answer to CONNECT, 0: none */
	int64_t connect_timeout_ms;
};

/* Fills err, and returns its status: those of s3_http_perform. */
extern enum status
s3_http_explain(const struct s3_http_failure *failure,
				const struct deadline *deadline, struct err *err);

#endif
