/*
 * s3_http.h - one HTTP request and its answer, over libcurl
 *
 * A handle keeps its connection between requests and belongs to one thread.
 * No redirect is followed, no content coding undone, no .netrc read; proxies
 * are taken from the environment as curl's users expect.  What the answer may
 * cost in memory is bounded: its headers in all, and its body unless it goes
 * to a sink.
 */
#ifndef COMMON_S3_HTTP_H
#define COMMON_S3_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/deadline.h"
#include "common/err.h"
#include "common/s3_headers.h"
#include "common/s3_sign.h"
#include "common/store.h"

#define S3_ERROR_MAX ((size_t) 64 * 1024) /* of an error's document */

struct s3_http;

struct s3_http_options
{
	const char *ca_file;     /* NULL: the system's */
	const char *client_cert; /* with its key, in PEM; NULL: none */
	bool tls_1_3;            /* speak nothing older; else from 1.2 on */
	bool tls_verify;
	bool direct; /* by no proxy: a link-local service */
	int64_t connect_timeout_ms;
	int64_t stall_timeout_ms; /* without a byte in either direction */
};

/* An answer; zero it before use, free it with s3_answer_free. */
struct s3_answer
{
	long code; /* of HTTP */
	struct s3_headers headers;
	char *body; /* of an answer that did not go to a sink; NULL if empty */
	size_t body_len;
	bool body_cut; /* longer than was allowed, the rest was not read */
};

/*
 * Called once when an answer 2xx begins, before its first byte goes to the
 * sink; also if it has no bytes.  Sets *expected to the length that the body
 * must have, or to UINT64_MAX.  Anything but ST_OK ends the request, with the
 * err it has set.
 */
typedef enum status (*s3_http_begin)(void *arg, const struct s3_answer *answer,
									 uint64_t *expected, struct err *err);

struct s3_request
{
	const char *what;   /* for messages: get "key" */
	const char *method; /* HEAD, GET, PUT, POST, DELETE */
	const char *url;
	const struct s3_header *headers; /* sent as they are */
	size_t nheaders;
	const void *body; /* NULL: none; borrowed until return */
	size_t body_len;
	size_t answer_max;   /* bytes of an answer kept in memory; of an error's,
						  * also   at most S3_ERROR_MAX */
	s3_http_begin begin; /* NULL: every answer is kept in memory */
	store_sink sink;
	void *arg; /* of begin and sink */
};

/* ST_NOMEM, or ST_IO if libcurl cannot be initialised. */
extern enum status
s3_http_new(const struct s3_http_options *options, struct s3_http **out,
			struct err *err) ERR_CHECK;
extern void s3_http_free(struct s3_http *http);

/*
 * Sends the request once and receives the whole answer, whatever its code.
 * ST_OK: the answer is complete (or its body cut at answer_max).  ST_RETRY:
 * no answer, or only a part.  ST_CONFIG: the server's certificate is not
 * trusted, ours cannot be read or is refused, there is no version of TLS in
 * common, or a proxy refuses.  ST_DEADLINE, ST_CANCELLED, ST_NOMEM, or
 * what begin or sink returned.
 */
extern enum status
s3_http_perform(struct s3_http *http, const struct deadline *deadline,
				const struct s3_request *request, struct s3_answer *answer,
				struct err *err) ERR_CHECK;

extern void s3_answer_free(struct s3_answer *answer);

#endif
