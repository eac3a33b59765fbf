/*
 * s3_cred.h - the credentials that requests are signed with
 *
 * Where they come from, in this order: the configuration (which takes AWS's
 * own variables in); web identity, by AWS_WEB_IDENTITY_TOKEN_FILE and
 * AWS_ROLE_ARN; a profile of the shared files; the container's endpoint; the
 * instance's metadata service.  The first that is configured is the one: if
 * it fails, no other is asked, since a host must not quietly act as someone
 * else.
 *
 * Temporary credentials are renewed before they expire, by one thread while
 * the others go on with the old ones or wait, and are kept in the spool, so
 * that a program that lives for one request finds them there.  Providers of
 * the same configuration are one and the same within a process: this, and
 * libraries' initialisation, is the state that the module keeps.
 */
#ifndef COMMON_S3_CRED_H
#define COMMON_S3_CRED_H

#include <stdbool.h>

#include "common/config.h"
#include "common/deadline.h"
#include "common/err.h"
#include "common/s3_sign.h"

struct s3_cred_provider;

/* One set of credentials: never changes, in locked memory, wiped at its end.
 */
struct s3_cred;

/*
 * Looks which source is configured, reading the shared files if it comes to
 * them; sends no request.  cfg is copied.  ST_CONFIG: a profile that does not
 * exist, a source that is half configured, or none at all.
 */
extern enum status
s3_cred_open(const struct config *cfg, struct s3_cred_provider **out,
			 struct err *err) ERR_CHECK;
extern void s3_cred_close(struct s3_cred_provider *provider);

/*
 * The credentials to sign with now; *out is released with s3_cred_release.
 * Asks the source if there are none, or they end soon; where that fails, those
 * that still hold will do.  ST_RETRY: the source cannot be reached; ST_AUTH:
 * it refused; ST_CONFIG: there are no credentials to be had; ST_DEADLINE,
 * ST_CANCELLED, ST_NOMEM.  Thread-safe.
 */
extern enum status
s3_cred_acquire(struct s3_cred_provider *provider, const struct deadline *d,
				struct s3_cred **out, struct err *err) ERR_CHECK;

/* Borrowed from cred. */
extern const struct s3_credentials *s3_cred_keys(const struct s3_cred *cred);

/* NULL is fine. */
extern void s3_cred_release(struct s3_cred *cred);

/*
 * The store does not accept them.  True if acquiring again may give others,
 * so that one more try makes sense.
 */
extern bool
s3_cred_refused(struct s3_cred_provider *provider, const struct s3_cred *cred);

#endif
