/*
 * s3_http_explain.c - why a request got no answer
 */
#include "common/s3_http_explain.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <string.h>

static enum status
explain_certificate(const struct s3_http_failure *f, CURLcode rc,
					const char *reason, struct err *err)
{
	(void) err_set(err, ST_CONFIG, "cannot %s: %s", f->what, reason);
	if (rc == CURLE_SSL_CERTPROBLEM)
		return err_hint(err, "\"s3_client_cert\" must be a readable file "
							 "with a certificate and its key in PEM, "
							 "without a passphrase.");
	if (rc == CURLE_SSL_CACERT_BADFILE)
		return err_hint(err, "\"s3_ca_file\" must be a readable file of "
							 "certificates in PEM.");
	return err_hint(err, "Put the certificate of the store's issuer into "
						 "\"s3_ca_file\", and see that the host name in "
						 "\"s3_endpoint\" is one that the store's "
						 "certificate is for.");
}

/* What the server says to a handshake that it does not like. */
static bool
is_refused_handshake(CURLcode rc, const char *reason)
{
	static const char *const alerts[] = {
		"alert certificate required", "alert bad certificate",
		"alert unknown ca",           "alert certificate unknown",
		"alert certificate expired",  "alert handshake failure"};

	if (rc != CURLE_SSL_CONNECT_ERROR && rc != CURLE_RECV_ERROR &&
		rc != CURLE_SEND_ERROR)
		return false;
	for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++)
		if (strstr(reason, alerts[i]) != NULL)
			return true;
	return false;
}

static bool
is_refused_version(CURLcode rc, const char *reason)
{
	return rc == CURLE_SSL_CONNECT_ERROR &&
		   (strstr(reason, "alert protocol version") != NULL ||
			strstr(reason, "unsupported protocol") != NULL);
}

static enum status
explain_handshake(const struct s3_http_failure *f, CURLcode rc,
				  const char *reason, struct err *err)
{
	bool version = is_refused_version(rc, reason);
	bool refused = version || is_refused_handshake(rc, reason);

	(void) err_set(err, refused ? ST_CONFIG : ST_RETRY, "%s %s: %s",
				   refused ? "cannot" : "could not", f->what, reason);
	if (version)
		return err_hint(err, "The server does not speak the version of TLS "
							 "that \"s3_tls\" demands.");
	if (refused)
		return err_hint(err, "The server may want a client certificate that "
							 "it trusts: see \"s3_client_cert\".");
	if (rc == CURLE_SSL_CONNECT_ERROR)
		return err_hint(err, "If the store does not speak TLS there, "
							 "\"s3_endpoint\" begins with http://.");
	return err->status;
}

/* A proxy that was asked for a tunnel has said no. */
static enum status
explain_tunnel(const struct s3_http_failure *f, struct err *err)
{
	long code = f->tunnel_code;
	bool lasting = code / 100 == 4 && code != 408 && code != 429;

	(void) err_set(err, lasting ? ST_CONFIG : ST_RETRY,
				   "%s %s: HTTP %ld from a proxy",
				   lasting ? "cannot" : "could not", f->what, code);
	return err_hint(err, code == 407
							 ? "Put the proxy's user and password into "
							   "the variable https_proxy, as "
							   "http://user:password@host:port."
							 : "See the variables https_proxy and "
							   "no_proxy of this process.");
}

/* curl counts in whole milliseconds, and may be early by one. */
#define EARLY_MS 2

/* The time-outs that curl itself keeps: the deadline and the connect. */
static enum status
explain_timeout(const struct s3_http_failure *f,
				const struct deadline *deadline, struct err *err)
{
	enum status status = deadline_sleep(deadline, EARLY_MS, err);

	if (status != ST_OK)
		return err_context(err, "could not %s", f->what);
	return err_set(err, ST_RETRY, "could not %s: no connection within %lld ms",
				   f->what, (long long) f->connect_timeout_ms);
}

enum status
s3_http_explain(const struct s3_http_failure *f,
				const struct deadline *deadline, struct err *err)
{
	CURLcode rc = (CURLcode) f->curl_code;
	const char *reason =
		f->reason[0] != '\0' ? f->reason : curl_easy_strerror(rc);

	if (f->tunnel_code / 100 > 2 && rc != CURLE_OPERATION_TIMEDOUT)
		return explain_tunnel(f, err);
	switch (rc)
	{
		case CURLE_OUT_OF_MEMORY:
			return err_set(err, ST_NOMEM, "out of memory");
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
			return explain_certificate(f, rc, reason, err);
		case CURLE_OPERATION_TIMEDOUT:
			return explain_timeout(f, deadline, err);
		case CURLE_COULDNT_RESOLVE_PROXY:
			(void) err_set(err, ST_RETRY, "could not %s: %s", f->what, reason);
			return err_hint(err, "See the variables http_proxy and "
								 "https_proxy of this process.");
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_SEND_ERROR:
			return explain_handshake(f, rc, reason, err);
		case CURLE_URL_MALFORMAT:
		case CURLE_NOT_BUILT_IN:
		case CURLE_UNKNOWN_OPTION:
			return err_set(err, ST_CONFIG, "cannot %s: %s", f->what, reason);
		default:
			return err_set(err, ST_RETRY, "could not %s: %s", f->what, reason);
	}
}
