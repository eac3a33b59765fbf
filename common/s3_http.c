/*
 * s3_http.c - one HTTP request and its answer, over libcurl
 */
#include "common/s3_http.h"

#include <curl/curl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/wipe.h"
#include "common/s3_http_explain.h"
#include "walship_build.h"

/* Of all headers of an answer, those of interim answers included. */
#define HEADERS_MAX 65536

/* Large enough that a request of many megabytes is not a storm of calls. */
#define CURL_BUFFER_SIZE (256L * 1024)

struct s3_http
{
	CURL *curl;
	struct s3_http_options options;
	char *ca_file;
	char *client_cert;
	char reason[CURL_ERROR_SIZE];
};

/* A request under way. */
struct transfer
{
	struct s3_http *http;
	const struct deadline *deadline;
	const struct s3_request *request;
	struct s3_answer *answer;
	struct err *err;
	enum status status; /* why a callback stopped it; err is set then */
	size_t header_bytes;
	bool begun;
	uint64_t expected; /* bytes of body, UINT64_MAX: not known */
	uint64_t delivered;
	size_t allocated; /* of answer->body */
	curl_off_t moved; /* bytes, in both directions together */
	int64_t moved_ms; /* when that last changed */
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready = CURLE_FAILED_INIT;

/* curl's buffers see session tokens, and answers that bring credentials. */
static void
init_curl(void)
{
	curl_ready = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_free,
									  wipe_realloc, strdup, calloc);
}

/* False: out of memory. */
static bool
copy_path(const char *path, char **out)
{
	*out = path != NULL ? strdup(path) : NULL;
	return path == NULL || *out != NULL;
}

enum status
s3_http_new(const struct s3_http_options *options, struct s3_http **out,
			struct err *err)
{
	struct s3_http *http;

	(void) pthread_once(&curl_once, init_curl);
	if (curl_ready != CURLE_OK)
		return err_set(err, ST_IO, "cannot initialise libcurl: %s",
					   curl_easy_strerror(curl_ready));
	http = calloc(1, sizeof *http);
	if (http == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	http->options = *options;
	http->options.ca_file = NULL;
	http->options.client_cert = NULL;
	http->curl = curl_easy_init();
	if (http->curl == NULL || !copy_path(options->ca_file, &http->ca_file) ||
		!copy_path(options->client_cert, &http->client_cert))
	{
		s3_http_free(http);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	*out = http;
	return ST_OK;
}

void
s3_http_free(struct s3_http *http)
{
	if (http == NULL)
		return;
	curl_easy_cleanup(http->curl);
	free(http->ca_file);
	free(http->client_cert);
	free(http);
}

void
s3_answer_free(struct s3_answer *answer)
{
	wipe_free(answer->body);
	memset(answer, 0, sizeof *answer);
}

/* --- what curl calls ---------------------------------------------------- */

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * count;

	t->header_bytes += len;
	if (t->header_bytes > HEADERS_MAX)
	{
		t->status = err_set(t->err, ST_RETRY,
							"could not %s: the headers of the answer are "
							"longer than %d bytes",
							t->request->what, HEADERS_MAX);
		return 0;
	}

	/* A status line begins another answer: after "100 Continue", say. */
	if (len > 5 && memcmp(line, "HTTP/", 5) == 0)
		s3_headers_reset(&t->answer->headers);
	else
		s3_headers_line(&t->answer->headers, line, len);
	return len;
}

/* Keeps bytes of an answer in memory, as far as that is allowed. */
static bool
keep(struct transfer *t, const char *data, size_t len)
{
	struct s3_answer *answer = t->answer;
	size_t max = t->request->answer_max;
	size_t room;

	/* Where a listing was asked for, an error is no longer than elsewhere. */
	if (answer->code / 100 != 2 && max > S3_ERROR_MAX)
		max = S3_ERROR_MAX;
	room = max - answer->body_len;
	if (len > room)
	{
		answer->body_cut = true;
		len = room;
	}
	if (answer->body_len + len > t->allocated)
	{
		size_t more = t->allocated * 2 + len;
		char *bigger = wipe_realloc(answer->body, more);

		if (bigger == NULL)
		{
			t->status = err_set(t->err, ST_NOMEM, "out of memory");
			return false;
		}
		answer->body = bigger;
		t->allocated = more;
	}
	if (len > 0)
		memcpy(answer->body + answer->body_len, data, len);
	answer->body_len += len;
	return !answer->body_cut;
}

static bool
begin(struct transfer *t)
{
	t->begun = true;
	t->expected = UINT64_MAX;
	t->status =
		t->request->begin(t->request->arg, t->answer, &t->expected, t->err);
	return t->status == ST_OK;
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * count;

	(void) curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE,
							 &t->answer->code);
	if (t->request->begin == NULL || t->answer->code / 100 != 2)
		return keep(t, data, len) ? len : 0;
	if (!t->begun && !begin(t))
		return 0;
	if (len > t->expected - t->delivered)
	{
		t->status = err_set(t->err, ST_RETRY,
							"could not %s: the answer is longer than it said",
							t->request->what);
		return 0;
	}
	t->status = t->request->sink(t->request->arg, data, len, t->err);
	if (t->status != ST_OK)
		return 0;
	t->delivered += len;

	/* The time that the sink took is not the network's. */
	t->moved_ms = clock_now_ms();
	return len;
}

/*
 * Called by curl at least once a second, and whenever bytes moved.  curl's own
 * low-speed limit would do for stalls, but not for the cancel flag.
 */
static int
on_progress(void *arg, curl_off_t down_total, curl_off_t down,
			curl_off_t up_total, curl_off_t up)
{
	struct transfer *t = arg;
	int64_t stall_ms = t->http->options.stall_timeout_ms;
	int64_t now = clock_now_ms();

	(void) down_total;
	(void) up_total;

	/* curl reports progress once more after a callback has ended it. */
	if (t->status != ST_OK)
		return 1;
	t->status = deadline_check(t->deadline, t->err);
	if (t->status != ST_OK)
	{
		(void) err_context(t->err, "could not %s", t->request->what);
		return 1;
	}
	if (down + up != t->moved)
	{
		t->moved = down + up;
		t->moved_ms = now;
	}
	else if (stall_ms > 0 && now - t->moved_ms >= stall_ms)
	{
		t->status = err_set(t->err, ST_RETRY,
							"could not %s: no byte moved for %lld ms",
							t->request->what, (long long) stall_ms);
		return 1;
	}
	return 0;
}

/*
 * Keeps the kernel from taking megabytes at once: on a slow line the end of an
 * upload would look like a stall while its buffer drains.
 */
static int
on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	int unsent_max = (int) CURL_BUFFER_SIZE;

	(void) arg;
	(void) purpose;
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max,
					  sizeof unsent_max);
	return CURL_SOCKOPT_OK;
}

/* --- setting up --------------------------------------------------------- */

/* A session token is among them. */
static void
free_headers(struct curl_slist *list)
{
	for (struct curl_slist *item = list; item != NULL; item = item->next)
		OPENSSL_cleanse(item->data, strlen(item->data));
	curl_slist_free_all(list);
}

/* Appends a line; on failure frees the whole list.  False: out of memory. */
static bool
append_line(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (longer == NULL)
		free_headers(*list);
	*list = longer;
	return longer != NULL;
}

/* The headers as curl wants them.  NULL: out of memory. */
static struct curl_slist *
make_headers(const struct s3_request *request)
{
	struct curl_slist *list = NULL;

	/* curl would wait a second for a "100 Continue" that few servers send. */
	bool ok = append_line(&list, "Expect:");

	for (size_t i = 0; ok && i < request->nheaders; i++)
	{
		const struct s3_header *header = &request->headers[i];
		char *line;

		if (asprintf(&line, "%s: %s", header->name, header->value) < 0)
		{
			free_headers(list);
			return NULL;
		}
		ok = append_line(&list, line);
		OPENSSL_cleanse(line, strlen(line));
		free(line);
	}
	return list;
}

static long
clamp_ms(int64_t ms)
{
	return ms > INT_MAX ? INT_MAX : (long) ms;
}

#define SET(option, value)                                           \
	do                                                               \
	{                                                                \
		if (rc == CURLE_OK)                                          \
			rc = curl_easy_setopt(t->http->curl, (option), (value)); \
	} while (0)

static CURLcode
set_connection(const struct transfer *t)
{
	const struct s3_http_options *options = &t->http->options;
	int64_t left = deadline_left_ms(t->deadline);
	int64_t connect_ms = options->connect_timeout_ms;
	CURLcode rc = CURLE_OK;

	if (connect_ms <= 0 || connect_ms > left)
		connect_ms = left;
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	if (options->direct)
		SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_USERAGENT, "walship/" WALSHIP_VERSION);
	SET(CURLOPT_CONNECTTIMEOUT_MS, clamp_ms(connect_ms));
	SET(CURLOPT_TIMEOUT_MS, left == INT64_MAX ? 0L : clamp_ms(left));

	/* A resolver that hangs must not hold up a request past its deadline. */
	SET(CURLOPT_QUICK_EXIT, 1L);

	SET(CURLOPT_SSLVERSION,
		(long) (options->tls_1_3 ? CURL_SSLVERSION_TLSv1_3
								 : CURL_SSLVERSION_TLSv1_2));
	SET(CURLOPT_SSL_VERIFYPEER, options->tls_verify ? 1L : 0L);
	SET(CURLOPT_SSL_VERIFYHOST, options->tls_verify ? 2L : 0L);
	if (t->http->ca_file != NULL)
		SET(CURLOPT_CAINFO, t->http->ca_file);
	if (t->http->client_cert != NULL)
	{
		SET(CURLOPT_SSLCERT, t->http->client_cert);
		SET(CURLOPT_SSLKEY, t->http->client_cert);

		/* A key with a passphrase fails; else it is asked for on a terminal.
		 */
		SET(CURLOPT_KEYPASSWD, "");
	}
	return rc;
}

/*
 * curl 7.88 refuses a new size while it still has the buffer of a request
 * that failed before it was sent; then that buffer will do.
 */
static void
set_buffers(const struct transfer *t)
{
	(void) curl_easy_setopt(t->http->curl, CURLOPT_BUFFERSIZE,
							CURL_BUFFER_SIZE);
	(void) curl_easy_setopt(t->http->curl, CURLOPT_UPLOAD_BUFFERSIZE,
							CURL_BUFFER_SIZE);
}

static CURLcode
set_request(struct transfer *t, struct curl_slist *headers)
{
	const struct s3_request *request = t->request;
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_HTTPHEADER, headers);
	if (strcmp(request->method, "HEAD") == 0)
		SET(CURLOPT_NOBODY, 1L);
	else if (request->body != NULL)
	{
		/* Sent from where it lies, and again if a kept connection died. */
		SET(CURLOPT_POSTFIELDS, request->body);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_len);
		SET(CURLOPT_CUSTOMREQUEST, request->method);
	}
	else if (strcmp(request->method, "GET") != 0)
		SET(CURLOPT_CUSTOMREQUEST, request->method);

	SET(CURLOPT_ERRORBUFFER, t->http->reason);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, t);
	return rc;
}

/* --- what came of it ---------------------------------------------------- */

static enum status
explain(const struct transfer *t, CURLcode rc)
{
	struct s3_http_failure failure = {.what = t->request->what,
									  .curl_code = (int) rc,
									  .reason = t->http->reason,
									  .connect_timeout_ms =
										  t->http->options.connect_timeout_ms};

	(void) curl_easy_getinfo(t->http->curl, CURLINFO_HTTP_CONNECTCODE,
							 &failure.tunnel_code);
	return s3_http_explain(&failure, t->deadline, t->err);
}

/* Looks at an answer that arrived as a whole. */
static enum status
finish(struct transfer *t)
{
	(void) curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE,
							 &t->answer->code);
	if (t->request->begin == NULL || t->answer->code / 100 != 2)
		return ST_OK;
	if (!t->begun && !begin(t))
		return t->status;
	if (t->expected != UINT64_MAX && t->delivered != t->expected)
		return err_set(t->err, ST_RETRY,
					   "could not %s: only %llu of %llu bytes arrived",
					   t->request->what, (unsigned long long) t->delivered,
					   (unsigned long long) t->expected);
	return ST_OK;
}

enum status
s3_http_perform(struct s3_http *http, const struct deadline *deadline,
				const struct s3_request *request, struct s3_answer *answer,
				struct err *err)
{
	struct transfer t = {.http = http,
						 .deadline = deadline,
						 .request = request,
						 .answer = answer,
						 .err = err,
						 .moved_ms = clock_now_ms()};
	struct curl_slist *headers;
	CURLcode rc;
	enum status status = deadline_check(deadline, err);

	if (status != ST_OK)
		return err_context(err, "could not %s", request->what);
	headers = make_headers(request);
	if (headers == NULL)
		return err_set(err, ST_NOMEM, "out of memory");

	curl_easy_reset(http->curl);
	http->reason[0] = '\0';
	s3_headers_reset(&answer->headers);
	set_buffers(&t);
	rc = set_connection(&t);
	if (rc == CURLE_OK)
		rc = set_request(&t, headers);
	if (rc == CURLE_OK)
		rc = curl_easy_perform(http->curl);

	if (t.status != ST_OK)
		status = t.status;
	else if (rc == CURLE_OK || answer->body_cut)
		status = finish(&t);
	else
		status = explain(&t, rc);
	free_headers(headers);
	return status;
}
